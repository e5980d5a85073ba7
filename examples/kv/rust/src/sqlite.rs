//! Rows in SQLite: one table, with the epoch beside each row, and a thread that commits what waits together.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use crate::StartError;
use crate::store::{Copies, Row, Rows, StoreError, Version};

/// Most jobs in one transaction.
const MAX_BATCH: usize = 256;

/// The guard stands in the statement itself: whatever asks, no row gives way to an older one.
const PUT: &str = "INSERT INTO kv (partition, key, value, epoch, seq) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (partition, key) DO UPDATE SET value = excluded.value, epoch = excluded.epoch, seq = excluded.seq
    WHERE (excluded.epoch, excluded.seq) > (kv.epoch, kv.seq)";

/// The tables, in a file that only this process uses.
pub(crate) struct SqliteRows(Connection);

fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// SQLite's integers are signed. Epochs and numbers of writes stay far below.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let (epoch, seq) = (unsigned(row, 2)?, unsigned(row, 3)?);
    Ok(Row {
        key: row.get(0)?,
        value: row.get(1)?,
        version: Version { epoch, seq },
    })
}

impl SqliteRows {
    pub(crate) fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        // FULL: what was acknowledged outlasts the machine, not only the process.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA locking_mode = EXCLUSIVE;
             CREATE TABLE IF NOT EXISTS kv (partition INTEGER, key TEXT, value TEXT, epoch INTEGER NOT NULL,
                 seq INTEGER NOT NULL, PRIMARY KEY (partition, key)) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS copies (partition INTEGER PRIMARY KEY, fence INTEGER NOT NULL,
                 whole INTEGER NOT NULL);",
        )?;
        Ok(SqliteRows(connection))
    }

    fn execute(&self, statement: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        let prepared = self.0.prepare_cached(statement);
        let done = prepared.and_then(|mut prepared| prepared.execute(values));
        done.map(drop).map_err(|error| failed(&error))
    }
}

impl Rows for SqliteRows {
    fn get(&mut self, partition: u32, key: &str) -> Result<Option<Row>, StoreError> {
        let query = "SELECT key, value, epoch, seq FROM kv WHERE partition = ?1 AND key = ?2";
        let found = self.0.prepare_cached(query);
        let found = found.and_then(|mut query| query.query_row(params![partition, key], row).optional());
        found.map_err(|error| failed(&error))
    }

    fn after(&mut self, partition: u32, key: &str, limit: usize) -> Result<Vec<Row>, StoreError> {
        let query =
            "SELECT key, value, epoch, seq FROM kv WHERE partition = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
        let values = params![partition, key, signed(limit as u64)];
        let rows = self.0.prepare_cached(query);
        let rows = rows.and_then(|mut query| query.query_map(values, row)?.collect());
        rows.map_err(|error| failed(&error))
    }

    fn put(&mut self, partition: u32, row: &Row) -> Result<(), StoreError> {
        let (epoch, seq) = (signed(row.version.epoch), signed(row.version.seq));
        self.execute(PUT, params![partition, row.key, row.value, epoch, seq])
    }

    fn remove(&mut self, partition: u32, key: &str) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM kv WHERE partition = ?1 AND key = ?2",
            params![partition, key],
        )
    }

    fn clear(&mut self, partition: u32) -> Result<(), StoreError> {
        self.execute("DELETE FROM kv WHERE partition = ?1", params![partition])
    }

    fn save(&mut self, partition: u32, fence: u64, whole: bool) -> Result<(), StoreError> {
        let statement = "INSERT OR REPLACE INTO copies (partition, fence, whole) VALUES (?1, ?2, ?3)";
        self.execute(statement, params![partition, signed(fence), whole])
    }

    fn saved(&mut self) -> Result<Vec<(u32, u64, bool)>, StoreError> {
        let query = self
            .0
            .prepare_cached("SELECT partition, fence, whole FROM copies");
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, unsigned(row, 1)?, row.get(2)?));
        let saved = query.and_then(|mut query| query.query_map([], read)?.collect());
        saved.map_err(|error| failed(&error))
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE", [])
    }

    fn end(&mut self, commit: bool) -> Result<(), StoreError> {
        self.execute(if commit { "COMMIT" } else { "ROLLBACK" }, [])
    }
}

/// The copies in a database, which is made where there is none.
pub(crate) fn open(file: &Path) -> Result<Copies, StoreError> {
    let rows = SqliteRows::open(file).map_err(|error| failed(&error))?;
    Copies::load(Box::new(rows))
}

/// Runs jobs on copies in SQLite.
pub(crate) struct SqliteThread(mpsc::Sender<Job>);

/// Makes its changes; what it returns is called when they are on the disk, or were undone.
type Job = Box<dyn FnOnce(&mut Copies) -> Ended + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Ended {
    failed: bool,
    answer: Answer,
}

impl SqliteThread {
    /// Opens the database.
    pub(crate) fn open(file: &Path) -> Result<Self, StartError> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut copies = open(file).map_err(|error| format!("{}: {error:?}", file.display()))?;
        let (sender, jobs) = mpsc::channel::<Job>();
        let work = move || {
            // Ends with the last sender: then all jobs are done.
            while let Ok(first) = jobs.recv() {
                let (committed, ended) = copies.together(|copies| {
                    let batch = std::iter::once(first).chain(jobs.try_iter().take(MAX_BATCH - 1));
                    let ended: Vec<Ended> = batch.map(|job| job(copies)).collect();
                    (ended.iter().all(|job| !job.failed), ended)
                });
                for job in ended {
                    (job.answer)(committed.clone());
                }
            }
        };
        std::thread::Builder::new()
            .name("kv-sqlite".to_owned())
            .spawn(work)?;
        Ok(SqliteThread(sender))
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Copies) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(|copies| {
            let done = job(copies);
            let failed = matches!(done, Err(StoreError::Failed(_)));
            let answer: Answer = Box::new(|committed| {
                // Whoever asked may be gone.
                drop(sender.send(committed.and(done)));
            });
            Ended { failed, answer }
        });
        let ended = || StoreError::Failed("the database's thread has ended".to_owned());
        self.0.send(job).map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?
    }
}
