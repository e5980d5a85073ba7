//! Panics as log messages: a shared library that brings Rust's standard library with it must not print on its host's stderr.
//!
//! What panics is seldom a node's: the panic hook belongs to the process. So every log with a callback is told, and what
//! nobody could be told waits for the first callback.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::log_dispatcher::LogDispatcher;
use crate::options::LogLevel;

/// The most messages that wait for the first callback.
const MAX_WAITING_PANICS: usize = 16;
/// How long a thread that panics waits for a lock, which it may hold itself.
const LOCK_PATIENCE: Duration = Duration::from_millis(10);

struct PanicLog {
    logs: Vec<Weak<LogDispatcher>>,
    waiting: Vec<String>,
}

static PANIC_LOG: Mutex<PanicLog> = Mutex::new(PanicLog {
    logs: Vec::new(),
    waiting: Vec::new(),
});

/// Sends the messages of panics to the log callbacks of all nodes and clients from now on, and no longer to stderr. For libraries
/// with a standard library of their own, as those for C and for other languages are: the panic hook of a Rust program is its own.
pub fn send_panics_to_logs() {
    static SENT: Once = Once::new();
    SENT.call_once(|| std::panic::set_hook(Box::new(told)));
}

/// A log has a callback from now on.
pub(super) fn add(log: &Arc<LogDispatcher>) {
    let waiting = {
        let mut panics = PANIC_LOG.lock();
        panics.logs.retain(|known| known.strong_count() > 0);
        if !panics
            .logs
            .iter()
            .any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(log)))
        {
            panics.logs.push(Arc::downgrade(log));
        }
        std::mem::take(&mut panics.waiting)
    };
    for message in waiting {
        log.enqueue(LogLevel::Error, message);
    }
}

fn told(info: &PanicHookInfo<'_>) {
    // Not the thread's name: to ask for it may panic on a thread that is ending, which here would end the process.
    let message = format!(
        "a defect in ClusterKit: panic at {}: {}",
        info.location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string),
        words(info).unwrap_or("no message"),
    );
    tell(message);
}

fn words<'i>(info: &'i PanicHookInfo<'_>) -> Option<&'i str> {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
}

fn tell(message: String) {
    let Some(mut panics) = PANIC_LOG.try_lock_for(LOCK_PATIENCE) else {
        return;
    };
    let logs: Vec<_> = panics.logs.iter().filter_map(Weak::upgrade).collect();
    let mut has_taken = false;
    for log in &logs {
        has_taken |= log.enqueue_within(LOCK_PATIENCE, LogLevel::Error, &message);
    }
    if !has_taken && panics.waiting.len() < MAX_WAITING_PANICS {
        panics.waiting.push(message);
    }
    // Before the logs, the last of which may end here.
    drop(panics);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::Logger;
    use super::*;

    /// One test, because the logs are the process's.
    #[test]
    fn every_log_is_told_and_the_first_one_what_was_before() {
        let (sender, received) = mpsc::channel();
        let callback = |name: &'static str| -> super::super::LogCallback {
            let sender = sender.clone();
            Arc::new(move |level, text: &str| {
                if text.starts_with("panic_log: ") {
                    sender.send((name, level, text.to_owned())).unwrap();
                }
            })
        };
        // Other tests of this process have logs of their own, any of which may take what waits.
        let first = Logger::default();
        first.set_callback(Some(callback("first")));
        let other = Logger::default();
        other.set_callback(Some(callback("other")));
        tell("panic_log: boom".to_owned());
        let mut told = [received.recv().unwrap(), received.recv().unwrap()];
        told.sort_unstable();
        let message = |name| (name, LogLevel::Error, "panic_log: boom".to_owned());
        assert_eq!(told, [message("first"), message("other")]);

        // A log whose callback is taken away is told nothing, and one that is dropped is forgotten.
        other.set_callback(None);
        let dispatcher = Arc::downgrade(&first.dispatcher);
        first.close_within(Duration::from_secs(60));
        drop(first);
        assert_eq!(dispatcher.strong_count(), 0);
        tell("panic_log: bang".to_owned());
        assert!(received.try_recv().is_err());
    }
}
