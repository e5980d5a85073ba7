//! `serve`: one node in this process, until somebody ends it.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clusterkit::model::{Event, Timestamp};
use clusterkit::{ClusterKit, Error, ErrorCode, LogLevel};
use serde::{Deserialize, Serialize};
use signal_hook::iterator::Signals;

use super::print_options::print_options;
use crate::args::ServeArgs;
use crate::error::{CliError, Result};
use crate::interrupt::end_signals;
use crate::output::{Lines, Out, Tone, printable};
use crate::process_limits;

/// How long an orderly stop may take before the process ends without it.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// How often a node that is ready is looked at.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(200);
/// How often one that is not is looked at.
const LOOK_FOR_READY: Duration = Duration::from_millis(10);
/// How long a node may take to be ready before it says what it waits for, and how often it says so.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
const SAY_AGAIN: Duration = Duration::from_secs(5);
/// How long the last lines of a process, and the one that says that it is ready, may wait for their reader.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a parent is told when the node is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReadyRecord {
    /// The node.
    pub(crate) node_id: String,
    /// The address that others dial.
    pub(crate) addr: String,
    /// The process.
    pub(crate) pid: u32,
}

/// What the main thread waits for.
enum Message {
    /// The start is over, one way or the other.
    Started(clusterkit::Result<()>),
    /// Somebody wants the node to end, for this reason.
    End(&'static str),
}

/// Runs a node. The start has a thread of its own: it may take as long as `join_timeout`, and Ctrl-C must work
/// meanwhile.
pub(crate) fn run(args: &ServeArgs, out: &mut Out) -> Result<()> {
    process_limits::raise()?;
    let resolved = args.options.resolve(args.config.as_deref())?;
    if args.print_options {
        print_options(&resolved, out)?;
        return Ok(resolved.options.validate()?);
    }
    let options = resolved.options;
    options.validate()?;
    let node_id = options.node_id.clone();
    let (sender, inbox) = channel();
    watch_signals(sender.clone())?;
    if args.exit_with_stdin {
        watch_stdin(sender.clone());
    }
    let streams = Arc::new(Streams::new());
    let node = Arc::new(ClusterKit::new(options)?);
    let log = Arc::clone(&streams);
    // The node counts what waits here for too long (`clusterkit_log_messages_dropped_total`).
    node.on_log(Some(Arc::new(move |level, message| {
        log.err.put_patiently(log_line(level, message));
    })));
    if args.events {
        let events = Arc::clone(&streams);
        node.on_event(move |event| events.event(event))?;
    }
    let starting = Arc::clone(&node);
    thread::spawn(move || {
        let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| starting.start()));
        let outcome = started.unwrap_or_else(|_| Err(Error::new(ErrorCode::Internal, "the start panicked")));
        // Nobody listens any more when the end was asked for first.
        let _ = sender.send(Message::Started(outcome));
    });
    let why = serve(args, &node, node_id, &inbox, &streams, out);
    limit_stop(Arc::clone(&streams));
    let stopped = node.stop();
    if let (Ok(why), Ok(()), false) = (&why, &stopped, out.json) {
        let text = out.styles.paint(Tone::Dim, &format!("stopped: {why}"));
        streams.out.put(text);
    }
    streams.out.finish(LAST_WORDS);
    streams.err.finish(LAST_WORDS);
    why?;
    Ok(stopped?)
}

/// From the start to the request to end; returns the reason of that.
fn serve(
    args: &ServeArgs,
    node: &ClusterKit,
    node_id: String,
    inbox: &Receiver<Message>,
    streams: &Streams,
    out: &Out,
) -> Result<&'static str> {
    if !wait_until_ready(node, inbox, streams)? {
        return Err(CliError::Interrupted);
    }
    let record = ReadyRecord {
        node_id,
        addr: node
            .http_addr()
            .ok_or_else(|| Error::new(ErrorCode::Internal, "the node listens nowhere"))?,
        pid: std::process::id(),
    };
    announce(args, &record, streams, out)?;
    loop {
        match inbox.recv_timeout(SIGNAL_INTERVAL) {
            Ok(Message::End(why)) => return Ok(why),
            Ok(Message::Started(_)) => {}
            Err(RecvTimeoutError::Timeout) => refuse_to_go_on(node)?,
            Err(RecvTimeoutError::Disconnected) => return Ok("nobody is left who could ask for more"),
        }
    }
}

/// Returns when the node is ready, which is later than the end of its start where that went on in the background;
/// false when somebody wants it to end. Says from time to time what it waits for.
fn wait_until_ready(node: &ClusterKit, inbox: &Receiver<Message>, streams: &Streams) -> Result<bool> {
    let mut started = false;
    let mut say = Instant::now() + OUTPUT_TIMEOUT;
    loop {
        match inbox.recv_timeout(LOOK_FOR_READY) {
            Ok(Message::Started(outcome)) => {
                outcome?;
                started = true;
            }
            Ok(Message::End(_)) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // A start that fails ends with an error of its own, which says more.
        let waits = if started {
            node.waiting_for()?
        } else {
            node.waiting_for()
                .unwrap_or_default()
                .or_else(|| Some("its start".to_owned()))
        };
        let Some(what) = waits else {
            return Ok(true);
        };
        if Instant::now() >= say {
            streams
                .err
                .put(log_line(LogLevel::Info, &format!("waiting for {what}")));
            say = Instant::now() + SAY_AGAIN;
        }
    }
}

/// A node that its cluster has refused for good serves nobody, and whoever looks after it has to know. One whose log has
/// failed goes on answering lookups until it is told to end.
fn refuse_to_go_on(node: &ClusterKit) -> Result<()> {
    match node.waiting_for() {
        Err(error) if !matches!(error.code(), ErrorCode::Io | ErrorCode::Stopped) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says that the node is ready, to people and to whoever started this process.
fn announce(args: &ServeArgs, record: &ReadyRecord, streams: &Streams, out: &Out) -> Result<()> {
    let told = serde_json::to_string(record).map_err(CliError::bad_answer)?;
    let line = format!("{told}\n");
    if let Some(path) = &args.ready_file {
        write_at_once(path, &line).map_err(|error| CliError::io(path.display(), &error))?;
    }
    if let Some(fd) = args.ready_fd {
        let path = format!("/dev/fd/{fd}");
        let written = write_unless_stalled(&path, line);
        written.map_err(|error| CliError::io(path, &error))?;
    }
    let name = out.styles.paint(Tone::Good, &record.node_id);
    streams.out.put(match out.json {
        true => told,
        false => format!("{name} is ready at {}", record.addr),
    });
    Ok(())
}

/// Writes to what somebody may read, or not: one who does not is left behind, with a thread that waits for it.
fn write_unless_stalled(path: &str, line: String) -> std::io::Result<()> {
    let (sender, written) = channel();
    let path = path.to_owned();
    thread::spawn(move || {
        let opened = std::fs::OpenOptions::new().write(true).open(path);
        let _ = sender.send(opened.and_then(|mut file| file.write_all(line.as_bytes())));
    });
    match written.recv_timeout(LAST_WORDS) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(std::io::ErrorKind::Other.into()),
    }
}

/// Whoever waits for the file must never see half of it: it appears complete, or not at all.
fn write_at_once(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// The first signal asks for an orderly end, the second one does not ask.
fn watch_signals(sender: Sender<Message>) -> Result<()> {
    let mut signals =
        Signals::new(end_signals()).map_err(|error| CliError::io("cannot handle signals", &error))?;
    thread::spawn(move || {
        let mut came = signals.forever();
        if came.next().is_some() {
            let _ = sender.send(Message::End("a signal asked for it"));
        }
        if came.next().is_some() {
            std::process::exit(130);
        }
    });
    Ok(())
}

/// The parent holds the other end of standard input: when it dies, however it dies, the pipe ends.
fn watch_stdin(sender: Sender<Message>) {
    thread::spawn(move || {
        let mut buffer = [0; 256];
        let mut stdin = std::io::stdin().lock();
        while !matches!(stdin.read(&mut buffer), Ok(0) | Err(_)) {}
        let _ = sender.send(Message::End("the parent is gone"));
    });
}

/// From here on the process ends by itself, stuck or not.
fn limit_stop(streams: Arc<Streams>) {
    thread::spawn(move || {
        thread::sleep(STOP_DEADLINE);
        let seconds = STOP_DEADLINE.as_secs();
        streams.err.put(format!(
            "clusterkit: the stop took more than {seconds} s; ending without it"
        ));
        streams.err.finish(LAST_WORDS);
        std::process::exit(1);
    });
}

fn log_line(level: LogLevel, message: &str) -> String {
    let now = Timestamp::from(SystemTime::now());
    // Reasons that people gave are in it, and a terminal obeys what it is sent.
    let message = printable(message);
    format!("{now} {:<5} {message}", level.name())
}

/// Standard output, which stays machine readable, and standard error, for what the node has to say.
struct Streams {
    out: Lines,
    err: Lines,
}

impl Streams {
    fn new() -> Self {
        Streams {
            out: Lines::to(std::io::stdout(), |n| format!("{{\"left_out\":{n}}}")),
            err: Lines::to(std::io::stderr(), |n| {
                format!("{n} messages were left out: nobody read them")
            }),
        }
    }

    /// A hook that only looks on: one line of JSON for each event, and no say in what happens.
    fn event(&self, event: &Event) -> std::result::Result<(), String> {
        self.out
            .put(serde_json::to_string(event).map_err(|error| error.to_string())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        write_at_once(&path, "old, and longer than what follows\n").unwrap();
        write_at_once(&path, "new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a temporary file is left"
        );
    }
}
