//! Faults that the simulation must find: lines that are wrong on purpose, off unless a simulation asks for one by name.
//!
//! A simulation that finds nothing proves little before it has found the faults planted for it. The names, and what each
//! fault breaks, are listed with the hunt for them, in `tests/simulation`. Without the feature `planted-bugs` nothing of
//! them is compiled.

#[cfg(all(feature = "planted-bugs", not(all(debug_assertions, feature = "sim"))))]
compile_error!("planted-bugs is for simulations only: it needs debug assertions and the feature sim");

/// A fault, by its name:
/// - `planted!("name", return wrong);` leaves early. Expands to nothing without the feature.
/// - `planted!("name" => wrong, right)` is a value. Expands to `right` without the feature.
/// - `planted!("name")` is a condition. Expands to `false` without the feature.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($name:literal, $leave:expr) => {
        if $crate::planted::is_planted($name) {
            $leave;
        }
    };
    ($name:literal => $wrong:expr, $right:expr) => {
        if $crate::planted::is_planted($name) {
            $wrong
        } else {
            $right
        }
    };
    ($name:literal) => {
        $crate::planted::is_planted($name)
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($name:literal, $leave:expr) => {};
    ($name:literal => $wrong:expr, $right:expr) => {
        $right
    };
    ($name:literal) => {
        false
    };
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Plants a fault on this thread, in place of the previous one; an empty name plants none.
#[cfg(feature = "planted-bugs")]
pub fn plant(name: &str) {
    PLANTED.with(|planted| name.clone_into(&mut planted.borrow_mut()));
}

/// True when this fault is planted on this thread.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is_planted(name: &str) -> bool {
    PLANTED.with(|planted| *planted.borrow() == name)
}
