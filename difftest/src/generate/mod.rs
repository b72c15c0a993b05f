//! Traces that are grown from the reference model's state.
//!
//! A [`Genome`] is what proptest draws and shrinks: settings, and one number a step. [`grow`] turns
//! it into a trace; whatever the numbers, the trace is valid.

mod choice;
mod churn;
mod comparisons;
mod departures;
mod grow;
mod handovers;
mod hashes;
mod programs;
mod rounds;
mod settings;
mod sweep;
mod themes;
mod tide;
mod twins;
mod versions;

pub use grow::{Grown, grow};
pub use hashes::{Below, HashFamily, Hashes};
pub use settings::{Genome, Settings, Theme, genomes};
pub use tide::Tide;
