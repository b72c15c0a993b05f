#![doc = include_str!("../README.md")]

pub mod campaign;
pub mod compare;
pub mod coverage;
pub mod engines;
mod exchange;
pub mod generate;
pub mod golden;
pub mod hang;
pub mod laws;
pub mod lockstep;
pub mod merge;
pub mod minimize;
mod panics;
pub mod program;
pub mod report;
pub mod save;
pub mod shard;
pub mod shrink;
