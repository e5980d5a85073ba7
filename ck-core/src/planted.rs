//! Faults that the simulation must find. Each is one line, off unless a simulation asks for it by name.
//!
//! A simulation that finds nothing proves little before it has found the faults planted for it. The names, and what
//! each fault breaks, are listed with the test that finds them, in `tests/simulation`.

#[cfg(all(feature = "planted-bugs", not(all(debug_assertions, feature = "sim"))))]
compile_error!("planted-bugs is for simulations only: it needs debug assertions and the feature sim");

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Plants a fault on this thread, in place of the previous one; an empty name plants none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: &str) {
    PLANTED.with(|planted| bug.clone_into(&mut planted.borrow_mut()));
}

/// True when this fault is planted. Always false in a build without planted faults.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: &str) -> bool {
    PLANTED.with(|planted| *planted.borrow() == bug)
}

/// True when this fault is planted. Always false in a build without planted faults.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: &str) -> bool {
    false
}
