//! One node of the demo: a real process of this program.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use clusterkit::options_table;
use rustix::process::{Pid, Signal, kill_process};

use crate::commands::ReadyRecord;
use crate::error::{CliError, Result};

/// What a node's process tells the demo.
pub(super) enum Told {
    /// It is ready at this address since that moment.
    Ready {
        /// The node.
        id: String,
        /// What others dial.
        addr: String,
        /// When the line came.
        at: Instant,
    },
    /// Its output has ended: it is gone, or about to be.
    Gone {
        /// The node.
        id: String,
    },
}

/// What a node is started with.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The command line that starts this program.
    pub(super) program: Vec<OsString>,
    /// Partitions of the cluster.
    pub(super) partitions: u32,
    /// Copies of each.
    pub(super) replication_factor: u32,
    /// Members to join through; none for the first.
    pub(super) join: Vec<String>,
}

/// A node's process. It ends with this value, whatever happens.
pub(super) struct Process {
    /// The node.
    pub(super) id: String,
    /// What others dial, once it is ready.
    pub(super) addr: Option<String>,
    /// When it was started.
    pub(super) spawned: Instant,
    child: Child,
    /// The process stops when the other end of its standard input closes: even if this one is killed and gets no
    /// chance to clean up, no node is left behind.
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a node whose files are below `folder`. A node that was there before finds its data again.
    pub(super) fn spawn(id: &str, folder: &Path, settings: &Settings, tell: Sender<Told>) -> Result<Self> {
        let failed = |error: std::io::Error| CliError::io(format!("cannot start {id}"), &error);
        let log = folder.join(format!("{id}.log"));
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed)?;
        let (program, before) = settings
            .program
            .split_first()
            .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let mut command = Command::new(program);
        command.args(before);
        // What the user's shell sets for other nodes is not meant for these.
        for variable in options_table().iter().flat_map(|spec| spec.env) {
            command.env_remove(variable);
        }
        command
            .env_remove("CLUSTERKIT_ADDR")
            .env_remove("CLUSTERKIT_TOKEN")
            .args([
                "serve",
                "--json",
                "--exit-with-stdin",
                "--cluster-name",
                "clusterkit-demo",
            ])
            .args(["--node-id", id, "--http-addr", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join(id))
            .args(["--partition-count", &settings.partitions.to_string()])
            .args(["--replication-factor", &settings.replication_factor.to_string()]);
        if !settings.join.is_empty() {
            command.args(["--join-addrs", &settings.join.join(",")]);
        }
        let spawned = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // A group of its own: Ctrl-C reaches the demo alone, which then stops the nodes in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let lifeline = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            let id = id.to_string();
            thread::spawn(move || listen(&id, BufReader::new(stdout), &tell));
        }
        Ok(Process {
            id: id.to_string(),
            addr: None,
            spawned,
            child,
            _lifeline: lifeline,
            log,
        })
    }

    /// The process's number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager would.
    pub(super) fn terminate(&mut self) {
        // One that has ended already needs no telling; its number is not reused before it is waited for.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// True once it has ended; with success or not.
    pub(super) fn has_ended(&mut self) -> Option<bool> {
        self.child
            .try_wait()
            .ok()
            .flatten()
            .map(|status| status.success())
    }

    /// The last that it had to say, for the error message when it ends too early.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        if lines.is_empty() {
            "it said nothing".to_string()
        } else {
            lines.join("\n  ")
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended().is_none() {
            self.kill();
        }
    }
}

/// Reads a node's output: the first line says that it is ready, the end of the output that it is gone.
fn listen(id: &str, stdout: impl BufRead, tell: &Sender<Told>) {
    for line in stdout.lines().map_while(std::result::Result::ok) {
        if let Ok(record) = serde_json::from_str::<ReadyRecord>(&line) {
            let ready = Told::Ready {
                id: id.to_string(),
                addr: record.addr,
                at: Instant::now(),
            };
            if tell.send(ready).is_err() {
                return;
            }
        }
    }
    let _ = tell.send(Told::Gone { id: id.to_string() });
}
