//! The C library as a later version may be: see build.rs.
#![allow(non_camel_case_types, reason = "as in ck-ffi")]
#![allow(clippy::all, reason = "ck-ffi itself is checked")]

include!(concat!(env!("OUT_DIR"), "/lib.rs"));
