//! A static library in Rust that is not ClusterKit, and brings a standard library of its own: threads, thread locals, panics.

use std::cell::Cell;
use std::collections::HashMap;

thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });

/// How many of so many threads end as they should: the odd ones panic.
#[no_mangle]
pub extern "C" fn other_rust(threads: u32) -> u32 {
    CALLS.set(CALLS.get() + 1);
    let running: HashMap<u32, _> = (0..threads)
        .map(|number| {
            let run = move || {
                CALLS.set(number);
                if number % 2 == 1 {
                    std::panic::resume_unwind(Box::new(number));
                }
                CALLS.get()
            };
            (number, std::thread::spawn(run))
        })
        .collect();
    let ended = running.into_iter().map(|(number, thread)| match thread.join() {
        Ok(seen) => u32::from(seen == number),
        Err(payload) => u32::from(payload.downcast_ref::<u32>() == Some(&number)),
    });
    ended.sum()
}

/// How often this thread has called it.
#[no_mangle]
pub extern "C" fn other_rust_calls() -> u32 {
    CALLS.get()
}
