#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bindings;
mod contexts;
mod equality;
mod journal;
mod machine;
mod mapping;
mod objects;
mod programs;
mod queries;
mod surface;
mod text;
mod variables;
mod watchers;

pub use journal::MapChange;
pub use machine::Reference;
