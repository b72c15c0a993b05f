#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bindings;
mod equality;
mod machine;
mod objects;
mod surface;
mod text;

pub use machine::Reference;
