//! Asking several nodes for what any of them can give.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::env;

/// How long one node is waited for before the next is asked beside it.
const HEDGE_DELAY: Duration = Duration::from_millis(50);

/// The first success of `attempts`. They are begun in their order: the next one when one has failed, and beside the
/// others when they have not answered for a moment. So a silent node delays nobody else's answer.
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
