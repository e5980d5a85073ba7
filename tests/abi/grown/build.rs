//! Writes the sources of ck-ffi as a later version may have them: every struct that C reads has grown at its end, and a panic
//! can be injected below the border. Only this crate is built for that; the core is that of all other tests.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The one struct that stays as it is: programs make arrays of it.
const NEVER_GROWS: &str = "ck_bytes_t";

/// What a field that a program does not know may hold: nothing that works as a length or a pointer.
const FIELD: &str = "grown: [u64; 8]";
const VALUE: &str = "grown: [0xa5a5_a5a5_a5a5_a5a5; 8],";

/// What has a panic injected, and where: calls on their caller's thread, and calls that do not wait.
const INJECTED: [(&str, &str); 2] = [
    (
        "fn node(&self) -> &ClusterKit {",
        "fn node(&self) -> &ClusterKit { crate::injected_panic();",
    ),
    (
        "async move { teller.tell(call.await",
        "async move { crate::injected_panic(); teller.tell(call.await",
    ),
];

const SWITCH: &str = r#"
static PANICS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Sets whether calls that reach the core panic.
#[unsafe(no_mangle)]
pub extern "C" fn ck_grown_panic(on: bool) {
    PANICS.store(on, std::sync::atomic::Ordering::SeqCst);
}

pub(crate) fn injected_panic() {
    assert!(!PANICS.load(std::sync::atomic::Ordering::SeqCst), "injected");
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let ffi = Path::new("../../../ck-ffi");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", ffi.join("src").display());
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libclusterkit.so.1");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    read(&ffi.join("src"), Path::new(""), &mut files)?;

    let mut structs = Vec::new();
    for (_, source) in &mut files {
        *source = grow(source, &mut structs)?;
    }
    if structs.len() < 20 {
        return Err(format!("these are not all: {structs:?}").into());
    }
    let mut injected = [0; INJECTED.len()];
    for (path, mut source) in files {
        for name in &structs {
            source = fill(&source, name);
        }
        for ((old, new), count) in INJECTED.iter().zip(&mut injected) {
            *count += source.matches(old).count();
            source = source.replace(old, new);
        }
        if path == Path::new("lib.rs") {
            // It is included, where attributes of a crate have no place.
            let is_item = |line: &&str| !line.starts_with("//!");
            let items = source.split_once("mod border;").ok_or("no modules")?.1;
            source = "mod border;".to_owned()
                + &items.lines().filter(is_item).collect::<Vec<_>>().join("\n")
                + SWITCH;
        }
        let to = out.join(path);
        fs::create_dir_all(to.parent().ok_or("no folder")?)?;
        fs::write(to, source)?;
    }
    if injected != [1; INJECTED.len()] {
        return Err(format!("the places for a panic have changed: {injected:?}").into());
    }
    Ok(())
}

fn read(from: &Path, under: &Path, files: &mut Vec<(PathBuf, String)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(from.join(under))? {
        let entry = entry?;
        let path = under.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read(from, &path, files)?;
        } else {
            let source = fs::read_to_string(entry.path())?;
            files.push((path, source));
        }
    }
    Ok(())
}

/// Adds a field to the end of each struct that C reads.
fn grow(source: &str, structs: &mut Vec<String>) -> Result<String, Box<dyn Error>> {
    let mut grown = String::new();
    let mut rest = source;
    while let Some(at) = rest.find("pub struct ck_") {
        let is_for_c = rest[..at]
            .rsplit("\n\n")
            .next()
            .is_some_and(|head| head.contains("#[repr(C)]"));
        let name = rest[at + "pub struct ".len()..]
            .split([' ', ';'])
            .next()
            .ok_or("no name")?;
        if !is_for_c || name == NEVER_GROWS {
            let (before, after) = rest.split_at(at + "pub struct ".len());
            grown.push_str(before);
            rest = after;
            continue;
        }
        let end = at + rest[at..].find("\n}").ok_or("no end")?;
        grown.push_str(&rest[..end]);
        grown.push_str(&format!(
            "\n    /// What a later version has added.\n    pub {FIELD},"
        ));
        rest = &rest[end..];
        structs.push(name.to_owned());
    }
    Ok(grown + rest)
}

/// Fills that field wherever such a struct is made.
fn fill(source: &str, name: &str) -> String {
    let made = format!("{name} {{");
    let mut filled = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(&made) {
        let before = &rest[..at];
        let word = before
            .trim_end()
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        let is_value = !["struct", "for", "impl", "->", "*const", "*mut"].contains(&word)
            && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        filled.push_str(&rest[..at + made.len()]);
        if is_value {
            filled.push_str(VALUE);
        }
        rest = &rest[at + made.len()..];
    }
    filled + rest
}
