//! Hooks: Python's functions, called with events.
//!
//! The core holds a weak reference to a function, and the `ClusterKit` of Python the function itself: so a node whose hooks
//! refer to it is still collected when nobody else does.

use std::sync::Arc;

use clusterkit::hooks::{EventFilter, EventType, Hook, HookCompletion};
use clusterkit::model::Event;
use clusterkit::{Error, ErrorCode};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::inbox::{InboxShared, Message};
use crate::plain::plain;
use crate::{front, gate};

/// A weak reference of Python's to a function.
pub(crate) type WeakFunction = Arc<Py<PyAny>>;

/// What a hook is told when its function is gone.
const COLLECTED: &str = "the hook's function is gone, and with it its node";

/// The name of every type that a filter accepts.
pub(crate) fn names_of(filter: EventFilter) -> Vec<&'static str> {
    let accepted = EVENT_TYPES
        .into_iter()
        .filter(|(_, event_type)| filter.accepts(*event_type));
    accepted.map(|(name, _)| name).collect()
}

/// An event of the core as Python's.
pub(crate) fn event<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    front::event_record(plain(py, event)?)
}

/// Every type of event, by its name in JSON.
const EVENT_TYPES: [(&str, EventType); 10] = [
    ("partition_change", EventType::PartitionChange),
    ("node_join", EventType::NodeJoin),
    ("node_rejoin", EventType::NodeRejoin),
    ("node_leave", EventType::NodeLeave),
    ("rebalance_start", EventType::RebalanceStart),
    ("rebalance_complete", EventType::RebalanceComplete),
    ("cluster_health_change", EventType::ClusterHealthChange),
    ("become_leader", EventType::BecomeLeader),
    ("lose_leadership", EventType::LoseLeadership),
    ("leader_change", EventType::LeaderChange),
];

/// The types of events with these names; all for none.
pub(crate) fn filter_of(names: &[String]) -> Result<EventFilter, Error> {
    let mut filter: Option<EventFilter> = None;
    for name in names {
        let (_, event_type) = EVENT_TYPES
            .into_iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| Error::new(ErrorCode::InvalidArgument, format!("there is no event {name:?}")))?;
        filter = Some(match filter {
            Some(filter) => filter.and(event_type),
            None => EventFilter::only(event_type),
        });
    }
    Ok(filter.unwrap_or(EventFilter::ALL))
}

/// Calls a function with an event, inside the interpreter. The words of its exception are the failure, and Python reports it as
/// it does for every exception that nobody can catch.
pub(crate) fn call(py: Python<'_>, function: &Py<PyAny>, happened: &Event) -> Result<(), String> {
    let outcome = function.bind(py).call0().and_then(|function| {
        if function.is_none() {
            return Ok(Err(COLLECTED.to_owned()));
        }
        let called = function.call1((event(py, happened)?,));
        match called {
            Ok(_) => Ok(Ok(())),
            Err(raised) => {
                let words = words(py, &raised);
                raised.write_unraisable(py, Some(&function));
                Ok(Err(words))
            }
        }
    });
    outcome.unwrap_or_else(|failed| {
        let words = words(py, &failed);
        failed.write_unraisable(py, None);
        Err(words)
    })
}

/// An exception in words: its type, and what it says.
fn words(py: Python<'_>, raised: &PyErr) -> String {
    let type_name = raised
        .get_type(py)
        .qualname()
        .map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    match raised.value(py).str() {
        Ok(text) if text.len().is_ok_and(|len| len > 0) => format!("{type_name}: {text}"),
        _ => type_name,
    }
}

/// A hook that runs on the thread that the core calls it on.
pub(crate) fn blocking(function: WeakFunction) -> Hook {
    Hook::blocking(move |event| {
        gate::attach(|py| call(py, &function, event))
            .unwrap_or_else(|| Err("the interpreter is ending".to_owned()))
    })
}

/// A hook that runs on the event loop of an inbox.
pub(crate) fn on_loop(function: WeakFunction, inbox: Arc<InboxShared>) -> Hook {
    Hook::deferred(move |event, completion| {
        let message = Message::Hook(Arc::clone(&function), event, completion);
        if let Err(Message::Hook(_, _, completion)) = inbox.push(message) {
            completion.complete(Err("the event loop of the hook is closed".to_owned()));
        }
    })
}

/// Ends a call of a hook that goes on after it has returned. Collected without an end, it fails the call.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct Completion(Mutex<Option<HookCompletion>>);

impl Completion {
    pub(crate) fn new(completion: HookCompletion) -> Self {
        Completion(Mutex::new(Some(completion)))
    }
}

#[pymethods]
impl Completion {
    /// Number of the call for its event, from 1; 0 when it has ended.
    fn attempt(&self) -> u32 {
        self.0.lock().as_ref().map_or(0, HookCompletion::attempt)
    }

    /// Ends the call: with success, or with why it failed.
    fn end(&self, py: Python<'_>, failure: Option<String>) {
        let completion = self.0.lock().take();
        if let Some(completion) = completion {
            py.detach(|| completion.complete(failure.map_or(Ok(()), Err)));
        }
    }
}
