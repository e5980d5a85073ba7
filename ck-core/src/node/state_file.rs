//! `cluster-state.json` and `custom-data.json`: the present state, for people and tools. The node never reads them
//! back.
//!
//! They are what remains when a majority of the voters is lost, so together they hold everything that the node knows:
//! members and partitions, and the replicated store. There are two files, and each is written whole when its part has
//! changed: a write of data costs the size of the data, however many partitions there are.

mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::context::NodeContext;
use super::leader_contact::LeaderContact;
use crate::env::{self, ChangeNotifier, Instant};

/// One of the two state files.
#[derive(Debug, Clone, Copy)]
enum StateFile {
    /// Members and partitions.
    Map,
    /// The replicated store.
    Data,
}

impl StateFile {
    const ALL: [StateFile; 2] = [StateFile::Map, StateFile::Data];

    const fn name(self) -> &'static str {
        match self {
            StateFile::Map => "cluster-state.json",
            StateFile::Data => "custom-data.json",
        }
    }

    /// Changes within this time are written together.
    const fn gather(self) -> Duration {
        match self {
            StateFile::Map => Duration::from_millis(500),
            StateFile::Data => Duration::from_secs(1),
        }
    }

    /// The pause before the next write, as a multiple of the time that the last write took. Data of 256 MiB must not
    /// keep a disk busy, nor tens of thousands of partitions a processor while they move.
    const fn share(self) -> u32 {
        match self {
            StateFile::Map => 30,
            StateFile::Data => 10,
        }
    }
}

/// Writes the state files.
pub(super) struct StateFiles {
    context: Arc<NodeContext>,
    contact: Arc<LeaderContact>,
    /// For each file, the change count of its part when the file was last written, plus one; 0 before the first write.
    written: [AtomicU64; StateFile::ALL.len()],
    /// Held while a file is written: a write that has begun outlasts the task that began it.
    turn: Mutex<()>,
}

impl StateFiles {
    pub(super) fn new(context: Arc<NodeContext>, contact: Arc<LeaderContact>) -> Self {
        StateFiles {
            context,
            contact,
            written: Default::default(),
            turn: Mutex::default(),
        }
    }

    /// Writes the files after changes, for as long as the node runs.
    pub(super) async fn run(self: Arc<Self>) {
        if !self.context.options.data_dir.is_empty() {
            futures_util::join!(self.keep(StateFile::Map), self.keep(StateFile::Data));
        }
    }

    async fn keep(self: &Arc<Self>, file: StateFile) {
        loop {
            let (seen, begun) = (self.changes_of(file).count(), Instant::now());
            self.write(file).await;
            let took = begun.elapsed();
            self.changes_of(file).after(seen).await;
            env::sleep(file.gather().max(took * file.share())).await;
        }
    }

    fn changes_of(&self, file: StateFile) -> &ChangeNotifier {
        match file {
            StateFile::Map => self.context.applied.changed(),
            StateFile::Data => self.context.applied.data_changed(),
        }
    }

    /// Writes the files that are not up to date, when the node stops.
    pub(super) async fn flush(self: &Arc<Self>) {
        if self.context.options.data_dir.is_empty() {
            return;
        }
        for file in StateFile::ALL {
            let written = self.written[file as usize].load(Ordering::Acquire);
            if written != self.changes_of(file).count() + 1 {
                self.write(file).await;
            }
        }
    }

    /// Replaces a file. A failure is only logged, because the node does not depend on the file.
    async fn write(self: &Arc<Self>, file: StateFile) {
        let this = self.clone();
        let path = self.context.data_dir.path.join(file.name());
        let seen = self.changes_of(file).count();
        let writing = env::blocking(move || {
            let _turn = this.turn.lock();
            // The text is made on this blocking thread too: with tens of thousands of partitions it would delay
            // heartbeats on the runtime's thread.
            let text = match file {
                StateFile::Map => text::of_map(&this.context.view(), this.contact.hears_leader())?,
                StateFile::Data => text::of_data(&this.context.applied.stored_data())?,
            };
            this.context.data_dir.disk.replace(&path, &text)
        });
        match writing.await.and_then(|written| written) {
            Ok(()) => self.written[file as usize].store(seen + 1, Ordering::Release),
            Err(error) => self
                .context
                .logger
                .warn(format_args!("{} cannot be written: {error}", file.name())),
        }
    }
}
