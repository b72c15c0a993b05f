//! The contenders, what they are timed at, and how the figures are shown.

pub mod aims;
#[cfg(feature = "cpython")]
pub mod capi;
pub mod contexts;
pub mod fresh;
pub mod losses;
pub mod maps;
pub mod measure;
pub mod mechanisms;
pub mod memory;
pub mod peers;
pub mod plot;
pub mod reasons;
pub mod report;
pub mod results;
pub mod threads;
