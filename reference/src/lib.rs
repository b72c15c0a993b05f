#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bindings;
mod equality;
mod journal;
mod machine;
mod objects;
mod queries;
mod surface;
mod text;

pub use journal::MapChange;
pub use machine::Reference;
