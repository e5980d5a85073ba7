use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ureq::unversioned::transport::{ConnectionDetails, Connector};

use super::dialer::{Socket, dial};
use super::*;

/// Longer than any step of these tests takes.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

const GET: Request<'_> = Request {
    method: "GET",
    path: "/",
    header: None,
    body: None,
    repeatable: true,
    waits: false,
};

const ORDER: Request<'_> = Request {
    method: "PUT",
    body: Some(b"v"),
    repeatable: false,
    ..GET
};

/// A node on the other side, and a client of it.
fn listen(timeout: Duration) -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (
        listener,
        Client::new(&addr, timeout, None, &Credentials::default()).unwrap(),
    )
}

/// Reads a request to its end; the lines of its head. None when there is no request any more.
fn read_request(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let (mut lines, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            reader.read_exact(&mut vec![0; length]).ok()?;
            return Some(lines);
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        lines.push(line.to_owned());
    }
}

/// A node that answers each connection's only request with `text` and closes it; what it was asked.
fn answer_once_each(listener: TcpListener, text: &str) -> Receiver<Vec<String>> {
    let (asked, heard) = channel();
    let text = text.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if let Some(head) = read_request(&mut BufReader::new(&stream)) {
                // The other side may have seen enough.
                let _ = stream.write_all(text.as_bytes());
                let _ = asked.send(head);
            }
        }
    });
    heard
}

/// A node that keeps its connections: it answers every request with the number of the connection on which it came.
fn answer_all(listener: TcpListener) {
    thread::spawn(move || {
        for (place, mut stream) in listener.incoming().flatten().enumerate() {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{place}");
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while read_request(&mut reader).is_some() {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// What is made of an answer.
fn answered(text: &str) -> Result<(u16, String)> {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    let _asked = answer_once_each(listener, text);
    let response = client.request(GET)?;
    Ok((response.status, String::from_utf8(response.body).unwrap()))
}

/// A listener that takes no connection any more: whoever dials it waits. Its queue is full as long as the streams live.
fn full() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let dial = || TcpStream::connect_timeout(&addr, Duration::from_millis(100)).ok();
    let queued = std::iter::from_fn(dial).collect();
    (listener, queued)
}

#[test]
fn bodies_by_length_by_chunks_and_by_end() {
    let by_length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(answered(by_length).unwrap(), (200, "hello".into()));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
    assert_eq!(answered(chunked).unwrap(), (200, "hello".into()));
    let to_the_end = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nhello";
    assert_eq!(answered(to_the_end).unwrap(), (404, "hello".into()));
    let none = "HTTP/1.1 304 Not Modified\r\n\r\n";
    assert_eq!(answered(none).unwrap(), (304, String::new()));
}

#[test]
fn nonsense_is_an_error_that_says_so() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500));
    for (text, why) in [
        ("", "it closed the connection"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        ("HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
            "it closed the connection",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n",
            "it closed the connection",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "does not speak HTTP",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "does not speak HTTP",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            "it closed the connection",
        ),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "does not speak HTTP"),
        (&long, "does not speak HTTP"),
        (&many, "does not speak HTTP"),
    ] {
        let error = answered(text).unwrap_err();
        assert!(
            matches!(&error, CliError::Unreachable(m) if m.contains(why)),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn an_answer_is_read_up_to_its_bound() {
    for (text, is_read) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfives", false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfives\r\n0\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nfives", false),
    ] {
        let (listener, mut client) = listen(TEST_TIMEOUT);
        let _asked = answer_once_each(listener, text);
        client.max_body = 4;
        match client.request(GET) {
            Ok(response) => assert!(is_read && response.body == b"four", "{text:?}"),
            Err(CliError::Unreachable(why)) => {
                assert!(!is_read && why.contains("too long"), "{text:?}: {why}")
            }
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

#[test]
fn addresses_come_in_several_forms() {
    for (given, dialled) in [
        ("host:80", "host:80"),
        (":8080", "127.0.0.1:8080"),
        ("http://h:1/", "h:1"),
        ("[::1]:8080", "[::1]:8080"),
        ("[fe80::1%2]:8080", "[fe80::1%2]:8080"),
    ] {
        assert_eq!(
            Client::new(given, Duration::from_secs(1), None, &Credentials::default())
                .unwrap()
                .addr(),
            dialled
        );
    }
    for bad in [
        "",
        "host",
        "host:",
        "host:x",
        "host:0",
        "https://h:1",
        "a b:1",
        "h/x:1",
        "h:1/x",
        "me@h:1",
        "h?:1",
    ] {
        assert!(
            matches!(
                Client::new(bad, Duration::from_secs(1), None, &Credentials::default()),
                Err(CliError::Usage(_))
            ),
            "{bad:?}"
        );
    }
    assert_eq!(authority("[fe80::1%2]:8080").unwrap(), "[fe80::1]:8080");
}

/// The node looks at `Host`, and takes certain other headers for a browser's.
#[test]
fn a_request_says_what_it_is_for_and_nothing_else() {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    let heard = answer_once_each(listener, "HTTP/1.1 200 OK\r\n\r\n");
    client.request(GET).unwrap();
    let host = format!("host: {}", client.addr());
    assert_eq!(heard.recv().unwrap(), ["GET / HTTP/1.1", &host]);
    client
        .request(Request {
            path: "/data/a%2Fb?x=y",
            header: Some(("If-Match", "\"7\"")),
            ..ORDER
        })
        .unwrap();
    let mut head = heard.recv().unwrap();
    head.sort_unstable();
    let expected = [
        "PUT /data/a%2Fb?x=y HTTP/1.1",
        "content-length: 1",
        &host,
        "if-match: \"7\"",
    ];
    assert_eq!(head, expected);
}

#[test]
fn a_redirect_is_not_followed() {
    let (elsewhere, _) = listen(TEST_TIMEOUT);
    let place = elsewhere.local_addr().unwrap();
    let text = format!("HTTP/1.1 307 x\r\nLocation: http://{place}/\r\nContent-Length: 0\r\n\r\n");
    for request in [GET, ORDER] {
        let (listener, mut client) = listen(TEST_TIMEOUT);
        let heard = answer_once_each(listener, &text);
        assert_eq!(client.request(request).unwrap().status, 307);
        assert!(heard.recv().is_ok());
    }
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "it was followed");
}

#[test]
fn a_silent_node_costs_the_timeout_and_no_more() {
    let (_listener, mut client) = listen(Duration::from_millis(50));
    let error = client.request(GET).unwrap_err();
    assert!(
        matches!(&error, CliError::Unreachable(m) if m.contains("no answer in time")),
        "{error}"
    );
}

/// Each byte is in time for a deadline of its own.
#[test]
fn a_node_that_answers_byte_by_byte_costs_the_timeout_and_no_more() {
    for text in [
        "HTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n",
    ] {
        let (listener, mut client) = listen(Duration::from_millis(100));
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut sent = stream.write_all(text.as_bytes());
            while sent.is_ok() {
                thread::sleep(Duration::from_millis(5));
                sent = stream.write_all(b"y");
            }
        });
        let error = client.request(GET).unwrap_err();
        assert!(
            matches!(&error, CliError::Unreachable(m) if m.contains("no answer in time")),
            "{error}"
        );
    }
}

/// Nobody answers: a read brought nothing, a write may have been made. A write that found nobody was not.
#[test]
fn who_gets_no_answer_knows_whether_anything_may_have_happened() {
    let (listener, mut client) = listen(Duration::from_millis(50));
    let error = client.request(ORDER).unwrap_err();
    assert!(
        matches!(&error, CliError::Unknown(m) if m.contains("may or may not")),
        "{error}"
    );
    drop(listener);
    let error = client.request(ORDER).unwrap_err();
    assert!(
        matches!(&error, CliError::Unreachable(m) if m.contains("nobody listens")),
        "{error}"
    );
    let (listener, _queued) = full();
    let addr = listener.local_addr().unwrap().to_string();
    let mut client = Client::new(&addr, Duration::from_millis(50), None, &Credentials::default()).unwrap();
    let error = client.request(ORDER).unwrap_err();
    assert!(
        matches!(&error, CliError::Unreachable(m) if m.contains("no answer in time")),
        "{error}"
    );
    // Too long for a name: nobody has to be asked about it.
    let mut client = Client::new(
        &format!("{}:1", "x".repeat(64)),
        TEST_TIMEOUT,
        None,
        &Credentials::default(),
    )
    .unwrap();
    let error = client.request(ORDER).unwrap_err();
    assert!(matches!(&error, CliError::Unreachable(_)), "{error}");
}

#[test]
fn what_cannot_be_a_request_is_a_usage_error() {
    let (_listener, mut client) = listen(TEST_TIMEOUT);
    let path = format!("/data/{}", "x".repeat(70_000));
    let error = client.request(Request { path: &path, ..ORDER }).unwrap_err();
    assert!(
        matches!(&error, CliError::Usage(m) if m.contains("HTTP")),
        "{error}"
    );
}

#[test]
fn a_node_that_waits_is_given_the_time_and_its_answer_a_little_more() {
    let (listener, mut client) = listen(Duration::from_millis(50));
    let (asked, heard) = channel();
    let node = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        asked
            .send(read_request(&mut BufReader::new(&stream)).unwrap())
            .unwrap();
        // Longer than it was given: the client still listens.
        thread::sleep(Duration::from_millis(100));
        stream
            .write_all(b"HTTP/1.1 504 x\r\ncontent-length: 2\r\n\r\nno")
            .unwrap();
    });
    let request = Request {
        path: "/data/k?x=y",
        waits: true,
        ..GET
    };
    assert_eq!(client.request(request).unwrap().status, 504);
    assert_eq!(heard.recv().unwrap()[0], "GET /data/k?x=y&timeout=50ms HTTP/1.1");
    node.join().unwrap();
}

#[test]
fn a_connection_is_kept_for_what_may_be_sent_twice() {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    answer_all(listener);
    let mut on = |request| client.request(request).unwrap().body;
    assert_eq!([on(GET), on(GET)], [b"0", b"0"]);
    // Nobody would know whether it was heard, had the node closed the kept connection meanwhile.
    assert_eq!(on(ORDER), b"1");
    let repeatable = Request {
        repeatable: true,
        ..ORDER
    };
    assert_eq!(on(repeatable), b"1");
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    let node = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut BufReader::new(&stream)).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(client.request(GET).unwrap().body, b"ok");
    }
    node.join().unwrap();
}

/// The node reads the second request of the kept connection and closes it then.
#[test]
fn what_may_be_sent_twice_is_sent_again_when_the_kept_connection_breaks() {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    let node = thread::spawn(move || {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let (mut first, _) = listener.accept().unwrap();
        read_request(&mut BufReader::new(&first)).unwrap();
        first.write_all(answer).unwrap();
        read_request(&mut BufReader::new(&first)).unwrap();
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        read_request(&mut BufReader::new(&second)).unwrap();
        second.write_all(answer).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(client.request(GET).unwrap().body, b"ok");
    }
    node.join().unwrap();
}

#[test]
fn a_new_connection_that_breaks_is_not_replaced() {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    let heard = answer_once_each(listener, "");
    let error = client.request(GET).unwrap_err();
    assert!(
        matches!(&error, CliError::Unreachable(m) if m.contains("closed the connection")),
        "{error}"
    );
    heard.recv().unwrap();
    let error = client.request(ORDER).unwrap_err();
    assert!(matches!(&error, CliError::Unknown(_)), "{error}");
    heard.recv().unwrap();
    assert!(heard.try_recv().is_err(), "it was sent twice");
}

/// Dials these addresses, whatever the name.
#[derive(Debug)]
struct Name(Vec<SocketAddr>);

impl Connector for Name {
    type Out = Socket;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> std::result::Result<Option<Socket>, ureq::Error> {
        dial(self.0.clone(), details).map(Some)
    }
}

/// One address of the name does not answer, and one refuses.
#[test]
fn an_address_that_does_not_answer_holds_nobody_up() {
    let ((silent, _queued), (refusing, _), (listener, mut client)) =
        (full(), listen(TEST_TIMEOUT), listen(100 * TEST_TIMEOUT));
    let addrs = [&silent, &refusing, &listener].map(|listener| listener.local_addr().unwrap());
    drop(refusing);
    answer_all(listener);
    let config = client.agent.config().clone();
    client.agent = Agent::with_parts(config, Name(addrs.to_vec()), NoResolver);
    let start = Instant::now();
    assert_eq!(client.request(GET).unwrap().body, b"0");
    assert!(start.elapsed() < TEST_TIMEOUT, "{:?}", start.elapsed());
}

#[test]
fn the_etag_is_a_revision() {
    let (listener, mut client) = listen(TEST_TIMEOUT);
    let text = "HTTP/1.1 304 x\r\nETag: \"42\"\r\nX-ClusterKit-Last-Contact: 7\r\n\r\n";
    let _asked = answer_once_each(listener, text);
    let response = client.request(GET).unwrap();
    assert_eq!((response.etag, response.last_contact), (Some(42), Some(7)));
}

#[test]
fn keys_with_slashes_and_spaces_are_one_segment() {
    assert_eq!(escape("a/b c?ü").to_string(), "a%2Fb%20c%3F%C3%BC");
    assert_eq!(escape("node-1_2.3~").to_string(), "node-1_2.3~");
}
