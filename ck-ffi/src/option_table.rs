//! The table of options, for programs that show or check them.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::OnceLock;

use clusterkit::{OptionDefault, OptionKind, OptionSpec};

use crate::border::text::CText;

/// One row of a table of options, as C reads it.
pub(crate) struct Row {
    pub(crate) name: CText,
    pub(crate) type_name: CText,
    pub(crate) default: Option<CText>,
    pub(crate) bounds: CText,
    environment: CText,
    pub(crate) help: CText,
}

impl Row {
    /// A row for an option that no environment variable sets.
    pub(crate) fn new(name: &str, kind: &OptionKind, default: OptionDefault, help: &str) -> Self {
        Row {
            name: CText::new(name),
            type_name: CText::new(kind.type_name()),
            default: match default {
                OptionDefault::Required | OptionDefault::None => None,
                default => Some(CText::new(default.text())),
            },
            bounds: CText::new(&kind.bounds()),
            environment: CText::new(""),
            help: CText::new(help),
        }
    }

    fn of_node(spec: &OptionSpec) -> Self {
        Row {
            environment: CText::new(&spec.env.join(" ")),
            ..Row::new(spec.name, &spec.kind, spec.default, spec.help)
        }
    }
}

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| clusterkit::options_table().iter().map(Row::of_node).collect())
}

/// A text of the row at an index; NULL where there is none.
pub(crate) fn text_at(
    rows: &'static [Row],
    index: usize,
    text: impl FnOnce(&'static Row) -> Option<&'static CText>,
) -> *const c_char {
    rows.get(index).and_then(text).map_or(null(), CText::as_ptr)
}

fn row(index: usize, text: impl FnOnce(&'static Row) -> Option<&'static CText>) -> *const c_char {
    text_at(rows(), index, text)
}

/// How many options there are.
///
/// Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_count() -> usize {
    rows().len()
}

/// The name of an option, which ck_options_set takes. NULL where there is none at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_name(index: usize) -> *const c_char {
    row(index, |row| Some(&row.name))
}

/// The type of an option in one word: text, address, list, map, boolean, integer, duration or choice. NULL where there is no
/// option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_type(index: usize) -> *const c_char {
    row(index, |row| Some(&row.type_name))
}

/// The value that applies when an option is not set, or in words where it comes from. NULL where there is none: the option
/// must be set, or is left out.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_default(index: usize) -> *const c_char {
    row(index, |row| row.default.as_ref())
}

/// What an option accepts, in words, such as "1 to 65536". NULL where there is no option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_bounds(index: usize) -> *const c_char {
    row(index, |row| Some(&row.bounds))
}

/// The environment variables that set an option, separated by blanks; where several are set, the first counts. NULL where
/// there is no option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_env(index: usize) -> *const c_char {
    row(index, |row| Some(&row.environment))
}

/// What an option means, in a sentence or two. NULL where there is no option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_option_help(index: usize) -> *const c_char {
    row(index, |row| Some(&row.help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::text_at;

    #[test]
    fn every_option_is_described_and_nothing_follows_the_last() {
        let count = ck_option_count();
        assert_eq!(count, clusterkit::options_table().len());
        for (index, spec) in clusterkit::options_table().iter().enumerate() {
            // SAFETY: static texts.
            unsafe {
                assert_eq!(text_at(ck_option_name(index)), spec.name);
                for text in [
                    ck_option_type(index),
                    ck_option_bounds(index),
                    ck_option_env(index),
                    ck_option_help(index),
                ] {
                    assert!(!text_at(text).is_empty(), "{}", spec.name);
                }
                assert_eq!(
                    ck_option_default(index).is_null(),
                    matches!(spec.default, OptionDefault::Required | OptionDefault::None)
                );
            }
        }
        assert!(ck_option_name(count).is_null() && ck_option_help(usize::MAX).is_null());
    }
}
