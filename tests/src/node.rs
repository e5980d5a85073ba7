//! One node: a process that can be started, killed and started again.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::api::SECRET;
use crate::{Api, WAIT_LIMIT, wait_until};

/// How a node is started, each time.
#[derive(Debug, Clone)]
struct Setup {
    program: PathBuf,
    flags: Vec<String>,
    data_dir: PathBuf,
    log: PathBuf,
    /// The network namespace that it runs in, if not that of the test.
    namespace: Option<String>,
}

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: String,
    setup: Setup,
    /// The last address that it was known to listen at.
    addr: Option<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// The node stops when this closes: even if the test is killed and gets no chance to clean up, no node is left.
    /// A node that is made for tests takes commands from here.
    lifeline: ChildStdin,
    said: Receiver<String>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The error that it gave on standard error, as `CODE: message`; empty when there was none.
    pub error: String,
}

impl Node {
    /// A node that has never run. Its data and its log are to be below `folder`; `flags` are those of `serve`,
    /// the same at every start.
    pub(crate) fn new(program: &Path, folder: &Path, id: &str, flags: Vec<String>) -> Self {
        Node {
            id: id.to_owned(),
            setup: Setup {
                program: program.to_owned(),
                flags,
                data_dir: folder.join(id),
                log: folder.join(format!("{id}.log")),
                namespace: None,
            },
            addr: None,
            running: None,
        }
    }

    /// Runs in a network namespace, beyond loopback, so with a secret.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        let secret = self.setup.log.with_file_name("cluster-secret");
        std::fs::write(&secret, SECRET).unwrap();
        let secret = secret.to_str().unwrap().to_owned();
        self.setup
            .flags
            .extend(["--cluster-secret-file".to_owned(), secret]);
        self.setup.namespace = Some(namespace.to_owned());
        self
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.setup.data_dir
    }

    /// Uses the data of another node.
    pub fn with_data_of(mut self, other: &Node) -> Self {
        self.setup.data_dir.clone_from(&other.setup.data_dir);
        self
    }

    /// Starts the process, to listen at `addr`. It has joined only when [`Node::wait_ready`] says so.
    pub fn spawn_at(&mut self, addr: &str) {
        assert!(self.running.is_none(), "{} runs already", self.id);
        let setup = &self.setup;
        let log = File::options()
            .create(true)
            .append(true)
            .open(&setup.log)
            .unwrap();
        // What the surroundings of the test set for other nodes is not meant for this one.
        let mut command = match &setup.namespace {
            None => Command::new(&setup.program),
            // It becomes the program itself: the process is the same.
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&setup.program);
                command
            }
        };
        let mut child = command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("RUST_BACKTRACE", "1")
            .args(["serve", "--json", "--exit-with-stdin"])
            .args(["--node-id", &self.id, "--http-addr", addr, "--data-dir"])
            .arg(&setup.data_dir)
            .args(&setup.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lifeline = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, said) = channel();
        thread::spawn(move || {
            for record in stdout.lines().map_while(Result::ok) {
                // Nobody may be waiting any more, which is fine.
                drop(tell.send(record));
            }
        });
        self.running = Some(Running {
            child,
            lifeline,
            said,
        });
        if !addr.ends_with(":0") {
            self.addr = Some(addr.to_owned());
        }
    }

    /// Starts the process again, at the address that it had.
    pub fn spawn_again(&mut self) {
        let addr = self.addr().to_owned();
        self.spawn_at(&addr);
    }

    /// Waits until the node says that it is a member and serves.
    pub fn wait_ready(&mut self) {
        #[derive(Deserialize)]
        struct Ready {
            addr: String,
        }
        let running = self.running.as_ref().expect("the node runs");
        match running.said.recv_timeout(WAIT_LIMIT) {
            Ok(line) => self.addr = Some(serde_json::from_str::<Ready>(&line).unwrap().addr),
            Err(error) => panic!("{} did not become ready: {error}\n{}", self.id, self.last_words()),
        }
    }

    /// True while there is a process that has not been killed or waited for.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Where it listens, or did when it last ran.
    pub fn addr(&self) -> &str {
        self.addr.as_deref().expect("the node has been ready once")
    }

    /// A client of it.
    pub fn api(&self) -> Api {
        Api::new(self.addr())
    }

    /// Ends the process at once, as a crash would: it gets no chance to say or write anything.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
    }

    /// Gives a node that is made for tests a command; its answer, without the `ok` before it.
    ///
    /// # Errors
    /// What it says otherwise.
    pub fn command(&self, line: &str) -> Result<String, String> {
        let running = self.running.as_ref().expect("the node runs");
        let mut lifeline = &running.lifeline;
        writeln!(lifeline, "{line}").map_err(|error| error.to_string())?;
        let answer = running
            .said
            .recv_timeout(WAIT_LIMIT)
            .map_err(|error| error.to_string())?;
        match answer.strip_prefix("ok") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(answer),
        }
    }

    /// Stops the process where it is, as a debugger or a machine that is moved would; [`Node::resume`] has it go on.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Has a process go on that was stopped where it was.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("the node runs");
        kill_process(Pid::from_child(&running.child), signal).unwrap();
    }

    /// Asks the process to stop, as a service manager would. It runs on until [`Node::wait_end`].
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the process ends by itself.
    pub fn wait_end(&mut self) -> (Ended, Duration) {
        let running = self.running.as_mut().expect("the node runs");
        let ended = wait_until(WAIT_LIMIT, || match running.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err("it goes on running".to_owned()),
        });
        match ended {
            Ok((status, took)) => {
                self.running = None;
                (self.ended(status), took)
            }
            Err(reason) => panic!("{} should end: {reason}\n{}", self.id, self.last_words()),
        }
    }

    /// Stops the process in an orderly way; how long that took.
    pub fn stop(&mut self) -> Duration {
        self.terminate();
        let (ended, took) = self.wait_end();
        assert_eq!(
            ended.code,
            Some(0),
            "{}: {ended:?}\n{}",
            self.id,
            self.last_words()
        );
        took
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        let text = std::fs::read_to_string(&self.setup.log).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
        let part = |name: &str| value["error"][name].as_str().unwrap_or_default().to_owned();
        let error = match part("code") {
            code if code.is_empty() => code,
            code => format!("{code}: {}", part("message")),
        };
        Ended {
            code: status.code(),
            error,
        }
    }

    /// The end of what it wrote to standard error.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.setup.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(40);
        lines[from..].join("\n    ")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // It may have ended already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
