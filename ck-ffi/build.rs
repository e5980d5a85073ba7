//! What the linker has to know about the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The number is that of the ABI: programs record the soname and refuse a library with another. Once loaded
    // the library stays, because its threads may outlive a dlclose.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libclusterkit.so.1");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
