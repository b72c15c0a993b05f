#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bindings;
mod contexts;
mod equality;
mod machine;
mod mapping;
mod objects;
mod programs;
mod surface;
mod text;
mod variables;
mod watchers;

pub use machine::Reference;
