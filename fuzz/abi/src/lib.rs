//! Calls the functions of the C ABI in any order, with anything that C may give: NULL, texts that are none, handles that have ended,
//! numbers out of bounds. What must hold: an error says something and has a code that is known, never INTERNAL; on failure nothing
//! is given; every text that comes out is UTF-8 with its length; a completion is told once; what was given to be ended is ended
//! once. That no memory is touched which nobody gave is for AddressSanitizer to see.
//!
//! `build.rs` writes the calls from the header, so that every function is called.

#![allow(
    clashing_extern_declarations,
    reason = "what a pointer points to is known only where somebody looks at it"
)]

// The functions are called by their names in C.
use ck_ffi as _;

mod callbacks;
mod player;
mod world;

use std::ffi::c_void;

use player::Player;

/// A function of the header.
pub(crate) struct Call {
    name: &'static str,
    group: &'static str,
    /// It may take seconds: it is seldom called.
    is_slow: bool,
    /// It is given a function that ends the user data.
    takes_destroy: bool,
    run: fn(&mut Player<'_>),
}

include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// Calls functions as the bytes say: most of them of one group, so that they meet each other; the others make what those need.
///
/// # Panics
/// When something is wrong: that is what a fuzzer looks for.
pub fn run(group: &str, bytes: &[u8]) {
    let (own, others): (Vec<&Call>, Vec<&Call>) = CALLS.iter().partition(|call| call.group == group);
    assert!(!own.is_empty(), "there is no group {group}");
    let mut player = Player::new(bytes);
    while let Some(chosen) = player.next_call() {
        let calls = if chosen.is_own { &own } else { &others };
        let call = calls[usize::from(chosen.number) % calls.len()];
        if !call.is_slow || chosen.may_be_slow {
            player.begin(call.name, call.takes_destroy);
            (call.run)(&mut player);
        }
    }
    player.end();
}
