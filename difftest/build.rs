//! Points the binary at the libpython that it was built for.

#[cfg(feature = "cpython")]
mod link_python;

fn main() {
    #[cfg(feature = "cpython")]
    link_python::link_python();
}
