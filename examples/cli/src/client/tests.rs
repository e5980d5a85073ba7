use std::net::TcpListener;
use std::thread;

use super::*;

const GET: Request<'_> = Request {
    method: "GET",
    path: "/",
    header: None,
    body: None,
    repeatable: true,
    waits: false,
};

fn parse(text: &str) -> io::Result<(u16, String, bool)> {
    let (response, keep) = read_response(&mut text.as_bytes())?;
    Ok((response.status, String::from_utf8(response.body).unwrap(), keep))
}

#[test]
fn bodies_by_length_by_chunks_and_by_end() {
    let by_length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(parse(by_length).unwrap(), (200, "hello".into(), true));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
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

/// Nobody answers: a read brought nothing, a write may have been made. A write that found nobody was not.
#[test]
fn who_gets_no_answer_knows_whether_anything_may_have_happened() {
    let put = Request {
        method: "PUT",
        body: Some(b"v"),
        ..GET
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut client = Client::new(&addr, Duration::from_millis(50)).unwrap();
    let error = client.request(put).unwrap_err();
    assert!(
        matches!(&error, CliError::Unknown(m) if m.contains("may or may not")),
        "{error}"
    );
    drop(listener);
    let error = client.request(put).unwrap_err();
    assert!(
        matches!(&error, CliError::Unreachable(m) if m.contains("nobody listens")),
        "{error}"
    );
}

#[test]
fn a_node_that_waits_is_given_the_time_and_its_answer_a_little_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (asked, heard) = channel();
    let node = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        asked.send(read_line(&mut reader).unwrap()).unwrap();
        while !read_line(&mut reader).unwrap().is_empty() {}
        // Longer than it was given: the client still listens.
        thread::sleep(Duration::from_millis(100));
        stream
            .write_all(b"HTTP/1.1 504 x\r\ncontent-length: 2\r\n\r\nno")
            .unwrap();
    });
    let mut client = Client::new(&addr, Duration::from_millis(50)).unwrap();
    let request = Request {
        path: "/data/k?x=y",
        waits: true,
        ..GET
    };
    assert_eq!(client.request(request).unwrap().status, 504);
    assert_eq!(heard.recv().unwrap(), "GET /data/k?x=y&timeout=50ms HTTP/1.1");
    node.join().unwrap();
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
