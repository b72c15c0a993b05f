//! What build scripts do for programs that embed CPython: the libpython that was built for is the one
//! that is loaded, and the program knows its version.

/// Tells cargo how to link.
pub(crate) fn link_python() {
    pyo3_build_config::use_pyo3_cfgs();
    let version = pyo3_build_config::get().version();
    println!("cargo:rustc-env=CONTEXTVARS_PYTHON={}.{}", version.major, version.minor);
    // Without this the loader may pick another libpython of the same minor version.
    pyo3_build_config::add_libpython_rpath_link_args();
    // An interpreter that is unpacked into a folder together with its own C library needs that
    // library's loader.
    if let Some(folder) = pyo3_build_config::get().lib_dir() {
        let loader = std::path::Path::new(folder).join("ld-linux-x86-64.so.2");
        if loader.exists() && !folder.starts_with("/usr") {
            println!("cargo:rustc-link-arg=-Wl,--dynamic-linker={}", loader.display());
            println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
        }
    }
}
