//! Any bytes as a trace file.

#![no_main]
#![allow(unsafe_code, reason = "the macro exports the functions that libFuzzer calls")]

use contextvars_fuzz::trace::check_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| check_text(data));
