//! The replicated store over HTTP.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{Server, data_path, error_of, header, parsed};
use crate::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

#[tokio::test]
async fn a_value_is_written_read_listed_and_deleted() {
    let server = Server::start().await;
    let answer = server.send("PUT", "/data/greeting", &[], "hello").await;
    assert_eq!(
        (answer.status.as_u16(), parsed(&answer)),
        (200, json!({ "key": "greeting", "revision": 6 }))
    );
    assert_eq!(header(&answer, "etag"), "\"6\"");

    // The tag is the value's revision, not the store's.
    server.send("PUT", "/data/other", &[], "").await;
    let answer = server.get("/data/greeting").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, b"hello".as_slice())
    );
    assert_eq!(header(&answer, "content-type"), "application/octet-stream");
    assert_eq!(header(&answer, "etag"), "\"6\"");
    assert_eq!(header(&answer, "x-clusterkit-revision"), "7");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let again = server
        .send("GET", "/data/greeting", &[("if-none-match", "\"6\"")], "")
        .await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));

    let (status, body) = server.json("DELETE", "/data/greeting", "").await;
    let expected = json!({ "key": "greeting", "deleted": true, "revision": 8 });
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.json("DELETE", "/data/greeting", "").await;
    let expected = json!({ "key": "greeting", "deleted": false, "revision": 9 });
    assert_eq!((status, body), (200, expected));
    let (status, body) = server.json("GET", "/data/greeting", "").await;
    assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn keys_are_any_text_and_values_any_bytes() {
    let server = Server::start().await;
    let long = "k".repeat(MAX_KEY_BYTES);
    for key in [
        "a/b/c",
        "/leading",
        "trailing/",
        "a//b",
        "..",
        "sp ace+plus",
        "50%",
        "\u{e9}\u{1f600}",
        "q?x=1&y#z",
        &long,
    ] {
        let path = data_path(key);
        let value = [0, 159, 146, 150, b'\n'];
        let answer = server.client.request("PUT", &path, &[], &value).await.unwrap();
        assert_eq!(parsed(&answer)["key"], key);
        assert_eq!(server.get(&path).await.body[..], value, "{key}");
        assert!(crate::http::Api::data(&*server.fake, key).1.is_some(), "{key}");
    }
    // Slashes need no encoding.
    assert_eq!(server.get("/data/a/b/c").await.status, 200);
    for bad in ["/data/%FF", "/data/a%2", "/data/%zz"] {
        let (status, body) = server.json("GET", bad, "").await;
        assert_eq!((status, error_of(&body).0), (400, "INVALID_ARGUMENT"), "{bad}");
    }
    let (status, body) = server.json("GET", &format!("/data/{long}k"), "").await;
    assert_eq!((status, error_of(&body).0), (413, "TOO_LARGE"));
}

#[tokio::test]
async fn compare_and_set() {
    let server = Server::start().await;
    let put = async |headers: &[(&str, &str)]| {
        let answer = server.send("PUT", "/data/k", headers, "v").await;
        let body = parsed(&answer);
        (
            answer.status.as_u16(),
            body["error"]["code"].as_str().map(str::to_owned),
        )
    };
    let failed = (412, Some("CONFLICT".to_owned()));
    assert_eq!(
        put(&[("if-match", "\"5\"")]).await,
        failed,
        "the key does not exist"
    );
    assert_eq!(put(&[("if-none-match", "*")]).await, (200, None)); // Revision 7.
    assert_eq!(put(&[("if-none-match", "*")]).await, failed);
    assert_eq!(put(&[("if-match", "\"6\"")]).await, failed);
    assert_eq!(put(&[("if-match", "\"7\"")]).await, (200, None)); // Revision 10.
    assert_eq!(put(&[("if-match", "\"7\"")]).await, failed);
    for bad in [
        ("if-match", "*"),
        ("if-match", "W/\"10\""),
        ("if-match", "\"10\", \"11\""),
        ("if-none-match", "\"10\""),
    ] {
        assert_eq!(
            put(&[bad]).await,
            (400, Some("INVALID_ARGUMENT".to_owned())),
            "{bad:?}"
        );
    }
    let answer = server
        .send("DELETE", "/data/k", &[("if-match", "\"7\"")], "")
        .await;
    assert_eq!(answer.status, 412);
    let answer = server
        .send("DELETE", "/data/k", &[("if-match", "\"10\"")], "")
        .await;
    assert_eq!(
        (answer.status.as_u16(), &parsed(&answer)["deleted"]),
        (200, &true.into())
    );
}

#[tokio::test]
async fn the_largest_value_passes_and_one_byte_more_does_not() {
    let server = Server::start().await;
    let largest = "v".repeat(MAX_VALUE_BYTES);
    let answer = server.send("PUT", "/data/k", &[], &largest).await;
    assert_eq!(answer.status, 200);
    assert_eq!(server.get("/data/k").await.body.len(), MAX_VALUE_BYTES);
    let answer = server.send("PUT", "/data/k", &[], &(largest + "v")).await;
    assert_eq!(
        (answer.status.as_u16(), error_of(&parsed(&answer)).0),
        (413, "TOO_LARGE")
    );
}

#[tokio::test]
async fn keys_are_listed_in_pages() {
    let server = Server::start().await;
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        server.send("PUT", &data_path(key), &[], "").await;
    }
    let list = async |query: &str| server.json("GET", &format!("/data{query}"), "").await.1;
    let all =
        json!({ "keys": ["a/1", "a/2", "a/3", "b/1"], "count": 4, "has_more": false, "next_after": null });
    assert_eq!(list("").await, all);
    let first = json!({ "keys": ["a/1", "a/2"], "count": 2, "has_more": true, "next_after": "a/2" });
    assert_eq!(list("?prefix=a%2F&limit=2").await, first);
    let second = json!({ "keys": ["a/3"], "count": 1, "has_more": false, "next_after": null });
    assert_eq!(list("?prefix=a/&limit=2&after=a/2").await, second);
    let none = json!({ "keys": [], "count": 0, "has_more": false, "next_after": null });
    assert_eq!(list("?prefix=c").await, none);
}

#[tokio::test]
async fn consistency_is_the_callers_choice() {
    let server = Server::start().await;
    server.send("PUT", "/data/k", &[], "v").await;
    server.fake.leaderless.store(true, Ordering::Relaxed);
    assert_eq!(server.get("/data/k").await.status, 200);
    assert_eq!(server.get("/data/k?consistency=local").await.status, 200);
    let (status, body) = server.json("GET", "/data/k?consistency=linearizable", "").await;
    assert_eq!((status, error_of(&body).0), (503, "NO_LEADER"));
    server.fake.hangs.store(true, Ordering::Relaxed);
    let (status, body) = server
        .json("GET", "/data/k?consistency=linearizable&timeout=5ms", "")
        .await;
    assert_eq!((status, error_of(&body).0), (504, "TIMEOUT"));
}
