//! What the fuzz targets do with their bytes.

pub mod genome;
pub mod map;
pub mod trace;
