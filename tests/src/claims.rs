//! What nodes claim to be, moment by moment, and whether that can be true.
//!
//! A node's process takes a *sample* over and over: it notes the clock, asks itself of every partition whether it is
//! primary and under which epoch, and whether it leads, and notes the clock again. All processes are on one machine
//! and read one clock (`CLOCK_BOOTTIME`), so their samples compare.
//!
//! A sample `[from, to]` is true of *some* moment between `from` and `to`, nobody knows which. Two things follow, and
//! the check rests on them alone:
//!
//! - a claim that was sampled in `[from, to]` **had begun by `to`** and **had not ended at `from`**;
//! - epochs are handed out in the order of the log, and the holder of a lower one must have let go before the holder
//!   of a higher one begins.
//!
//! So of one subject (a partition, or leadership) no claim of a lower epoch may be sampled from a moment on at which a
//! sample with a higher epoch was already complete, on whichever node; and one epoch belongs to one node. That is
//! exact: it never accuses (whatever the true moments were, the order is certain), and it misses no overlap that
//! samples can show. If A's claims of `[a0, a1]` and later of `[a2, a3]` enclose B's claim of `[b0, b1]`
//! (`a1 < b0`, `b1 < a2`), then either A's epoch is lower, and A was still at it after B had begun; or it is higher,
//! and B began below an epoch that was already in use; or it is the same, which one epoch with two nodes is.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clusterkit::ClusterKit;

/// How often a process looks again when an answer and its epoch contradict each other: a role may end between the
/// two questions, but not three times in a row.
const LOOKS: usize = 3;

/// A moment of `CLOCK_BOOTTIME`, in nanoseconds: the clock that leases count by.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// What a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// To lead the cluster.
    Leadership,
    /// To be primary of this partition.
    Partition(u32),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Leadership => f.write_str("leadership"),
            Subject::Partition(number) => write!(f, "partition-{number}"),
        }
    }
}

/// What a node claims in one sample: each subject with its epoch.
pub type Claims = BTreeMap<Subject, u64>;

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Before the first question.
    pub from: u64,
    /// After the last answer.
    pub to: u64,
    /// What was claimed in between.
    pub claims: Claims,
}

impl Sample {
    /// Asks a node of this process everything, now.
    ///
    /// # Panics
    /// When it says yes and has no epoch to show for it.
    pub fn take(kit: &ClusterKit) -> Self {
        let mut claims = Claims::new();
        let from = now();
        let partitions = kit.view().partition_count();
        for number in 0..partitions {
            if let Some(epoch) = agreed(|| kit.is_primary(number), || kit.primary_epoch(number).ok()) {
                claims.insert(Subject::Partition(number), epoch);
            }
        }
        if let Some(epoch) = agreed(|| kit.is_leader(), || kit.leader_epoch().ok()) {
            claims.insert(Subject::Leadership, epoch);
        }
        let to = now();
        Sample { from, to, claims }
    }
}

/// The epoch of a role, where the node says that it has it.
fn agreed(says: impl Fn() -> bool, epoch: impl Fn() -> Option<u64>) -> Option<u64> {
    for _ in 0..LOOKS {
        if !says() {
            return None;
        }
        if let Some(epoch) = epoch() {
            return Some(epoch);
        }
    }
    panic!("a role is claimed without an epoch");
}

/// Writes samples to a file, each as soon as it is taken: what was claimed just before a `kill -9` is there.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    last: Option<Claims>,
}

impl Recorder {
    /// A new file in `folder` for a process of `node`.
    ///
    /// # Errors
    /// The system's.
    pub fn create(folder: &Path, node: &str) -> io::Result<Self> {
        let path = folder.join(format!("{node}@{}.claims", now()));
        Ok(Recorder {
            file: File::create_new(path)?,
            last: None,
        })
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// The system's.
    pub fn add(&mut self, sample: Sample) -> io::Result<()> {
        use std::fmt::Write as _;
        let mut line = format!("{} {}", sample.from, sample.to);
        if self.last.as_ref() == Some(&sample.claims) {
            line.push_str(" =");
        } else {
            for (subject, epoch) in &sample.claims {
                // Writing to a String cannot fail.
                let _ = match subject {
                    Subject::Leadership => write!(line, " L:{epoch}"),
                    Subject::Partition(number) => write!(line, " {number}:{epoch}"),
                };
            }
            self.last = Some(sample.claims);
        }
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }
}

/// The samples that one process took.
#[derive(Debug)]
pub struct Record {
    /// The node that it was a process of.
    pub node: String,
    /// When it began.
    pub began: u64,
    /// In the order in which they were taken.
    pub samples: Vec<Sample>,
}

impl Record {
    /// Reads what a [`Recorder`] wrote, also while it writes.
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (node, began) = name.split_once('@').unwrap();
        let mut record = Record {
            node: node.to_owned(),
            began: began.parse().unwrap(),
            samples: Vec::new(),
        };
        let mut reader = BufReader::new(File::open(path).unwrap());
        let mut line = String::new();
        let mut claims = Claims::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            // A process that was killed may have left half a line: its sample was never complete.
            let Some(whole) = line.strip_suffix('\n') else {
                break;
            };
            let mut words = whole.split(' ');
            let mut time = || words.next().unwrap().parse().unwrap();
            let (from, to) = (time(), time());
            let rest: Vec<&str> = words.collect();
            if rest != ["="] {
                claims = rest.iter().map(|word| claim(word)).collect();
            }
            record.samples.push(Sample {
                from,
                to,
                claims: claims.clone(),
            });
        }
        record
    }
}

fn claim(word: &str) -> (Subject, u64) {
    let (subject, epoch) = word.split_once(':').unwrap();
    let subject = match subject {
        "L" => Subject::Leadership,
        number => Subject::Partition(number.parse().unwrap()),
    };
    (subject, epoch.parse().unwrap())
}

/// What all processes of a cluster claimed.
#[derive(Debug, Default)]
pub struct History {
    /// Of each process.
    pub records: Vec<Record>,
}

/// What is certain of one node's claim of one subject under one epoch.
#[derive(Debug, Clone)]
struct Tenure {
    epoch: u64,
    node: String,
    /// It had begun by then: the earliest end of a sample of it.
    begun: u64,
    /// It had not ended then: the latest beginning of a sample of it.
    held: u64,
}

/// Two claims that cannot both be right.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl History {
    /// Everything that was recorded in `folder`, so far.
    pub fn read(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| path.extension().is_some_and(|kind| kind == "claims"))
            .collect();
        files.sort();
        History {
            records: files.iter().map(|path| Record::read(path)).collect(),
        }
    }

    /// Every sample of `node`, of all its processes.
    pub fn samples_of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Sample> {
        let records = self.records.iter().filter(move |record| record.node == node);
        records.flat_map(|record| &record.samples)
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.records.iter().map(|record| record.samples.len()).sum()
    }

    /// True where nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest epoch of each subject in the samples that were complete at `moment`.
    pub fn epochs_at(&self, moment: u64) -> Claims {
        let mut highest = Claims::new();
        let complete = |sample: &&Sample| sample.to <= moment;
        let samples = self.records.iter().flat_map(|record| &record.samples);
        for sample in samples.filter(complete) {
            for (subject, epoch) in &sample.claims {
                let known = highest.entry(*subject).or_default();
                *known = (*known).max(*epoch);
            }
        }
        highest
    }

    /// How long nobody claimed each subject, at the longest, between its first claim and the last sample of all.
    pub fn longest_gap(&self, subject: Subject) -> Duration {
        let all = || self.records.iter().flat_map(|record| &record.samples);
        let mut held: Vec<&Sample> = all()
            .filter(|sample| sample.claims.contains_key(&subject))
            .collect();
        held.sort_by_key(|sample| sample.from);
        let end = all().map(|sample| sample.to).max().unwrap_or(0);
        let starts = held.iter().skip(1).map(|sample| sample.from).chain([end]);
        let gaps = held
            .iter()
            .zip(starts)
            .map(|(one, next)| next.saturating_sub(one.to));
        Duration::from_nanos(gaps.max().unwrap_or(0))
    }

    /// Everything that cannot have been right; see the top of this file for the rule.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (subject, mut tenures) in self.tenures() {
            tenures.sort_by_key(|tenure| std::cmp::Reverse(tenure.epoch));
            // Of all higher epochs the one that had begun first.
            let mut higher: Option<Tenure> = None;
            let groups = tenures.chunk_by(|one, other| one.epoch == other.epoch);
            for group in groups {
                if let [one, other, ..] = group {
                    found.push(Violation(format!(
                        "{subject}: epoch {} was claimed by {} and by {}",
                        one.epoch, one.node, other.node
                    )));
                }
                for tenure in group {
                    if let Some(higher) = &higher
                        && tenure.held > higher.begun
                    {
                        found.push(Violation(format!(
                            "{subject}: {} claimed epoch {} {:?} after {} had claimed epoch {}",
                            tenure.node,
                            tenure.epoch,
                            Duration::from_nanos(tenure.held - higher.begun),
                            higher.node,
                            higher.epoch
                        )));
                    }
                }
                let first = group.iter().min_by_key(|tenure| tenure.begun);
                if first.is_some_and(|first| higher.as_ref().is_none_or(|known| first.begun < known.begun)) {
                    higher = first.cloned();
                }
            }
        }
        found
    }

    fn tenures(&self) -> BTreeMap<Subject, Vec<Tenure>> {
        let mut tenures = BTreeMap::<Subject, BTreeMap<(u64, &str), Tenure>>::new();
        for record in &self.records {
            for sample in &record.samples {
                for (subject, epoch) in &sample.claims {
                    let of_subject = tenures.entry(*subject).or_default();
                    let tenure = of_subject
                        .entry((*epoch, &record.node))
                        .or_insert_with(|| Tenure {
                            epoch: *epoch,
                            node: record.node.clone(),
                            begun: sample.to,
                            held: sample.from,
                        });
                    tenure.begun = tenure.begun.min(sample.to);
                    tenure.held = tenure.held.max(sample.from);
                }
            }
        }
        let lists = tenures.into_iter();
        lists
            .map(|(subject, of_subject)| (subject, of_subject.into_values().collect()))
            .collect()
    }

    /// Fails where two claims cannot both have been right.
    ///
    /// # Panics
    /// Then, with all of them.
    pub fn check(&self) {
        let found = self.violations();
        let list: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "two at once:\n{}", list.join("\n"));
    }
}

#[cfg(test)]
mod tests;
