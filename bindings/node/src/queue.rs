//! Queues of events, which JavaScript reads when it has time: what `for await` and the listeners of an EventEmitter stand on.

use std::collections::VecDeque;
use std::sync::Arc;

use clusterkit::hooks::{EventFilter, EventType, Hook, HookId};
use clusterkit::model::Event;
use clusterkit::{ClusterKit, WeakClusterKit};
use parking_lot::Mutex;

use crate::error::{self as js, thrown};
use crate::hooks::OpenHookCalls;
use crate::json::json;
use crate::mailbox::Mailbox;

/// A queue of events. It is filled by a hook, and ends when the node drops that.
pub(crate) struct EventQueue {
    shared: Arc<QueueShared>,
    id: HookId,
    node: WeakClusterKit,
}

struct QueueShared {
    mailbox: Arc<Mailbox>,
    open: OpenHookCalls,
    /// JavaScript knows the queue by it.
    number: u32,
    /// How many events wait for a reader that observes, at most.
    capacity: usize,
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    /// Each with the number of its call, where one has to be ended; 0 where the reader observes.
    waiting: VecDeque<(u32, String)>,
    lost: u64,
    has_ended: bool,
    /// True from when JavaScript was told that there is something to read until it has looked.
    is_delivered: bool,
}

impl QueueShared {
    fn change(&self, change: impl FnOnce(&mut QueueState)) {
        let tell = {
            let mut state = self.state.lock();
            change(&mut state);
            !std::mem::replace(&mut state.is_delivered, true)
        };
        if tell {
            self.mailbox.post(format!("[\"readable\",{}]", self.number));
        }
    }

    fn push(&self, call: u32, event: String) {
        self.change(|state| {
            if call == 0 && state.waiting.len() >= self.capacity {
                state.waiting.pop_front();
                state.lost += 1;
            }
            state.waiting.push_back((call, event));
        });
    }
}

/// Ends the queue when the node drops the hook that fills it.
struct Feed(Arc<QueueShared>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.change(|state| state.has_ended = true);
    }
}

/// What a queue is opened with.
pub(crate) struct QueueOrder {
    pub(crate) number: u32,
    pub(crate) filter: EventFilter,
    /// Whether each event has to be acknowledged, as the return of a hook.
    pub(crate) confirms: bool,
    pub(crate) capacity: usize,
}

impl EventQueue {
    /// Opens a queue on a node.
    pub(crate) fn open(
        node: &ClusterKit,
        mailbox: Arc<Mailbox>,
        open: OpenHookCalls,
        order: &QueueOrder,
    ) -> js::Result<Self> {
        let shared = Arc::new(QueueShared {
            mailbox,
            open,
            number: order.number,
            capacity: order.capacity.max(1),
            state: Mutex::default(),
        });
        let feed = Feed(shared.clone());
        let filter = order.filter;
        let registered = if order.confirms {
            let hook = Hook::deferred(move |event: Arc<Event>, completion| {
                let text = json(&*event);
                if let Some(call) = feed.0.open.add(completion) {
                    feed.0.push(call, text);
                }
            });
            node.try_register_hook(filter, hook)
        } else {
            node.try_observe(Hook::deferred(move |event: Arc<Event>, completion| {
                completion.complete(Ok(()));
                if filter.accepts(EventType::of(&event.kind)) {
                    feed.0.push(0, json(&*event));
                }
            }))
        };
        let id = registered.map_err(|rejected| thrown(&rejected.into_error()))?;
        Ok(EventQueue {
            shared,
            id,
            node: node.downgrade(),
        })
    }

    /// Up to `max` events, the number of those that were lost before them, and whether none follow, as JSON. Where more are left,
    /// JavaScript is told again.
    pub(crate) fn take(&self, max: usize) -> String {
        let mut events = String::new();
        let (lost, has_ended, is_more) = {
            let mut state = self.shared.state.lock();
            let count = state.waiting.len().min(max);
            for (call, event) in state.waiting.drain(..count) {
                if !events.is_empty() {
                    events.push(',');
                }
                events.push_str(&format!("[{call},{event}]"));
            }
            let lost = std::mem::take(&mut state.lost);
            let is_more = !state.waiting.is_empty();
            state.is_delivered = is_more;
            (lost, state.has_ended && !is_more, is_more)
        };
        if is_more {
            let number = self.shared.number;
            self.shared.mailbox.post(format!("[\"readable\",{number}]"));
        }
        format!("{{\"events\":[{events}],\"lost\":{lost},\"ended\":{has_ended}}}")
    }

    /// Ends the subscription. Events that nobody has taken fail.
    pub(crate) fn close(&self) {
        if let Some(node) = self.node.upgrade() {
            // Its function only fills the queue, so there is nothing to wait for.
            node.remove_hook(self.id);
        }
        let left = std::mem::take(&mut self.shared.state.lock().waiting);
        for (call, _) in left.into_iter().filter(|(call, _)| *call != 0) {
            self.shared.open.end(
                call,
                Some("the queue was closed before the event was read".to_owned()),
            );
        }
    }
}
