//! `/cluster`: correct ETags and the long poll. Freshness of reads.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::{Server, error_of, header, parsed};
use crate::state::{Command, Expect};

fn set(key: &str) -> Command {
    Command::SetData {
        key: key.into(),
        value: Bytes::from_static(b"v"),
        expect: Expect::Any,
    }
}

/// An earlier system failed here: its ETag was a count, so a changed body was answered with 304.
#[tokio::test]
async fn a_changed_body_has_a_new_etag_and_an_unchanged_one_is_304() {
    let server = Server::start().await;
    let mut seen: Vec<(String, Value)> = Vec::new();
    let changes: [Box<dyn Fn()>; 4] = [
        Box::new(|| {}),
        Box::new(|| {
            server.fake.propose(set("a")).unwrap();
        }),
        Box::new(|| server.fake.add("node-3", 3)),
        Box::new(|| {
            let elected = Command::LeaderElected {
                node: "node-2".into(),
                term: 9,
            };
            server.fake.propose(elected).unwrap();
        }),
    ];
    for change in changes {
        change();
        let answer = server.get("/cluster").await;
        let (tag, body) = (header(&answer, "etag").to_owned(), parsed(&answer));
        assert_eq!(tag, format!("\"{}\"", body["revision"]));
        assert_eq!(header(&answer, "cache-control"), "no-cache");
        for (old_tag, old_body) in &seen {
            assert_ne!(*old_tag, tag);
            assert_ne!(*old_body, body);
            let with_old = server
                .send("GET", "/cluster", &[("if-none-match", old_tag)], "")
                .await;
            assert_eq!((with_old.status.as_u16(), parsed(&with_old)), (200, body.clone()));
        }
        let weak = format!("W/{tag}");
        let list = format!("\"1\", {tag}");
        for condition in [tag.as_str(), &weak, &list, "*"] {
            let again = server
                .send("GET", "/cluster", &[("if-none-match", condition)], "")
                .await;
            assert_eq!(again.status, 304, "{condition}");
            assert!(again.body.is_empty());
            assert_eq!(header(&again, "etag"), tag);
            assert_eq!(header(&again, "cache-control"), "no-cache");
        }
        seen.push((tag, body));
    }
}

#[tokio::test]
async fn a_long_poll_returns_when_the_revision_exceeds_the_one_named() {
    let server = Server::start().await;
    // The revision exceeds it already: answered at once.
    let (status, body) = server.json("GET", "/cluster?wait=4&timeout=60s", "").await;
    assert_eq!((status, &body["revision"]), (200, &5.into()));

    let poll = server.get("/cluster?wait=5&timeout=60s");
    let change = async {
        server.fake.waiting(1).await;
        server.fake.propose(set("a")).unwrap();
    };
    let (answer, ()) = tokio::join!(poll, change);
    assert_eq!(parsed(&answer)["revision"], 6);
}

#[tokio::test]
async fn a_long_poll_that_times_out_answers_with_what_there_is() {
    let server = Server::start().await;
    let before = Instant::now();
    let (status, body) = server.json("GET", "/cluster?wait=5&timeout=50ms", "").await;
    assert_eq!((status, &body["revision"]), (200, &5.into()));
    assert!(before.elapsed() >= Duration::from_millis(50));
    let path = format!("/cluster?wait={}&timeout=1ms", u64::MAX);
    let answer = server.send("GET", &path, &[("if-none-match", "\"5\"")], "").await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn a_read_waits_for_its_revision() {
    let server = Server::start().await;
    for path in [
        "/cluster",
        "/nodes",
        "/partitions",
        "/partitions/stats",
        "/partitions/key?key=a",
        "/data",
    ] {
        let sign = if path.contains('?') { '&' } else { '?' };
        let (status, body) = server
            .json("GET", &format!("{path}{sign}revision=99&timeout=5ms"), "")
            .await;
        assert_eq!((status, error_of(&body).0), (504, "TIMEOUT"), "{path}");
        let (status, _) = server
            .json("GET", &format!("{path}{sign}revision=5&timeout=0"), "")
            .await;
        assert_eq!(status, 200, "{path}");
        let (status, _) = server
            .json("GET", &format!("{path}{sign}consistency=linearizable"), "")
            .await;
        assert_eq!(status, 200, "{path}");
        let (status, _) = server
            .json("GET", &format!("{path}{sign}consistency=perfect"), "")
            .await;
        assert_eq!(status, 400, "{path}");
    }
    let read = server.get("/data?revision=6&timeout=60s");
    let write = async {
        server.fake.waiting(1).await;
        server.fake.propose(set("mine")).unwrap();
    };
    let (answer, ()) = tokio::join!(read, write);
    assert_eq!(parsed(&answer)["keys"][0], "mine");
}
