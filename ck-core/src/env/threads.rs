//! Threads of ours, in a process that belongs to somebody else.
//!
//! What must stay true: no signal handler of the host ever runs on one of our threads, and a signal that the host blocks and
//! waits for (`sigwait`, `signalfd`) stays there for it. The system gives a signal that is sent to a process to any thread
//! that does not block it, and a handler that runs on a thread which its host has never seen finds no thread-locals, a stack
//! of another size, and perhaps a lock of ours held. So every thread of ours begins with all signals blocked but faults.
//!
//! A new thread has the mask of the one that starts it. Setting it on the new thread would leave a moment in which a signal
//! can come, so it is set on the starting one, and put back.

use std::io;
use std::thread::{self, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What a thread brings upon itself by what it executes. These come to the thread that faults, whatever others block, and a
/// fault that is blocked ends the process without a word to the host's crash reporter, or to Rust's own message about a
/// stack that is full. (SIGTRAP is a debugger's, SIGSYS that of a system call filter. SIGABRT is not among them: `abort`
/// unblocks it itself. SIGPIPE and SIGXFSZ become errors of the call.)
const FAULTS: [Signal; 6] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// The mask that was there before; put back when dropped, after a panic too.
struct Masked(Option<SigSet>);

impl Masked {
    fn now() -> Self {
        let mut all_but_faults = SigSet::all();
        for fault in FAULTS {
            all_but_faults.remove(fault);
        }
        // It fails for arguments that do not exist only, and these do.
        Masked(all_but_faults.thread_swap_mask(SigmaskHow::SIG_SETMASK).ok())
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            let _ = before.thread_set_mask();
        }
    }
}

/// Runs `start`, which may start threads: they begin with all signals blocked but faults. It must be short: a signal for this
/// thread waits meanwhile.
pub(crate) fn starting_threads<T>(start: impl FnOnce() -> T) -> T {
    let _masked = Masked::now();
    start()
}

/// Starts a thread with a name.
///
/// # Errors
/// When the system has no thread to give.
pub(crate) fn spawn_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    starting_threads(|| thread::Builder::new().name(name.to_owned()).spawn(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> SigSet {
        SigSet::thread_get_mask().unwrap()
    }

    #[test]
    fn a_thread_of_ours_blocks_all_but_faults_and_whoever_starts_it_is_left_as_it_was() {
        let before = mask();
        let theirs = spawn_thread("test", mask).unwrap().join().unwrap();
        for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP))
        {
            assert_eq!(theirs.contains(signal), !FAULTS.contains(&signal), "{signal}");
        }
        assert_eq!(mask(), before);
        let panicked =
            std::panic::catch_unwind(|| starting_threads(|| std::panic::resume_unwind(Box::new(()))));
        assert!(panicked.is_err());
        assert_eq!(mask(), before);
    }
}
