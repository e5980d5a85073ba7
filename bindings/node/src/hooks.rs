//! Hooks: JavaScript is told of an event, and ends the call when the Promise of its function has settled.

use std::collections::HashMap;
use std::sync::Arc;

use clusterkit::hooks::{EventFilter, EventType, Hook, HookCompletion};
use clusterkit::model::Event;
use parking_lot::Mutex;

use crate::error::{self as js, invalid};
use crate::json::json;
use crate::mailbox::Mailbox;

/// Why a call failed that JavaScript can end no more.
const GONE: &str = "the JavaScript environment has ended";

/// Event types in the order of their bits, which the front has too.
const EVENT_TYPES: [EventType; 10] = [
    EventType::PartitionChange,
    EventType::NodeJoin,
    EventType::NodeRejoin,
    EventType::NodeLeave,
    EventType::RebalanceStart,
    EventType::RebalanceComplete,
    EventType::ClusterHealthChange,
    EventType::BecomeLeader,
    EventType::LoseLeadership,
    EventType::LeaderChange,
];

/// The filter of a sum of bits; 0 is every event, those of later versions too.
pub(crate) fn filter_of(mask: u32) -> js::Result<EventFilter> {
    if mask == 0 {
        return Ok(EventFilter::ALL);
    }
    let mut chosen = EVENT_TYPES
        .into_iter()
        .filter(|kind| mask & (1 << *kind as u32) != 0);
    match chosen.next() {
        Some(first) => Ok(chosen.fold(EventFilter::only(first), EventFilter::and)),
        None => Err(invalid("no type of event is known by this number")),
    }
}

/// Calls of hooks that JavaScript has not ended yet, by the number that it knows them by.
#[derive(Clone, Default)]
pub(crate) struct OpenHookCalls(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    calls: HashMap<u32, HookCompletion>,
    last: u32,
    is_closed: bool,
}

impl OpenHookCalls {
    /// Keeps a call until JavaScript ends it; returns its number. `None`, and the call has failed, where nobody will.
    pub(crate) fn add(&self, completion: HookCompletion) -> Option<u32> {
        let mut waiting = self.0.lock();
        if waiting.is_closed {
            drop(waiting);
            completion.complete(Err(GONE.to_owned()));
            return None;
        }
        // More than four billion calls are never open, so a number is free long before it comes again.
        waiting.last = waiting.last.wrapping_add(1);
        let number = waiting.last;
        waiting.calls.insert(number, completion);
        Some(number)
    }

    /// Ends a call: with success, or with the words of a failure.
    pub(crate) fn end(&self, number: u32, failure: Option<String>) {
        let completion = self.0.lock().calls.remove(&number);
        // Outside of the lock: it may start the next call.
        if let Some(completion) = completion {
            completion.complete(failure.map_or(Ok(()), Err));
        }
    }

    /// Fails every open call, and those that come.
    pub(crate) fn close(&self) {
        let calls = {
            let mut waiting = self.0.lock();
            waiting.is_closed = true;
            std::mem::take(&mut waiting.calls)
        };
        for completion in calls.into_values() {
            completion.complete(Err(GONE.to_owned()));
        }
    }
}

/// Tells JavaScript that no further call of a hook comes, when the node has dropped it.
struct Registration {
    mailbox: Arc<Mailbox>,
    number: u32,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.mailbox.post(format!("[\"gone\",{}]", self.number));
    }
}

/// A hook of JavaScript's, which knows it by `number`.
pub(crate) fn hook(mailbox: Arc<Mailbox>, open: OpenHookCalls, number: u32) -> Hook {
    let registration = Registration { mailbox, number };
    Hook::deferred(move |event: Arc<Event>, completion| {
        let attempt = completion.attempt();
        let event = json(&*event);
        let Some(call) = open.add(completion) else {
            return;
        };
        let number = registration.number;
        if !registration
            .mailbox
            .post(format!("[\"hook\",{number},{call},{attempt},{event}]"))
        {
            open.end(call, Some(GONE.to_owned()));
        }
    })
}
