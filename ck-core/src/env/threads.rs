//! The threads of the library, in the process of an application.
//!
//! What must stay true: no signal handler of the application ever runs on a thread of the library, and a signal that the
//! application blocks and waits for (`sigwait`, `signalfd`) is delivered to it. The system delivers a signal for a process
//! to any thread that does not block it. A handler on a thread that the application does not know would find no
//! thread-locals, a stack of another size, and perhaps a lock of the library held. So every thread of the library begins
//! with all signals blocked except synchronous ones.
//!
//! A new thread inherits the mask of the thread that starts it. If the new thread set the mask itself, a signal could arrive
//! before that. So the starting thread sets it, and restores its own mask afterwards.

use std::io;
use std::thread::{self, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// The signals that a thread causes by what it executes. The system delivers them to that thread. A blocked one ends the
/// process without a call of the application's crash reporter, and without Rust's message about a stack overflow. (SIGTRAP is
/// for debuggers, SIGSYS for system call filters. SIGABRT is not among them, because `abort` unblocks it. SIGPIPE and
/// SIGXFSZ become errors of the call.)
const SYNCHRONOUS_SIGNALS: [Signal; 6] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// The signal mask of the thread before; restored when this is dropped, after a panic too.
struct SignalMaskGuard(Option<SigSet>);

impl SignalMaskGuard {
    fn block_signals() -> Self {
        let mut blocked = SigSet::all();
        for signal in SYNCHRONOUS_SIGNALS {
            blocked.remove(signal);
        }
        // It fails only for invalid arguments, and these are valid.
        SignalMaskGuard(blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK).ok())
    }
}

impl Drop for SignalMaskGuard {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            let _ = before.thread_set_mask();
        }
    }
}

/// Runs `start` with all signals blocked except synchronous ones; threads that it starts inherit that. It must be short,
/// because signals for the calling thread are delayed.
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // Miri knows no signals.
    if cfg!(miri) {
        return start();
    }
    let _guard = SignalMaskGuard::block_signals();
    start()
}

/// Starts a thread with a name.
///
/// # Errors
/// When the system cannot create a thread.
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // What a node of a test cluster starts belongs to it.
    #[cfg(feature = "testing")]
    let body = {
        let process = super::test_cluster::current();
        move || {
            let _entered = process.map(|process| process.enter());
            body()
        }
    };
    with_signals_blocked(|| thread::Builder::new().name(name.to_owned()).spawn(body))
}

/// Runs something short on a thread of its own, and waits for it: for threads that are ending, which lack what it needs. `None` where
/// it panicked.
///
/// # Errors
/// When the system cannot create a thread.
pub(crate) fn on_fresh_thread<T: Send>(body: impl FnOnce() -> T + Send) -> io::Result<Option<T>> {
    thread::scope(|scope| {
        let thread = with_signals_blocked(|| {
            thread::Builder::new()
                .name("ck-late".to_owned())
                .spawn_scoped(scope, body)
        })?;
        Ok(thread.join().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> SigSet {
        SigSet::thread_get_mask().unwrap()
    }

    #[test]
    fn a_thread_of_the_library_blocks_signals_and_the_mask_of_its_starter_is_restored() {
        let before = mask();
        let inherited = spawn_thread("test", mask).unwrap().join().unwrap();
        for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP))
        {
            assert_eq!(
                inherited.contains(signal),
                !SYNCHRONOUS_SIGNALS.contains(&signal),
                "{signal}"
            );
        }
        assert_eq!(mask(), before);
        let panicked =
            std::panic::catch_unwind(|| with_signals_blocked(|| std::panic::resume_unwind(Box::new(()))));
        assert!(panicked.is_err());
        assert_eq!(mask(), before);
    }
}
