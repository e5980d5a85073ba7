//! A small blocking HTTP/1.1 client: one kept connection, a deadline for every request, bounds on every answer.
//!
//! The commands ask one node a few questions; a runtime and a full client would cost more to start than the
//! questions take.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{CliError, Result};

/// The longest answer that is read: the whole replicated store as JSON, and room.
const MAX_BODY: u64 = 512 << 20;
/// The longest line of a head, and the most lines.
const MAX_LINE: u64 = 16 << 10;
const MAX_HEADERS: usize = 100;
/// How long one address of a name is waited for before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(50);

/// How much longer than the time that a node is given its answer may take to come.
pub(crate) const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// The longest time that a node lets itself be given for one answer.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// One request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    /// `GET`, `PUT` ...
    pub(crate) method: &'a str,
    /// Path and query, escaped.
    pub(crate) path: &'a str,
    /// A header and its value.
    pub(crate) header: Option<(&'a str, &'a str)>,
    /// The body.
    pub(crate) body: Option<&'a [u8]>,
    /// True when sending it twice does no harm.
    pub(crate) repeatable: bool,
    /// True when the node may have to wait before it can answer: it is told for how long, and answered a little later.
    pub(crate) waits: bool,
}

impl Request<'_> {
    /// True for what changes something: where its answer is lost, nobody knows whether it did.
    pub(crate) fn changes(&self) -> bool {
        self.method != "GET"
    }
}

/// A node's answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The revision in the ETag.
    pub(crate) etag: Option<u64>,
    /// For how many milliseconds the node had not heard of a leader.
    pub(crate) last_contact: Option<u64>,
    /// The body as it came.
    pub(crate) body: Vec<u8>,
}

/// Talks to one node.
#[derive(Debug)]
pub(crate) struct Client {
    addr: String,
    timeout: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the node at `addr`: `host:port`, `:port` for this machine, with or without `http://`.
    /// Nothing is dialled yet.
    pub(crate) fn new(addr: &str, timeout: Duration) -> Result<Self> {
        let plain = addr.trim().trim_end_matches('/');
        let plain = plain.strip_prefix("http://").unwrap_or(plain);
        let port = plain
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if plain.contains("://") || plain.contains(char::is_whitespace) || port.is_none_or(|port| port == 0) {
            return Err(CliError::Usage(format!(
                "{addr:?} is not the address of a node; write host:port"
            )));
        }
        let addr = match plain.strip_prefix(':') {
            Some(port) => format!("127.0.0.1:{port}"),
            None => plain.to_string(),
        };
        Ok(Client {
            addr,
            timeout,
            connection: None,
        })
    }

    /// Where it talks to.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Sends a request and reads the answer, whatever its status, within the client's timeout. A node that may have to
    /// wait is given that time, and its answer a little more: who hangs up first never hears why.
    pub(crate) fn request(&mut self, request: Request<'_>) -> Result<Response> {
        if !request.waits {
            return self.request_within(self.timeout, request);
        }
        let asked = self.timeout.min(LONGEST_ASKED);
        let separator = if request.path.contains('?') { '&' } else { '?' };
        let path = format!(
            "{}{separator}timeout={}ms",
            request.path,
            asked.as_millis().max(1)
        );
        let request = Request {
            path: &path,
            ..request
        };
        self.request_within(self.timeout + ANSWER_GRACE, request)
    }

    /// The same within `timeout`.
    ///
    /// A kept connection may have been closed by the node in the meantime, and then nobody knows whether the
    /// request was heard: what must not happen twice is sent on a new connection, and only once.
    pub(crate) fn request_within(&mut self, timeout: Duration, request: Request<'_>) -> Result<Response> {
        let deadline = Instant::now() + timeout;
        let kept = self.connection.take().filter(|_| request.repeatable);
        let mut sent = false;
        if let Some(connection) = kept {
            sent = true;
            match self.exchange(connection, deadline, request) {
                Ok(response) => return Ok(response),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(self.unanswered(&error, request));
                }
                Err(_) => {}
            }
        }
        let connection = match self.connect(deadline) {
            Ok(connection) => connection,
            Err(error) if sent => return Err(self.unanswered(&error, request)),
            Err(error) => return Err(CliError::Unreachable(self.unreachable(&error))),
        };
        let answer = self.exchange(connection, deadline, request);
        answer.map_err(|error| self.unanswered(&error, request))
    }

    /// The error of a request that was sent, all of it or some.
    fn unanswered(&self, error: &io::Error, request: Request<'_>) -> CliError {
        let why = self.unreachable(error);
        if request.changes() {
            CliError::Unknown(format!("{why}; it may or may not have happened"))
        } else {
            CliError::Unreachable(why)
        }
    }

    fn unreachable(&self, error: &io::Error) -> String {
        let why = match error.kind() {
            io::ErrorKind::TimedOut => "no answer in time".to_string(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_string(),
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_string(),
            _ => error.to_string(),
        };
        format!("cannot reach a node at {}: {why}", self.addr)
    }

    /// Tries every address that the name has: the next one when one has failed, and beside the others when they have
    /// not answered for a moment.
    fn connect(&self, deadline: Instant) -> io::Result<BufReader<TcpStream>> {
        let mut waiting = self.addr.to_socket_addrs()?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let (sender, outcomes) = channel();
        let mut running = 0_usize;
        let mut next = waiting.next();
        loop {
            if let Some(addr) = next {
                let (sender, limit) = (sender.clone(), left(deadline)?);
                running += 1;
                next = waiting.next();
                thread::spawn(move || {
                    // Nobody waits any more where another was faster.
                    drop(sender.send(TcpStream::connect_timeout(&addr, limit)));
                });
            } else if running == 0 {
                return Err(last);
            }
            let patience = if next.is_some() { STAGGER } else { left(deadline)? };
            match outcomes.recv_timeout(patience) {
                Ok(Ok(stream)) => {
                    // Requests are small and wait for their answer: Nagle's delay would only add to each.
                    stream.set_nodelay(true)?;
                    return Ok(BufReader::new(stream));
                }
                Ok(Err(error)) => {
                    running -= 1;
                    last = error;
                }
                Err(_) if next.is_some() => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    fn exchange(
        &mut self,
        mut connection: BufReader<TcpStream>,
        deadline: Instant,
        request: Request<'_>,
    ) -> io::Result<Response> {
        let Request {
            method,
            path,
            header,
            body,
            ..
        } = request;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.addr);
        if let Some((name, value)) = header {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        connection.get_ref().set_write_timeout(Some(left(deadline)?))?;
        connection.get_mut().write_all(&bytes).map_err(timed_out)?;
        let mut timed = Timed {
            inner: &mut connection,
            deadline,
        };
        let (response, keep) = read_response(&mut timed)?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// What is left until `deadline`; an error when nothing is.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// A socket's timeout shows as `WouldBlock` on Unix.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// A connection of which every read ends by the deadline, however slowly bytes trickle in.
struct Timed<'a> {
    inner: &'a mut BufReader<TcpStream>,
    deadline: Instant,
}

impl Timed<'_> {
    fn arm(&mut self) -> io::Result<()> {
        self.inner.get_ref().set_read_timeout(Some(left(self.deadline)?))
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        self.inner.read(buffer).map_err(timed_out)
    }
}

impl BufRead for Timed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.arm()?;
        self.inner.fill_buf().map_err(timed_out)
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it does not speak HTTP: {what}"),
    )
}

/// Reads one answer. The flag says whether the connection can carry another request.
fn read_response(input: &mut impl BufRead) -> io::Result<(Response, bool)> {
    let status_line = read_line(input)?;
    let mut words = status_line.split(' ');
    let version = words.next().unwrap_or_default();
    if !version.starts_with("HTTP/1.") {
        return Err(invalid("no HTTP/1 status line"));
    }
    let status: u16 = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| invalid("no status"))?;
    let (mut length, mut chunked, mut keep) = (None, false, version == "HTTP/1.1");
    let (mut etag, mut last_contact) = (None, None);
    for _ in 0..MAX_HEADERS {
        let line = read_line(input)?;
        if line.is_empty() {
            let body = read_body(input, status, length, chunked)?;
            // Without a length the end of the connection ended the body.
            let keep = keep && (chunked || length.is_some() || matches!(status, 204 | 304));
            let response = Response {
                status,
                etag,
                last_contact,
                body,
            };
            return Ok((response, keep));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a header without a colon"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = Some(value.parse().map_err(|_| invalid("a length that is no number"))?)
            }
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "etag" => etag = value.trim_matches('"').parse().ok(),
            "x-clusterkit-last-contact" => last_contact = value.parse().ok(),
            "connection" => keep = keep && !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Err(invalid("too many headers"))
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        let cut = if line.len() as u64 + 1 >= MAX_LINE {
            invalid("a line that is too long")
        } else {
            io::ErrorKind::UnexpectedEof.into()
        };
        return Err(cut);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("a head that is not text"))
}

fn read_body(
    input: &mut impl BufRead,
    status: u16,
    length: Option<u64>,
    chunked: bool,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if matches!(status, 204 | 304) {
        return Ok(body);
    }
    if !chunked {
        let wanted = length.unwrap_or(MAX_BODY + 1);
        if length.is_some_and(|length| length > MAX_BODY) {
            return Err(invalid("an answer that is too long"));
        }
        input.take(wanted).read_to_end(&mut body)?;
        return match length {
            Some(length) if body.len() as u64 != length => Err(io::ErrorKind::UnexpectedEof.into()),
            None if body.len() as u64 > MAX_BODY => Err(invalid("an answer that is too long")),
            _ => Ok(body),
        };
    }
    loop {
        let line = read_line(input)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk without a size"))?;
        if size > MAX_BODY - body.len() as u64 {
            return Err(invalid("an answer that is too long"));
        }
        if size == 0 {
            while !read_line(input)?.is_empty() {}
            return Ok(body);
        }
        let before = body.len() as u64;
        input.take(size).read_to_end(&mut body)?;
        if body.len() as u64 - before != size || !read_line(input)?.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// `text` as one segment of a path or a value in a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
