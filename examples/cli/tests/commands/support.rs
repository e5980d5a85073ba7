//! A node that is none: it answers each request with what the test put there, and remembers what was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What is answered to `GET /path?query`.
#[derive(Clone, Default)]
struct Answer {
    status: u16,
    etag: Option<u64>,
    /// For how many milliseconds the node has not heard of a leader.
    contact: Option<u64>,
    /// Where it redirects to.
    location: Option<String>,
    body: Vec<u8>,
}

/// A request as it came: the first line without the version, the headers of interest, the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// How long the node was given, where it was told.
    pub(crate) timeout: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// The node. Its thread ends with the test's process.
pub(crate) struct FakeNode {
    pub(crate) addr: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// Answers under construction.
#[derive(Default)]
pub(crate) struct Script(BTreeMap<String, Answer>);

impl Script {
    /// Answers `line`, such as `GET /cluster`, with JSON.
    pub(crate) fn json(mut self, line: &str, status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        self.0.insert(
            line.to_string(),
            Answer {
                status,
                body,
                ..Answer::default()
            },
        );
        self
    }

    /// Answers `line` with bytes and an ETag.
    pub(crate) fn bytes(mut self, line: &str, etag: u64, body: &[u8]) -> Self {
        let answer = Answer {
            status: 200,
            etag: Some(etag),
            body: body.to_vec(),
            ..Answer::default()
        };
        self.0.insert(line.to_string(), answer);
        self
    }

    /// Answers `line` as it does already, and has not heard of a leader for so many milliseconds.
    pub(crate) fn last_contact(mut self, line: &str, millis: u64) -> Self {
        self.0.get_mut(line).unwrap().contact = Some(millis);
        self
    }

    /// Answers `line` with a redirect to the same path at `addr`.
    pub(crate) fn redirect(mut self, line: &str, addr: &str) -> Self {
        let (_, path) = line.split_once(' ').unwrap();
        let answer = Answer {
            status: 307,
            location: Some(format!("http://{addr}{path}")),
            ..Answer::default()
        };
        self.0.insert(line.to_string(), answer);
        self
    }

    /// Starts to listen.
    pub(crate) fn serve(self) -> FakeNode {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, memory) = (Arc::new(self.0), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, memory) = (Arc::clone(&answers), Arc::clone(&memory));
                thread::spawn(move || talk(stream, &answers, &memory));
            }
        });
        FakeNode { addr, asked }
    }
}

impl FakeNode {
    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The first lines of what was asked so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// Runs the command against this node.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        run(&[&["--addr", &self.addr], args].concat(), "")
    }
}

/// One connection, until the client closes it.
fn talk(stream: TcpStream, answers: &BTreeMap<String, Answer>, memory: &Mutex<Vec<Asked>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        let line = first.rsplit_once(' ')?.0.to_string();
        let (mut length, mut condition, mut authorization) = (0, None, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim();
            if header.is_empty() {
                break;
            }
            // Names of headers are the same in capitals.
            let (name, value) = header.split_once(": ")?;
            match name.to_ascii_lowercase() {
                name if name == "content-length" => length = value.parse().ok()?,
                name if name == "authorization" => authorization = Some(value.to_owned()),
                name if name.starts_with("if-") => condition = Some(format!("{name}: {value}")),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let missing = Answer {
            status: 404,
            body: error("NOT_FOUND", &format!("the test has no answer to {line}"))
                .to_string()
                .into_bytes(),
            ..Answer::default()
        };
        // Most tests are not about how long a node is given.
        let (line, timeout) = if answers.contains_key(&line) {
            (line, None)
        } else {
            without_timeout(&line)
        };
        let answer = answers.get(&line).unwrap_or(&missing);
        memory.lock().unwrap().push(Asked {
            line,
            timeout,
            condition,
            authorization,
            body,
        });
        let etag = answer
            .etag
            .map(|etag| format!("ETag: \"{etag}\"\r\n"))
            .unwrap_or_default();
        let contact = answer
            .contact
            .map(|millis| format!("X-ClusterKit-Last-Contact: {millis}\r\n"))
            .unwrap_or_default();
        let location = answer
            .location
            .as_ref()
            .map(|place| format!("Location: {place}\r\n"))
            .unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {} x\r\n{etag}{contact}{location}Content-Length: {}\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        writer.write_all(&[head.as_bytes(), &answer.body].concat()).ok()?;
    }
}

/// A request's line without the time that the node is given, and that time.
fn without_timeout(line: &str) -> (String, Option<String>) {
    let Some(at) = line.rfind("timeout=").filter(|at| *at > 0) else {
        return (line.to_string(), None);
    };
    (
        line[..at - 1].to_string(),
        Some(line[at + "timeout=".len()..].to_string()),
    )
}

/// The body of an error.
pub(crate) fn error(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

/// What a run of the command came to.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// The command, with nothing of the caller's environment that it would obey.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clusterkit"));
    let variables = clusterkit::options_table().iter().flat_map(|spec| spec.env);
    for variable in variables
        .copied()
        .chain(["CLUSTERKIT_ADDR", "CLUSTERKIT_TOKEN", "CLUSTERKIT_TOKEN_FILE"])
    {
        command.env_remove(variable);
    }
    command
}

/// Runs the command with `input` on its standard input.
pub(crate) fn run(args: &[&str], input: &str) -> Run {
    let mut child = command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it; that is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Run {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
