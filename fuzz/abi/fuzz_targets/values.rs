#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ck_fuzz_abi::run("values", bytes));
