//! The optimized contexts against `BTreeMap`s.

#![no_main]
#![allow(unsafe_code, reason = "the macro exports the functions that libFuzzer calls")]

use contextvars_fuzz::map::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| check(data));
