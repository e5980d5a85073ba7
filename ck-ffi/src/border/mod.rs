//! The border to C: the only place where pointers from C are checked, borrowed, made and taken back.
//!
//! - `guard` is around every function: no panic gets out, and a forked child is told that it cannot go on.
//! - `handle` has what C owns by a pointer, `record` what C reads by a pointer, `text` strings and bytes.
//! - `foreign` keeps what C gave us to keep, and gives it back exactly once.

pub(crate) mod foreign;
pub(crate) mod guard;
pub(crate) mod handle;
pub(crate) mod record;
pub(crate) mod text;
