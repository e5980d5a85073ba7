//! The events of a node as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::Mutex;

use crate::error::Result;
use crate::hooks::{Hook, HookId, Hooks};
use crate::model::Event;
use crate::node::Node;

/// How many events wait for a reader.
const MAX_WAITING: usize = 1024;

/// Every event of a node, in order, from the moment at which the stream was made: an item is an event, or says how many
/// were lost before the next one.
///
/// Reading observes: it confirms no copy, and nothing waits for the reader. At most 1,024 events wait; a reader that
/// falls behind loses the oldest and is told so by [`Lagged`], after which it should look at the view afresh. The stream
/// ends when the node has stopped, after its last event. Dropping it ends the subscription.
///
/// ```no_run
/// use futures_util::StreamExt;
///
/// # async fn example(node: clusterkit::AsyncClusterKit) -> clusterkit::Result<()> {
/// let mut events = node.events()?;
/// while let Some(event) = events.next().await {
///     match event {
///         Ok(event) => println!("{:?}", event.kind),
///         Err(lagged) => println!("{lagged}; {} members now", node.view().nodes().len()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Events {
    queue: Arc<EventQueue>,
    id: HookId,
    hooks: Weak<Hooks>,
}

/// Events were lost, because their reader fell behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagged {
    /// How many events were lost.
    pub lost: u64,
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events were lost, because they were not read in time",
            self.lost
        )
    }
}

impl std::error::Error for Lagged {}

#[derive(Default)]
struct EventQueue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    events: VecDeque<Arc<Event>>,
    lost: u64,
    /// True when no event will follow.
    ended: bool,
    reader: Option<Waker>,
}

impl EventQueue {
    fn change(&self, change: impl FnOnce(&mut QueueState)) {
        let reader = {
            let mut state = self.0.lock();
            change(&mut state);
            state.reader.take()
        };
        // Woken outside of the lock: the waker is the application's.
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn push(&self, event: Arc<Event>) {
        self.change(|state| {
            if state.events.len() == MAX_WAITING {
                state.events.pop_front();
                state.lost += 1;
            }
            state.events.push_back(event);
        });
    }
}

/// Ends the stream when the hook that feeds it is dropped: the node has stopped.
struct EndOfEvents(Arc<EventQueue>);

impl Drop for EndOfEvents {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

impl Events {
    pub(super) fn subscribe(node: &Arc<Node>) -> Result<Self> {
        let queue = Arc::<EventQueue>::default();
        let feed = EndOfEvents(queue.clone());
        let id = node.observe(Hook::from_async(move |event| {
            feed.0.push(event);
            std::future::ready(Ok(()))
        }))?;
        Ok(Events {
            queue,
            id,
            hooks: Arc::downgrade(node.hooks()),
        })
    }
}

impl Stream for Events {
    type Item = Result<Arc<Event>, Lagged>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.queue.0.lock();
        if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            return Poll::Ready(Some(Err(Lagged { lost })));
        }
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None if state.ended => Poll::Ready(None),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.upgrade() {
            // Waits for nothing, because the hook is asynchronous.
            let _ = hooks.unregister(self.id);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.queue.0.lock();
        f.debug_struct("Events")
            .field("waiting", &state.events.len())
            .field("ended", &state.ended)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::model::{EventKind, LeadershipEvent, Timestamp};

    fn event(revision: u64) -> Arc<Event> {
        Arc::new(Event {
            revision,
            timestamp: Timestamp::default(),
            kind: EventKind::BecomeLeader(LeadershipEvent { epoch: 1 }),
        })
    }

    fn stream() -> Events {
        Events {
            queue: Arc::default(),
            id: HookId(1),
            hooks: Weak::new(),
        }
    }

    #[test]
    fn a_reader_that_falls_behind_loses_the_oldest_and_is_told_how_many() {
        let mut stream = stream();
        for revision in 1..=MAX_WAITING as u64 + 3 {
            stream.queue.push(event(revision));
        }
        assert_eq!(
            stream.next().now_or_never().unwrap().unwrap(),
            Err(Lagged { lost: 3 })
        );
        for revision in 4..=MAX_WAITING as u64 + 3 {
            let read = stream.next().now_or_never().unwrap().unwrap().unwrap();
            assert_eq!(read.revision, revision);
        }
        assert!(stream.next().now_or_never().is_none(), "it waits for more");
    }

    #[test]
    fn the_stream_ends_after_its_last_event() {
        let mut stream = stream();
        stream.queue.push(event(1));
        drop(EndOfEvents(stream.queue.clone()));
        assert!(stream.next().now_or_never().unwrap().unwrap().is_ok());
        assert_eq!(stream.next().now_or_never().unwrap(), None);
    }
}
