//! What a member holds: rows by partition and key, each with its version, and per partition the fence.
//!
//! A row is replaced only by one of a higher version, so rows may arrive twice and in any order. A deleted key leaves a row
//! without a value: a copy that comes late cannot bring it back.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::sqlite::SqliteThread;

/// What orders the writes of a key: the epoch of the primary that made it, then the primary's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Version {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('.');
        let numbers = parts.and_then(|(epoch, seq)| Some((epoch.parse().ok()?, seq.parse().ok()?)));
        let (epoch, seq) = numbers.ok_or_else(|| format!("{text:?} is no version: EPOCH.SEQ"))?;
        Ok(Version { epoch, seq })
    }
}

/// One key, as it is stored and sent. `value` is `None` where the key was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) version: Version,
}

impl Row {
    /// Its part of the digest, which is the sum of all.
    fn checksum(&self) -> u64 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(format!("{}\0{}\0", self.key, self.version).as_bytes());
        match &self.value {
            Some(value) => {
                crc.update(b"v");
                crc.update(value.as_bytes());
            }
            None => crc.update(b"d"),
        }
        crc.finalize().into()
    }

    pub(crate) fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, String::len)
    }
}

/// What is known of the copy of one partition. Kept up to date by each change, so asking costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CopyState {
    /// The highest epoch that this copy has seen. A write of a lower one is refused.
    pub(crate) fence: u64,
    /// Whether this copy may count in a quorum: it has kept everything that it ever acknowledged.
    pub(crate) whole: bool,
    /// Rows, deleted ones included.
    pub(crate) count: u64,
    /// The sum of the rows' checksums.
    pub(crate) digest: u64,
    /// Keys that have a value.
    pub(crate) live: u64,
    /// The highest number of a write.
    seq: u64,
}

impl CopyState {
    fn add(&mut self, row: &Row) {
        self.count += 1;
        self.live += u64::from(row.value.is_some());
        self.digest = self.digest.wrapping_add(row.checksum());
        self.seq = self.seq.max(row.version.seq);
    }

    fn subtract(&mut self, row: &Row) {
        self.count -= 1;
        self.live -= u64::from(row.value.is_some());
        self.digest = self.digest.wrapping_sub(row.checksum());
    }
}

/// Why the store did not do what it was asked to.
#[derive(Debug, Clone)]
pub(crate) enum StoreError {
    /// A later primary has been here, or the copy is not what it is compared with.
    Refused(CopyState),
    /// The database failed; nothing was changed.
    Failed(String),
}

impl From<StoreError> for String {
    fn from(error: StoreError) -> Self {
        format!("{error:?}")
    }
}

/// Where rows are kept. Nothing here decides anything.
pub(crate) trait Rows: Send {
    fn get(&mut self, partition: u32, key: &str) -> Result<Option<Row>, StoreError>;
    /// Up to `limit` rows after a key, in the order of the keys' bytes.
    fn after(&mut self, partition: u32, key: &str, limit: usize) -> Result<Vec<Row>, StoreError>;
    fn put(&mut self, partition: u32, row: &Row) -> Result<(), StoreError>;
    fn remove(&mut self, partition: u32, key: &str) -> Result<(), StoreError>;
    fn clear(&mut self, partition: u32) -> Result<(), StoreError>;
    fn save(&mut self, partition: u32, fence: u64, whole: bool) -> Result<(), StoreError>;
    /// What was kept of each copy: its number, its fence, whether it is whole.
    fn saved(&mut self) -> Result<Vec<(u32, u64, bool)>, StoreError>;
    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), StoreError>;
    /// Ends it.
    fn end(&mut self, commit: bool) -> Result<(), StoreError>;
}

/// A part of a partition in the order of its keys.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    /// The last key of the page, if more follow.
    pub(crate) next: Option<String>,
    pub(crate) state: CopyState,
}

/// All copies of this member.
pub(crate) struct Copies {
    states: BTreeMap<u32, CopyState>,
    rows: Box<dyn Rows>,
}

/// How many rows are read from the store at a time.
const READ_ROWS: usize = 500;
/// How many bytes of keys and values a page has at most, unless a single row is larger.
const PAGE_BYTES: usize = 1 << 20;

impl Copies {
    /// The copies that are in `rows`.
    pub(crate) fn load(rows: Box<dyn Rows>) -> Result<Self, StoreError> {
        let states = BTreeMap::new();
        let mut copies = Copies { states, rows };
        copies.reload()?;
        Ok(copies)
    }

    fn reload(&mut self) -> Result<(), StoreError> {
        self.states.clear();
        for (partition, fence, whole) in self.rows.saved()? {
            let mut state = CopyState {
                fence,
                whole,
                ..CopyState::default()
            };
            self.each(partition, |row| state.add(row))?;
            self.states.insert(partition, state);
        }
        Ok(())
    }

    /// Runs jobs in one transaction: all of their changes are kept, or none.
    pub(crate) fn together<T>(
        &mut self,
        jobs: impl FnOnce(&mut Self) -> (bool, T),
    ) -> (Result<(), StoreError>, T) {
        let begun = self.rows.begin();
        let (succeeded, done) = jobs(self);
        let mut ended = begun.and_then(|()| self.rows.end(succeeded));
        if ended.is_ok() && !succeeded {
            ended = Err(StoreError::Failed(
                "a job of the same transaction failed".to_owned(),
            ));
        }
        if ended.is_err() {
            // The states are as if the changes had been made.
            drop(self.rows.end(false));
            ended = ended.and(self.reload());
        }
        (ended, done)
    }

    fn each(&mut self, partition: u32, mut visit: impl FnMut(&Row)) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = self.rows.after(partition, &after, READ_ROWS)?;
            rows.iter().for_each(&mut visit);
            match rows.into_iter().nth(READ_ROWS - 1) {
                Some(last) => after = last.key,
                None => return Ok(()),
            }
        }
    }

    pub(crate) fn state(&self, partition: u32) -> CopyState {
        self.states.get(&partition).copied().unwrap_or_default()
    }

    /// Keys with a value in all copies here, and the first `limit` of them.
    pub(crate) fn keys(&mut self, limit: usize) -> Result<(Vec<String>, u64), StoreError> {
        let mut keys = Vec::new();
        for partition in self.states.keys().copied().collect::<Vec<_>>() {
            if keys.len() < limit {
                self.each(partition, |row| {
                    if row.value.is_some() && keys.len() < limit {
                        keys.push(row.key.clone());
                    }
                })?;
            }
        }
        Ok((keys, self.live()))
    }

    pub(crate) fn live(&self) -> u64 {
        self.states.values().map(|state| state.live).sum()
    }

    pub(crate) fn get(&mut self, partition: u32, key: &str) -> Result<Option<Row>, StoreError> {
        self.rows.get(partition, key)
    }

    /// Promises that no write of an earlier epoch gets into this copy from now on.
    pub(crate) fn fence(&mut self, partition: u32, epoch: u64) -> Result<CopyState, StoreError> {
        let state = self.state(partition);
        if epoch < state.fence {
            return Err(StoreError::Refused(state));
        }
        if epoch > state.fence {
            self.save(
                partition,
                CopyState {
                    fence: epoch,
                    ..state
                },
            )?;
        }
        Ok(self.state(partition))
    }

    pub(crate) fn set_whole(&mut self, partition: u32, whole: bool) -> Result<CopyState, StoreError> {
        let state = CopyState {
            whole,
            ..self.state(partition)
        };
        self.save(partition, state)?;
        Ok(state)
    }

    fn save(&mut self, partition: u32, state: CopyState) -> Result<(), StoreError> {
        self.rows.save(partition, state.fence, state.whole)?;
        self.states.insert(partition, state);
        Ok(())
    }

    /// A write of the primary, which numbers it.
    pub(crate) fn write(
        &mut self,
        partition: u32,
        epoch: u64,
        (key, value): (String, Option<String>),
    ) -> Result<Row, StoreError> {
        let seq = self.fence(partition, epoch)?.seq.checked_add(1);
        let seq = seq.ok_or_else(|| StoreError::Failed("a row has the last of all versions".to_owned()))?;
        let version = Version { epoch, seq };
        let row = Row { key, value, version };
        self.put(partition, &row)?;
        Ok(row)
    }

    /// Takes rows from the primary of this epoch; those that are older than what is here change nothing.
    pub(crate) fn merge(
        &mut self,
        partition: u32,
        epoch: u64,
        rows: &[Row],
    ) -> Result<CopyState, StoreError> {
        self.fence(partition, epoch)?;
        self.absorb(partition, rows)
    }

    /// Takes rows from a copy that does not act as primary.
    pub(crate) fn absorb(&mut self, partition: u32, rows: &[Row]) -> Result<CopyState, StoreError> {
        for row in rows {
            self.put(partition, row)?;
        }
        Ok(self.state(partition))
    }

    fn put(&mut self, partition: u32, row: &Row) -> Result<(), StoreError> {
        let old = self.rows.get(partition, &row.key)?;
        if old.as_ref().is_some_and(|old| old.version >= row.version) {
            return Ok(());
        }
        self.rows.put(partition, row)?;
        let state = self.states.entry(partition).or_default();
        if let Some(old) = &old {
            state.subtract(old);
        }
        state.add(row);
        Ok(())
    }

    /// Makes the keys after `after`, up to the page's end, what the primary of `epoch` has. A row of an earlier epoch that it
    /// does not have was never acknowledged, or has been written again since: it goes. Rows of its own epoch came from it
    /// after it had read the page: they stay.
    pub(crate) fn replace(
        &mut self,
        partition: u32,
        epoch: u64,
        after: &str,
        page: &Page,
    ) -> Result<CopyState, StoreError> {
        self.fence(partition, epoch)?;
        let there: BTreeMap<&str, Version> = page.rows.iter().map(|row| (&*row.key, row.version)).collect();
        let mut surplus = Vec::new();
        let mut from = after.to_owned();
        'reading: loop {
            let rows = self.rows.after(partition, &from, READ_ROWS)?;
            let full = rows.len() == READ_ROWS;
            for row in rows {
                from.clone_from(&row.key);
                if page.next.as_ref().is_some_and(|end| row.key > *end) {
                    break 'reading;
                }
                if row.version.epoch < epoch && there.get(&*row.key).is_none_or(|other| *other < row.version)
                {
                    surplus.push(row);
                }
            }
            if !full {
                break;
            }
        }
        for row in surplus {
            self.rows.remove(partition, &row.key)?;
            self.states.entry(partition).or_default().subtract(&row);
        }
        self.merge(partition, epoch, &page.rows)
    }

    pub(crate) fn page(&mut self, partition: u32, after: &str, limit: usize) -> Result<Page, StoreError> {
        let mut rows = self.rows.after(partition, after, limit + 1)?;
        let mut bytes = 0;
        let fits = |row: &Row| {
            bytes += row.size();
            bytes <= PAGE_BYTES
        };
        let fitting = rows.iter().take(limit).map(fits).take_while(|fits| *fits).count();
        let is_last = fitting.max(1) >= rows.len();
        rows.truncate(fitting.max(1));
        let next = rows.last().filter(|_| !is_last).map(|row| row.key.clone());
        let state = self.state(partition);
        Ok(Page { rows, next, state })
    }

    /// Deletes the rows of a partition. The fence stays: a late write of an earlier primary is refused all the same.
    pub(crate) fn clear(&mut self, partition: u32) -> Result<(), StoreError> {
        self.rows.clear(partition)?;
        let fence = self.state(partition).fence;
        self.save(
            partition,
            CopyState {
                fence,
                ..CopyState::default()
            },
        )
    }
}

/// Rows that are gone with the process.
#[derive(Default)]
struct MemoryRows(BTreeMap<u32, BTreeMap<String, (Option<String>, Version)>>);

fn row((key, (value, version)): (&String, &(Option<String>, Version))) -> Row {
    let (key, value, version) = (key.clone(), value.clone(), *version);
    Row { key, value, version }
}

impl Rows for MemoryRows {
    fn get(&mut self, partition: u32, key: &str) -> Result<Option<Row>, StoreError> {
        let rows = self.0.get(&partition);
        Ok(rows.and_then(|rows| rows.get_key_value(key)).map(row))
    }

    fn after(&mut self, partition: u32, key: &str, limit: usize) -> Result<Vec<Row>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (Excluded(key), Unbounded);
        let rows = self.0.get(&partition).into_iter();
        Ok(rows
            .flat_map(|rows| rows.range::<str, _>(range))
            .take(limit)
            .map(row)
            .collect())
    }

    fn put(&mut self, partition: u32, row: &Row) -> Result<(), StoreError> {
        let rows = self.0.entry(partition).or_default();
        rows.insert(row.key.clone(), (row.value.clone(), row.version));
        Ok(())
    }

    fn remove(&mut self, partition: u32, key: &str) -> Result<(), StoreError> {
        self.0.entry(partition).or_default().remove(key);
        Ok(())
    }

    fn clear(&mut self, partition: u32) -> Result<(), StoreError> {
        self.0.remove(&partition);
        Ok(())
    }

    fn save(&mut self, _: u32, _: u64, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn saved(&mut self) -> Result<Vec<(u32, u64, bool)>, StoreError> {
        Ok(Vec::new())
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn end(&mut self, _: bool) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The copies, for tasks.
pub(crate) enum Store {
    /// Done at once.
    Memory(Mutex<Copies>),
    /// Done on a thread that may wait for the disk.
    Sqlite(SqliteThread),
}

impl Store {
    pub(crate) fn in_memory() -> Self {
        let (states, rows) = (BTreeMap::new(), Box::<MemoryRows>::default());
        Store::Memory(Mutex::new(Copies { states, rows }))
    }

    /// Runs a job on the copies. With SQLite it returns when the job's changes are on the disk. A job whose caller is gone
    /// runs all the same.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Copies) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Store::Memory(copies) => job(&mut copies.lock()),
            Store::Sqlite(thread) => thread.run(job).await,
        }
    }

    pub(crate) async fn state(&self, partition: u32) -> Result<CopyState, StoreError> {
        self.run(move |copies| Ok(copies.state(partition))).await
    }
}

#[cfg(test)]
mod tests;
