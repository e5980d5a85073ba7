use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;

/// A node that answers each connection's only request with `text` and closes it; the first lines of what it was asked.
fn node(text: &'static str) -> (Api, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = Api::new(&listener.local_addr().unwrap().to_string());
    let (asked, heard) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(std::io::Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            // Neither the client nor the test may be there any more.
            let _ = stream.write_all(text.as_bytes());
            let _ = asked.send(head.into_iter().next().unwrap_or_default());
        }
    });
    (api, heard)
}

/// What the book that [`crate::Load`] keeps stands on.
#[test]
fn whether_a_request_may_have_been_executed_is_in_the_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let silent = Api::new(&addr).with_timeout(Duration::from_millis(50));
    assert_eq!(silent.put("k", "").unwrap_err().code(), ErrorCode::Timeout);
    drop(listener);
    let error = silent.put("k", "").unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert!(error.message().starts_with(&addr), "{error}");
    for broken in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        "SSH-2.0\r\n\r\n",
    ] {
        let (api, heard) = node(broken);
        assert_eq!(
            api.put("k", "").unwrap_err().code(),
            ErrorCode::Timeout,
            "{broken:?}"
        );
        assert_eq!(heard.recv().unwrap(), "PUT /data/k HTTP/1.1");
        assert!(heard.try_recv().is_err(), "it was sent twice");
    }
    let error = silent.get("/bad path").unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[test]
fn an_answer_is_a_value_or_the_nodes_own_error() {
    let (api, _) = node("HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"7\"\r\nContent-Length: 1\r\n\r\nv");
    assert_eq!(api.value("a/b", 0).unwrap(), Some((Bytes::from("v"), 7)));
    assert_eq!(api.leader().unwrap_err().code(), ErrorCode::Internal);
    let (api, heard) = node(
        "HTTP/1.1 404 x\r\nConnection: close\r\n\r\n{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"there is none\"}}",
    );
    assert_eq!(api.value("a/b", 3).unwrap(), None);
    assert_eq!(heard.recv().unwrap(), "GET /data/a%2Fb?revision=3 HTTP/1.1");
    assert_eq!(api.get("/nodes/x").unwrap_err().message(), "there is none");
    assert_eq!(api.status("/nodes/x").unwrap(), 404);
    let (api, _) = node("HTTP/1.1 500 x\r\nConnection: close\r\n\r\noops");
    let error = api.get("/").unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
    assert!(
        error.message().contains("500") && error.message().contains("oops"),
        "{error}"
    );
}
