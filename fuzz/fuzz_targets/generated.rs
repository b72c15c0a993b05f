//! The tester's generator, driven by bytes: reference against optimized.

#![no_main]
#![allow(unsafe_code, reason = "the macros export the functions that libFuzzer calls")]

use contextvars_fuzz::genome::{Random, mutate};
use contextvars_fuzz::trace::check_generated;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| check_generated(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed));
    // The fuzzer's own mutations change the settings, and splice inputs.
    match random.below(4) {
        0 => None,
        _ => mutate(data, size, max_size, &mut random),
    }
    .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
