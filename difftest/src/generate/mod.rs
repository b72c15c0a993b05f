//! Traces that are grown from the reference model's state.
//!
//! A [`Genome`] is what proptest draws and shrinks: settings, and one number a step. [`grow`] turns
//! it into a trace; whatever the numbers, the trace is valid.

mod choice;
mod grow;
mod hashes;
mod programs;
mod settings;

pub use grow::{Grown, grow};
pub use hashes::HashFamily;
pub use settings::{Genome, Settings, Theme, genomes};
