//! A small blocking HTTP/1.1 client: one kept connection, a deadline for every request, bounds on every answer.
//!
//! The commands ask one node a few questions; a runtime and a full client would cost more to start than the
//! questions take.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::error::{CliError, Result};

/// The longest answer that is read: the whole replicated store as JSON, and room.
const MAX_BODY: u64 = 512 << 20;
/// The longest line of a head, and the most lines.
const MAX_LINE: u64 = 16 << 10;
const MAX_HEADERS: usize = 100;

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
}

/// A node's answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The revision in the ETag.
    pub(crate) etag: Option<u64>,
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

    /// Sends a request and reads the answer, whatever its status, within the client's timeout.
    pub(crate) fn request(&mut self, request: Request<'_>) -> Result<Response> {
        self.request_within(self.timeout, request)
    }

    /// The same within `timeout`.
    ///
    /// A kept connection may have been closed by the node in the meantime, and then nobody knows whether the
    /// request was heard: what must not happen twice is sent on a new connection, and only once.
    pub(crate) fn request_within(&mut self, timeout: Duration, request: Request<'_>) -> Result<Response> {
        let deadline = Instant::now() + timeout;
        let kept = self.connection.take().filter(|_| request.repeatable);
        if let Some(connection) = kept {
            match self.exchange(connection, deadline, request) {
                Ok(response) => return Ok(response),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(self.unreachable(&error)),
                Err(_) => {}
            }
        }
        let connection = self.connect(deadline).map_err(|error| self.unreachable(&error))?;
        let answer = self.exchange(connection, deadline, request);
        answer.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &io::Error) -> CliError {
        let why = match error.kind() {
            io::ErrorKind::TimedOut => "no answer in time".to_string(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_string(),
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_string(),
            _ => error.to_string(),
        };
        CliError::Unreachable(format!("cannot reach a node at {}: {why}", self.addr))
    }

    /// Tries every address that the name has, in order.
    fn connect(&self, deadline: Instant) -> io::Result<BufReader<TcpStream>> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for addr in self.addr.to_socket_addrs()? {
            match TcpStream::connect_timeout(&addr, left(deadline)?) {
                Ok(stream) => {
                    // Requests are small and wait for their answer: Nagle's delay would only add to each.
                    stream.set_nodelay(true)?;
                    return Ok(BufReader::new(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
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
    let (mut length, mut chunked, mut keep, mut etag) = (None, false, version == "HTTP/1.1", None);
    for _ in 0..MAX_HEADERS {
        let line = read_line(input)?;
        if line.is_empty() {
            let body = read_body(input, status, length, chunked)?;
            // Without a length the end of the connection ended the body.
            let keep = keep && (chunked || length.is_some() || matches!(status, 204 | 304));
            return Ok((Response { status, etag, body }, keep));
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
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const GET: Request<'_> = Request {
        method: "GET",
        path: "/",
        header: None,
        body: None,
        repeatable: true,
    };

    fn parse(text: &str) -> io::Result<(u16, String, bool)> {
        let (response, keep) = read_response(&mut text.as_bytes())?;
        Ok((response.status, String::from_utf8(response.body).unwrap(), keep))
    }

    #[test]
    fn bodies_by_length_by_chunks_and_by_end() {
        let by_length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(parse(by_length).unwrap(), (200, "hello".into(), true));
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), (200, "hello".into(), true));
        let to_the_end = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nhello";
        assert_eq!(parse(to_the_end).unwrap(), (404, "hello".into(), false));
        assert_eq!(
            parse("HTTP/1.1 304 Not Modified\r\n\r\n").unwrap(),
            (304, String::new(), true)
        );
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
        for text in [
            "",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            &long,
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn addresses_come_in_several_forms() {
        for (given, dialled) in [
            ("host:80", "host:80"),
            (":8080", "127.0.0.1:8080"),
            ("http://h:1/", "h:1"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(
                Client::new(given, Duration::from_secs(1)).unwrap().addr(),
                dialled
            );
        }
        for bad in ["", "host", "host:", "host:x", "host:0", "https://h:1", "a b:1"] {
            assert!(
                matches!(Client::new(bad, Duration::from_secs(1)), Err(CliError::Usage(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_silent_node_costs_the_timeout_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let mut client = Client::new(&addr, Duration::from_millis(50)).unwrap();
        let error = client.request(GET).unwrap_err();
        assert!(
            matches!(&error, CliError::Unreachable(m) if m.contains("no answer in time")),
            "{error}"
        );
    }

    #[test]
    fn a_kept_connection_that_was_closed_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let node = thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while !read_line(&mut reader).unwrap().is_empty() {}
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .unwrap();
            }
        });
        let mut client = Client::new(&addr, Duration::from_secs(5)).unwrap();
        for _ in 0..2 {
            assert_eq!(client.request(GET).unwrap().body, b"ok");
        }
        node.join().unwrap();
    }

    #[test]
    fn the_etag_is_a_revision() {
        let (response, _) = read_response(&mut "HTTP/1.1 304 x\r\nETag: \"42\"\r\n\r\n".as_bytes()).unwrap();
        assert_eq!(response.etag, Some(42));
    }

    #[test]
    fn keys_with_slashes_and_spaces_are_one_segment() {
        assert_eq!(escape("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
    }
}
