//! Custom data, and the bench that writes some.

use serde_json::json;

use crate::sample::script;
use crate::support::{Asked, Script, error, run};

#[test]
fn data_is_written_read_listed_and_deleted() {
    let written = json!({ "key": "a/b c", "revision": 43 });
    let gone = json!({ "key": "a/b c", "revision": 44, "deleted": true });
    let page = |keys: &[&str], more: bool| json!({ "count": keys.len(), "keys": keys, "has_more": more, "next_after": null });
    let node = Script::default()
        .json("PUT /data/a%2Fb%20c", 200, &written)
        .bytes("GET /data/a%2Fb%20c?revision=0", 43, b"line 1\nline 2")
        .bytes("GET /data/raw?revision=0", 9, b"\xff\x00")
        .json("DELETE /data/a%2Fb%20c", 200, &gone)
        .json("GET /data?limit=1000&prefix=", 200, &page(&["a", "b"], true))
        .json("GET /data?limit=1000&prefix=&after=b", 200, &page(&["c"], false))
        .serve();
    assert_eq!(
        node.run(&["data", "set", "a/b c", "v"]).stdout,
        "wrote a/b c at revision 43\n"
    );
    assert_eq!(node.run(&["data", "set", "a/b c", "v", "--json"]).json(), written);
    assert_eq!(node.run(&["data", "get", "a/b c"]).stdout, "line 1\nline 2");
    let json = node.run(&["data", "get", "a/b c", "--json"]).json();
    assert_eq!(
        json,
        json!({ "key": "a/b c", "value": "line 1\nline 2", "revision": 43 })
    );
    let json = node.run(&["data", "get", "raw", "--json"]).json();
    assert_eq!(json, json!({ "key": "raw", "value_hex": "ff00", "revision": 9 }));
    assert_eq!(node.run(&["data", "delete", "a/b c"]).stdout, "deleted a/b c\n");
    assert_eq!(node.run(&["data", "list"]).stdout, "a\nb\nc\n");
    assert_eq!(
        node.run(&["data", "list", "--json"]).json(),
        json!({ "keys": ["a", "b", "c"], "count": 3 })
    );
    assert_eq!(node.run(&["data", "get", "nothing"]).code, 1);
}

#[test]
fn conditions_and_standard_input_reach_the_node() {
    let node = Script::default()
        .json("PUT /data/k", 412, &error("CONFLICT", "the value is another"))
        .serve();
    let set = |args: &[&str], input: &str| {
        let ran = run(
            &[&["--addr", node.addr.as_str(), "data", "set", "k"], args].concat(),
            input,
        );
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (1, "clusterkit: the value is another (CONFLICT)\n")
        );
    };
    set(&["v", "--if-absent"], "");
    set(&["v", "--if-revision", "7"], "");
    set(&["-"], "from\nafar\n");
    let asked = |condition: Option<&str>, body: &str| Asked {
        line: "PUT /data/k".to_string(),
        timeout: Some("10000ms".to_owned()),
        condition: condition.map(str::to_string),
        authorization: None,
        body: body.to_string(),
    };
    let expected = [
        asked(Some("if-none-match: *"), "v"),
        asked(Some("if-match: \"7\""), "v"),
        asked(None, "from\nafar\n"),
    ];
    assert_eq!(node.asked(), expected);
}

#[test]
fn a_bench_measures_and_cleans_up() {
    let keys = json!({ "count": 1, "keys": ["clusterkit-bench/0"], "has_more": false, "next_after": null });
    let node = script()
        .json(
            "PUT /data/clusterkit-bench%2F0",
            200,
            &json!({ "key": "clusterkit-bench/0", "revision": 43 }),
        )
        .json("GET /data?limit=1000&prefix=clusterkit-bench%2F", 200, &keys)
        .json(
            "DELETE /data/clusterkit-bench%2F0",
            200,
            &json!({ "key": "x", "revision": 44, "deleted": true }),
        )
        .serve();
    let answer = node
        .run(&["bench", "--clients", "1", "--duration", "20ms", "--json"])
        .json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(
        (&results[0]["work"], &results[0]["errors"]),
        (&json!("write"), &json!(0))
    );
    assert!(results[0]["done"].as_u64().unwrap() > 0);
    // The test's node answers no lookup: each counts as an error, and the first is told.
    assert_eq!(
        (&results[1]["work"], &results[1]["done"]),
        (&json!("lookup"), &json!(0))
    );
    assert!(results[1]["first_error"].as_str().unwrap().contains("NOT_FOUND"));
    assert_eq!(node.lines().last().unwrap(), "DELETE /data/clusterkit-bench%2F0");
}
