//! What the generator promises.

use contextvars_difftest::generate::{genomes, grow};
use contextvars_spec::{Observe, Version, validate_steps};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Engines in processes of their own, and files, take no other.
    #[test]
    fn every_trace_is_valid(genome in genomes(160, Version::V3_14, 50)) {
        prop_assert_eq!(validate_steps(&grow(&genome, Observe::Every(usize::MAX)).steps), Ok(()));
    }
}
