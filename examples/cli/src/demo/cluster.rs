//! The demo's cluster: its processes, its folder, and waiting for what they do.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clusterkit::ErrorCode;
use tempfile::TempDir;

use super::process::{Process, Settings, Told};
use crate::api::{Api, ClusterAnswer};
use crate::error::{CliError, Result};
use crate::interrupt::Interrupt;
use crate::layout::Layout;

/// How long a node may take to become ready, or the cluster to settle, before the demo gives up.
const CONDITION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nodes may take to stop before they are killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long one look waits before Ctrl-C and dead processes are noticed.
const GLANCE: Duration = Duration::from_millis(200);
/// A pause between questions to a node that refuses them, or about a process that goes on.
const CONDITION_INTERVAL: Duration = Duration::from_millis(5);
/// A table whose copies are even, but not its primaries, is taken for final when it stays so for this long.
const CALM: Duration = Duration::from_millis(500);

/// Processes and their folder. Both are gone when this value is, on every way out: return, error, panic.
pub(super) struct Cluster {
    // Fields are dropped in this order: first the processes, then the folder that they write to.
    processes: Vec<Process>,
    folder: Option<TempDir>,
    settings: Settings,
    interrupt: Interrupt,
    tell: Sender<Told>,
    told: Receiver<Told>,
}

/// A node that has become ready.
#[derive(Debug, Clone)]
pub(super) struct Started {
    /// The node.
    pub(super) id: String,
    /// What others dial.
    pub(super) addr: String,
    /// Its process.
    pub(super) pid: u32,
    /// From the start of its process.
    pub(super) took: Duration,
}

impl Cluster {
    /// An empty cluster in a new folder.
    pub(super) fn new(settings: Settings, interrupt: Interrupt) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("clusterkit-demo-").tempdir();
        let folder = folder.map_err(|error| CliError::io("cannot make a temporary folder", &error))?;
        let (tell, told) = channel();
        Ok(Cluster {
            processes: Vec::new(),
            folder: Some(folder),
            settings,
            interrupt,
            tell,
            told,
        })
    }

    /// How many processes there are.
    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }

    /// The nodes' names and addresses, in the order of their start.
    pub(super) fn addrs(&self) -> Vec<(String, String)> {
        let known = |process: &Process| Some((process.id.clone(), process.addr.clone()?));
        self.processes.iter().filter_map(known).collect()
    }

    /// Starts the next node and returns its place, at once.
    pub(super) fn start_next(&mut self) -> Result<usize> {
        let place = self.processes.len();
        let process = self.spawn(&format!("node-{}", place + 1), place)?;
        self.processes.push(process);
        Ok(place)
    }

    /// Starts an ended node again, on its old data.
    pub(super) fn start_again(&mut self, place: usize) -> Result<()> {
        let id = self.processes[place].id.clone();
        self.processes[place] = self.spawn(&id, place)?;
        Ok(())
    }

    /// A node joins through others that are there: two of them where there are two, so that one may be away.
    fn spawn(&self, id: &str, place: usize) -> Result<Process> {
        let mut settings = self.settings.clone();
        let others = self
            .processes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place);
        settings.join = others
            .filter_map(|(_, process)| process.addr.clone())
            .take(2)
            .collect();
        let folder = self
            .folder
            .as_ref()
            .map(TempDir::path)
            .unwrap_or(std::path::Path::new("."));
        Process::spawn(id, folder, &settings, self.tell.clone())
    }

    /// Waits until `count` nodes more have become ready, and reports each as it does.
    pub(super) fn wait_ready(
        &mut self,
        count: usize,
        mut report: impl FnMut(&Started) -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + CONDITION_TIMEOUT;
        let mut missing = count;
        while missing > 0 {
            self.interrupt.check()?;
            match self.told.recv_timeout(GLANCE) {
                Ok(Told::Ready { id, addr, at }) => {
                    if let Some(process) = self.processes.iter_mut().find(|process| process.id == id) {
                        process.addr = Some(addr.clone());
                        missing -= 1;
                        report(&Started {
                            id,
                            addr,
                            pid: process.pid(),
                            took: at.saturating_duration_since(process.spawned),
                        })?;
                    }
                }
                Ok(Told::Gone { id }) => return Err(self.ended_early(&id)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if Instant::now() >= deadline {
                        return Err(failed(format!(
                            "{missing} of {count} nodes did not become ready in time"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    fn ended_early(&self, id: &str) -> CliError {
        let words = self
            .processes
            .iter()
            .find(|process| process.id == id)
            .map(Process::last_words);
        failed(format!("{id} ended by itself:\n  {}", words.unwrap_or_default()))
    }

    /// Calls to the node at `place`.
    pub(super) fn api(&self, place: usize) -> Result<Api> {
        let process = &self.processes[place];
        let addr = process
            .addr
            .as_deref()
            .ok_or_else(|| failed(format!("{} is not ready", process.id)))?;
        Api::open(addr, Duration::from_secs(5))
    }

    /// Waits, asking the node at `place`, until `members` nodes are active and the table is whole and even. Returns
    /// also when the node said so first.
    pub(super) fn wait_spread(&mut self, place: usize, members: usize) -> Result<(ClusterAnswer, Instant)> {
        self.wait(
            place,
            &format!("{members} nodes did not share the partitions evenly"),
            |answer, calm| {
                let layout = Layout::new(&answer.cluster);
                let led = !answer.cluster.leader.is_empty();
                led && layout.is_spread(members) && (layout.has_even_primaries() || calm >= CALM)
            },
        )
    }

    /// Waits until the cluster, as the node at `place` sees it, is as `done` wants it. `done` is also told for how
    /// long nothing has changed.
    fn wait(
        &mut self,
        place: usize,
        otherwise: &str,
        mut done: impl FnMut(&ClusterAnswer, Duration) -> bool,
    ) -> Result<(ClusterAnswer, Instant)> {
        let deadline = Instant::now() + CONDITION_TIMEOUT;
        let mut api = self.api(place)?;
        let mut latest: Option<(ClusterAnswer, Instant)> = None;
        loop {
            self.interrupt.check()?;
            self.check_alive()?;
            let news = match &latest {
                Some((seen, _)) => api.cluster_after(seen.revision, GLANCE),
                None => api.cluster().map(Some),
            };
            match news {
                Ok(Some(answer)) => latest = Some((answer, Instant::now())),
                Ok(None) => {}
                // A node may refuse for a moment, while it finds a leader: only time decides that it fails.
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(CONDITION_INTERVAL),
            }
            if let Some((answer, since)) = latest.take() {
                if done(&answer, since.elapsed()) {
                    return Ok((answer, since));
                }
                latest = Some((answer, since));
            }
            if Instant::now() >= deadline {
                let seen = latest.map(|(answer, _)| describe(&answer)).unwrap_or_default();
                return Err(failed(format!(
                    "{otherwise} within {} s{seen}",
                    CONDITION_TIMEOUT.as_secs()
                )));
            }
        }
    }

    /// An error when a process ended that nobody asked to.
    fn check_alive(&mut self) -> Result<()> {
        let ended = self
            .processes
            .iter_mut()
            .find_map(|process| process.has_ended().map(|_| process.id.clone()));
        ended.map_or(Ok(()), |id| Err(self.ended_early(&id)))
    }

    /// Stops one node as a service manager would, and waits for its end. Returns how long that took.
    pub(super) fn stop_one(&mut self, place: usize) -> Result<Duration> {
        let start = Instant::now();
        let process = &mut self.processes[place];
        process.terminate();
        let success = loop {
            self.interrupt.check()?;
            if let Some(success) = process.has_ended() {
                break success;
            }
            if start.elapsed() >= STOP_PATIENCE {
                return Err(failed(format!("{} did not stop in time", process.id)));
            }
            std::thread::sleep(CONDITION_INTERVAL);
        };
        if !success {
            return Err(failed(format!(
                "{} did not stop in order:\n  {}",
                process.id,
                process.last_words()
            )));
        }
        let id = process.id.clone();
        // Its end shows twice, by the process and by its output; the second must not be taken for an accident.
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            match self.told.recv_timeout(GLANCE) {
                Ok(Told::Gone { id: gone }) if gone == id => break,
                _ => self.interrupt.check()?,
            }
        }
        Ok(start.elapsed())
    }

    /// Waits for Ctrl-C, or for a node to end by itself.
    pub(super) fn wait_for_interrupt(&mut self) -> Result<()> {
        while !self.interrupt.is_raised() {
            if let Ok(Told::Gone { id }) = self.told.recv_timeout(GLANCE) {
                return Err(self.ended_early(&id));
            }
        }
        Ok(())
    }

    /// Stops everything, by force where it has to be, and removes the folder. Returns how many had to be killed.
    pub(super) fn stop_all(&mut self) -> Result<usize> {
        let killed = self.stop_processes();
        match self.folder.take().map(TempDir::close) {
            Some(Err(error)) => Err(CliError::io("cannot remove the temporary folder", &error)),
            _ => Ok(killed),
        }
    }

    /// Every process is told first and waited for afterwards: they stop together.
    fn stop_processes(&mut self) -> usize {
        self.processes.iter_mut().for_each(Process::terminate);
        let deadline = Instant::now() + STOP_PATIENCE;
        loop {
            let running = self
                .processes
                .iter_mut()
                .filter_map(|p| p.has_ended().is_none().then_some(()))
                .count();
            if running == 0 || Instant::now() >= deadline {
                // Dropping a process kills what is left of it.
                self.processes.clear();
                return running;
            }
            std::thread::sleep(CONDITION_INTERVAL);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_processes();
    }
}

fn failed(message: String) -> CliError {
    CliError::failed(ErrorCode::Timeout, message)
}

/// What the cluster was like when patience ended.
fn describe(answer: &ClusterAnswer) -> String {
    let layout = Layout::new(&answer.cluster);
    let nodes: Vec<String> = answer
        .cluster
        .nodes
        .iter()
        .map(|node| format!("{} {}", node.id, node.status.as_str()))
        .collect();
    format!(
        "; at revision {} the leader is {:?}, partitions are {:?}, copies {:?}, nodes: {}",
        answer.revision,
        answer.cluster.leader,
        layout.states(),
        layout.copies(),
        nodes.join(", ")
    )
}
