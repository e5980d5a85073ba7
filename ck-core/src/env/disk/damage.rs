//! Damage of the kinds that disks, file systems and people cause, for tests of the code that opens the files afterwards.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

const SECTOR_BYTES: usize = 512;

/// A number from an environment variable, with which the tests can be configured.
#[cfg(test)]
pub(crate) fn env_number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Damages the files in one way, and returns a description.
pub fn damage<K: Clone + Ord + Debug>(rng: &mut StdRng, files: &mut BTreeMap<K, Vec<u8>>) -> String {
    let names: Vec<K> = files.keys().cloned().collect();
    let name = names[rng.random_range(0..names.len())].clone();
    let other = names[rng.random_range(0..names.len())].clone();
    let mut content = files[&name].clone();
    // Most of a segment of the log is empty, and the damage should mostly hit the part that is in use.
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let length = if rng.random_bool(0.8) { used } else { content.len() };
    let part = range(rng, length);
    let sectors = content.len() / SECTOR_BYTES;
    let what = match rng.random_range(0..11) {
        0 => {
            content[part.clone()].fill(0);
            format!("{part:?} zeroed")
        }
        1 => {
            content[part.start..].fill(0);
            format!("zeroed from {}", part.start)
        }
        2 => {
            content.truncate(part.start);
            format!("cut to {}", part.start)
        }
        3 if !part.is_empty() => {
            let bit = 1 << rng.random_range(0..8);
            content[part.start] ^= bit;
            format!("bit {bit:#x} of {} flipped", part.start)
        }
        4 => {
            rng.fill(&mut content[part.clone()]);
            format!("{part:?} replaced by noise")
        }
        5 if sectors > 0 => {
            let (one, two) = (rng.random_range(0..sectors), rng.random_range(0..sectors));
            for at in 0..SECTOR_BYTES {
                content.swap(one * SECTOR_BYTES + at, two * SECTOR_BYTES + at);
            }
            format!("sectors {one} and {two} swapped")
        }
        6 => {
            content.drain(part.clone());
            format!("{part:?} left out")
        }
        7 => {
            let length = content.len();
            content.drain(part.clone());
            content.resize(length, 0);
            format!("{part:?} left out, and the length restored")
        }
        8 => {
            files.remove(&name);
            return format!("{name:?} removed");
        }
        9 => {
            let others = std::mem::replace(files.entry(other.clone()).or_default(), content);
            files.insert(name.clone(), others);
            return format!("{name:?} and {other:?} swapped");
        }
        _ => {
            content.clear();
            "emptied".to_owned()
        }
    };
    files.insert(name.clone(), content);
    format!("{name:?}: {what}")
}

/// A range within `length` bytes, of whole sectors half of the time.
fn range(rng: &mut StdRng, length: usize) -> Range<usize> {
    let unit = if rng.random_bool(0.5) { SECTOR_BYTES } else { 1 };
    let start = rng.random_range(0..length.max(1)) / unit * unit;
    let longest = [1, 20, 512, 4096, length][rng.random_range(0..5)];
    let end = start + rng.random_range(1..=longest.max(1)).next_multiple_of(unit);
    start..end.min(length)
}
