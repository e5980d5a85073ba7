//! Hedged requests: asks several nodes for what any of them can answer.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::env;

/// How long one node may take before the next is asked in parallel.
const HEDGE_DELAY: Duration = Duration::from_millis(50);

/// The first success of `attempts`, which start in their order. The next attempt starts when one has failed, and in
/// parallel to the others when none has answered within the delay. So a silent node does not delay the others' answers.
pub(crate) async fn first_success<T, F>(attempts: impl IntoIterator<Item = F>) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let mut waiting = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    let mut exhausted = false;
    loop {
        match waiting.next() {
            Some(attempt) => running.push(attempt),
            None => exhausted = true,
        }
        tokio::select! {
            biased;
            outcome = running.next(), if !running.is_empty() => {
                if let Some(Some(success)) = outcome {
                    return Some(success);
                }
            }
            () = env::sleep(HEDGE_DELAY), if !exhausted => {}
            else => return None,
        }
    }
}
