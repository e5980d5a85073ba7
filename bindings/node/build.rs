//! Links the addon as Node.js loads it.

fn main() {
    napi_build::setup();
    // A worker that ends closes the addons that it has loaded, while the threads of a node may still run in this one.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
