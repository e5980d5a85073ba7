//! Which library this is.

use std::ffi::c_char;

/// The version of the library that this header came with: major.
pub const CK_VERSION_MAJOR: u32 = 0;
/// The version of the library that this header came with: minor.
pub const CK_VERSION_MINOR: u32 = 1;
/// The version of the library that this header came with: patch.
pub const CK_VERSION_PATCH: u32 = 0;
/// The three in one number that grows with every version: major * 1000000 + minor * 1000 + patch.
pub const CK_VERSION: u32 = 1000;

/// The number of the ABI that this header describes; the soname carries it. Programs built with one number work
/// with every library of that number and of the same or a later version. docs/abi.md says what may change within a number.
pub const CK_ABI_VERSION: u32 = 1;

/// The version of the library that runs, as "major.minor.patch".
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the library that runs, in the form of CK_VERSION.
///
/// Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_version_number() -> u32 {
    CK_VERSION
}

/// The number of the ABI of the library that runs. A program that finds another than its CK_ABI_VERSION must
/// not go on.
///
/// Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_abi_version() -> u32 {
    CK_ABI_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_package_version() {
        let header = format!("{CK_VERSION_MAJOR}.{CK_VERSION_MINOR}.{CK_VERSION_PATCH}");
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
        let number = CK_VERSION_MAJOR * 1_000_000 + CK_VERSION_MINOR * 1_000 + CK_VERSION_PATCH;
        assert_eq!((CK_VERSION, ck_version_number()), (number, number));
    }
}
