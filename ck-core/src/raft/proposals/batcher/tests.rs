use parking_lot::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use openraft_rt::AsyncRuntime;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::*;
use crate::env::{self, Runtime};

/// A batch in flight, and the sender that completes it.
type Batch = (Vec<PendingProposal>, oneshot::Sender<()>);

/// Holds every batch until the test answers it. A proposal is answered with its own body.
#[derive(Default)]
struct Held {
    seen: Mutex<Vec<(RaftId, usize)>>,
    batches: Mutex<VecDeque<Batch>>,
    arrived: tokio::sync::Notify,
}

impl BatchSender for Held {
    fn send_batch(&self, to: RaftId, batch: Vec<PendingProposal>) -> BoxFuture<'_, ()> {
        let (over, done) = oneshot::channel();
        self.seen.lock().push((to, batch.len()));
        self.batches.lock().push_back((batch, over));
        self.arrived.notify_one();
        async move { drop(done.await) }.boxed()
    }
}

impl Held {
    /// Answers the oldest batch.
    async fn answer_next(&self) {
        loop {
            let next = self.batches.lock().pop_front();
            if let Some((batch, over)) = next {
                for waiting in batch {
                    let echo = String::from_utf8_lossy(&waiting.body).into_owned();
                    let _ = waiting.answer.send(WriteOutcome::Unknown(echo));
                }
                let _ = over.send(());
                return;
            }
            self.arrived.notified().await;
        }
    }

    fn seen(&self) -> Vec<(RaftId, usize)> {
        self.seen.lock().clone()
    }
}

fn put(
    queue: &UnboundedSender<PendingProposal>,
    to: RaftId,
    body: impl Into<Bytes>,
) -> oneshot::Receiver<WriteOutcome> {
    put_with(queue, to, body, SendState::default())
}

fn put_with(
    queue: &UnboundedSender<PendingProposal>,
    to: RaftId,
    body: impl Into<Bytes>,
    send_state: SendState,
) -> oneshot::Receiver<WriteOutcome> {
    let (answer, written) = oneshot::channel();
    let waiting = PendingProposal {
        to,
        body: body.into(),
        until: Instant::now() + Duration::from_secs(60),
        answer,
        send_state,
    };
    queue.send(waiting).ok().unwrap();
    written
}

fn echoed(written: WriteOutcome) -> String {
    match written {
        WriteOutcome::Unknown(echo) => echo,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_waits_behind_batches_under_way_goes_together_and_each_hears_its_own() {
    Runtime::run(async {
        let (queue, waiting) = mpsc::unbounded_channel();
        let held = Arc::new(Held::default());
        let mut answers = Vec::new();
        for n in 0..5 {
            answers.push(put(&queue, 1, n.to_string()));
        }
        env::spawn(ProposalBatcher::new(waiting, held.clone()).run());
        held.arrived.notified().await;
        // One more batch may be sent. The rest waits for an answer, except proposals for another node.
        let second = put(&queue, 1, "5");
        held.arrived.notified().await;
        let later = ["6", "7", "8"].map(|n| put(&queue, 1, n));
        let elsewhere = put(&queue, 2, "9");
        held.arrived.notified().await;
        assert_eq!(held.seen(), [(1, 5), (1, 1), (2, 1)]);
        for _ in 0..4 {
            held.answer_next().await;
        }
        assert_eq!(held.seen()[3], (1, 3));
        let all = answers
            .into_iter()
            .chain([second])
            .chain(later)
            .chain([elsewhere]);
        for (n, answer) in all.enumerate() {
            assert_eq!(echoed(answer.await.unwrap()), n.to_string());
        }
    });
}

#[test]
fn a_batch_is_bounded_in_number_and_bytes_and_leaves_out_who_gave_up() {
    let (queue, mut waiting) = mpsc::unbounded_channel();
    let mut line = LeaderQueue::default();
    let mut answers: Vec<_> = (0..MAX_PROPOSALS + 2).map(|_| put(&queue, 1, "a")).collect();
    answers.extend((0..3).map(|_| put(&queue, 1, vec![0; MAX_BYTES / 2])));
    answers.push(put(&queue, 1, vec![0; MAX_BYTES + 1]));
    // The second proposal is not sent any more.
    drop(answers.remove(1));
    while let Ok(next) = waiting.try_recv() {
        line.waiting.push_back(next);
    }
    let sizes: Vec<_> = std::iter::from_fn(|| Some(line.next_batch().len()))
        .take_while(|size| *size > 0)
        .collect();
    assert_eq!(sizes, [MAX_PROPOSALS, 2, 2, 1]);
}

#[test]
fn a_proposal_is_either_sent_or_withdrawn() {
    let (queue, mut waiting) = mpsc::unbounded_channel();
    let (early, late) = (SendState::default(), SendState::default());
    let _answers = [
        put_with(&queue, 1, "early", early.clone()),
        put_with(&queue, 1, "late", late.clone()),
    ];
    let mut line = LeaderQueue::default();
    while let Ok(next) = waiting.try_recv() {
        line.waiting.push_back(next);
    }
    assert!(early.withdraw());
    let sent: Vec<_> = line.next_batch().into_iter().map(|next| next.body).collect();
    assert_eq!(sent, ["late"], "what was withdrawn must not be sent");
    assert!(!late.withdraw(), "what was sent cannot be withdrawn");
}
