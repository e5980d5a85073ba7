//! The parts of a lookup, for bench.mjs: what a native call with a string costs, and what a bare MD5.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use clusterkit::routing::partition_for;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;

use crate::error::{self as js, refused};
use crate::raw::{Functions, object, raw_function};

raw_function!(length_of, (), |call, ()| {
    let length = call.with_key(0, <[u8]>::len)?;
    Ok(call.boolean(length == 0))
});

const PARTS: &Functions = &[(c"lengthOf", Some(length_of))];

/// An object with a function that takes a string and does nothing with it.
#[napi(catch_unwind)]
pub fn lookup_parts(env: &Env) -> js::Result<Object<'_>> {
    let functions = object(env.raw(), &Rc::new(()), PARTS).map_err(|error| refused(&error))?;
    Ok(Object::from_raw(env.raw(), functions))
}

/// Nanoseconds for one MD5 of a key and its remainder, the best of a hundred rounds of a thousand.
#[napi(catch_unwind)]
pub fn hash_nanoseconds(key: String) -> f64 {
    let round = || {
        let began = Instant::now();
        for _ in 0..1000 {
            black_box(partition_for(black_box(key.as_bytes()), black_box(64)));
        }
        began.elapsed().as_nanos() as f64 / 1000.0
    };
    (0..100).map(|_| round()).fold(f64::INFINITY, f64::min)
}
