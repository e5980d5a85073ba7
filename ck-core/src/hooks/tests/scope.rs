//! Whether a thread knows that it is inside a hook, to its very end.

use std::cell::RefCell;
use std::sync::mpsc::{Sender, channel};

use crate::hooks::scope;

/// A key that no handle of another test has: handles are at other addresses.
const HANDLE: usize = 1;

/// Tells whether the thread is inside a hook when its locals are destroyed.
struct Probe(Sender<bool>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.send(scope::inside(HANDLE)).unwrap();
    }
}

thread_local! {
    static PROBE: RefCell<Option<Probe>> = const { RefCell::new(None) };
}

/// A hook that ends the process has its node destroyed, where that is static, when the locals of its thread are gone. In
/// whichever order they go, the end of the node must not wait for that hook.
#[test]
fn a_thread_knows_that_it_is_inside_when_its_locals_are_gone() {
    for is_probe_first in [true, false] {
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            if is_probe_first {
                PROBE.set(Some(Probe(tell.clone())));
            }
            let scope = scope::enter(HANDLE);
            if !is_probe_first {
                PROBE.set(Some(Probe(tell)));
            }
            // As of a hook that does not return.
            std::mem::forget(scope);
        });
        thread.join().unwrap();
        assert_eq!(told.recv(), Ok(true), "the probe first: {is_probe_first}");
    }
    assert!(!scope::inside(HANDLE));
}
