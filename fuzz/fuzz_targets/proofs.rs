#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ck_fuzz::run("proofs", bytes));
