//! Options from JSON.

use proptest::prelude::*;

use super::*;

#[test]
fn snake_case_with_groups() {
    let options = Options::from_json(
        r#"{
            "node_id": "node-1", "http_addr": ":8080", "join_addrs": ["a:1", "b:2"], "bootstrap": false,
            "partition_count": 256, "sync_interval": 250, "lease_ttl": "2s", "weight": 50, "zone": null,
            "health_check": {"enabled": true, "interval": "1s", "failure_threshold": 3},
            "timing": {"profile": "fast", "heartbeat": "20ms"},
            "services": {"kv": ":9080"}, "labels": {"a.b": "", "rack": "r1"}, "log_level": "debug"
        }"#,
    )
    .unwrap();
    options.validate().unwrap();
    let mut wanted = valid();
    for (name, value) in [
        ("join_addrs", "a:1,b:2"),
        ("bootstrap", "false"),
        ("partition_count", "256"),
        ("sync_interval", "250ms"),
        ("lease_ttl", "2s"),
        ("weight", "50"),
        ("health_check.interval", "1s"),
        ("health_check.failure_threshold", "3"),
        ("timing", "fast"),
        ("timing.heartbeat", "20ms"),
        ("services", "kv=:9080"),
        ("labels", "a.b=,rack=r1"),
        ("log_level", "debug"),
    ] {
        wanted.set(name, value).unwrap();
    }
    assert_eq!(options, wanted);
}

#[test]
fn other_spellings_of_the_same() {
    for (text, name, value) in [
        (r#"{"timing": "wan"}"#, "timing", "wan"),
        (
            r#"{"health_check.interval": "2s"}"#,
            "health_check.interval",
            "2s",
        ),
        (r#"{"join_addr": "a:1"}"#, "join_addrs", "a:1"),
        (r#"{"known_nodes": ["a:1"]}"#, "join_addrs", "a:1"),
        (r#"{"join_addrs": []}"#, "join_addrs", ""),
        (r#"{"timing": "WAN"}"#, "timing", "wan"),
        ("\u{feff}{\"weight\": 7}", "weight", "7"),
        (r#"{"services.kv": ":9080"}"#, "services", "kv=:9080"),
        (r#"{"sync_interval": 1500.5}"#, "sync_interval", "1500500us"),
        (r#"{}"#, "weight", "100"),
    ] {
        assert_eq!(
            Options::from_json(text).unwrap().get(name).unwrap(),
            value,
            "{text}"
        );
    }
}

#[test]
fn go_cluster_files() {
    let options = Options::from_json(
        r#"{"clusterId": "my-cluster", "nodeId": "node-1", "election": {"leaseTtlMs": 10000, "renewIntervalMs": 3000}}"#,
    )
    .unwrap();
    assert_eq!(options.cluster_name, "my-cluster");
    assert_eq!(options.node_id, "node-1");
    assert_eq!(options.lease_ttl, Some(Duration::from_secs(10)));
    assert_eq!(options.sync_interval, Some(Duration::from_secs(3)));
    // go-cluster's defaults are options that fit together here.
    let complete = Options {
        http_addr: ":8080".into(),
        ..options
    };
    complete.validate().unwrap();
}

#[test]
fn go_cluster_options_without_a_counterpart_say_what_to_do() {
    for (text, name, advice) in [
        (
            r#"{"nats": {"servers": ["nats://localhost:4222"]}}"#,
            "\"nats\"",
            "no NATS server",
        ),
        (
            r#"{"nats.credentials": ""}"#,
            "\"nats.credentials\"",
            "join_addrs",
        ),
        (
            r#"{"vip": {"address": "192.168.1.100", "netmask": 24}}"#,
            "\"vip\"",
            "becoming leader",
        ),
        (r#"{"vip.interface": "eth0"}"#, "\"vip.interface\"", "virtual IP"),
    ] {
        let message = message(Options::from_json(text));
        assert!(message.contains(name) && message.contains(advice), "{message}");
        assert!(message.contains("has no counterpart"), "{message}");
    }
}

#[test]
fn wrong_types_name_the_option() {
    for (text, wanted) in [
        (
            r#"{"node_id": 5}"#,
            "option node_id: wants a string, and this is a number",
        ),
        (
            r#"{"bootstrap": "true"}"#,
            "option bootstrap: wants true or false, and this is a string",
        ),
        (
            r#"{"partition_count": "64"}"#,
            "option partition_count: wants a number, and this is a string",
        ),
        (
            r#"{"partition_count": 1.5}"#,
            "option partition_count: \"1.5\" is not a whole number",
        ),
        (
            r#"{"partition_count": -1}"#,
            "option partition_count: \"-1\" is not a whole number from 1 to 65536",
        ),
        (
            r#"{"weight": true}"#,
            "option weight: wants a number, and this is a boolean",
        ),
        (
            r#"{"sync_interval": true}"#,
            "option sync_interval: wants a string such as \"5s\" or a number",
        ),
        (
            r#"{"sync_interval": -5}"#,
            "option sync_interval: \"-5\" is not a duration",
        ),
        (r#"{"sync_interval": 1e300}"#, "option sync_interval: "),
        (
            r#"{"join_addrs": {"a": 1}}"#,
            "option join_addrs: wants a string or an array of strings",
        ),
        (
            r#"{"join_addrs": ["a:1", 2]}"#,
            "option join_addrs: wants an array of strings",
        ),
        (
            r#"{"services": "kv=:9080"}"#,
            "option services: wants an object of strings, and this is a string",
        ),
        (
            r#"{"services": {"kv": 9080}}"#,
            "option services.kv: wants a string, and this is a number",
        ),
        (
            r#"{"services": {"kv": "9080"}}"#,
            "option services.kv: \"9080\" has no port",
        ),
        (
            r#"{"labels.a": {}}"#,
            "option labels.a: wants a string, and this is an object",
        ),
        (r#"{"health_check": true}"#, "unknown option \"health_check\""),
        (
            r#"{"health_check": {"intervall": 1}}"#,
            "did you mean \"health_check.interval\"?",
        ),
        (
            r#"{"timing": 5}"#,
            "option timing: wants a string, and this is a number",
        ),
        (
            r#"{"log_level": ["info"]}"#,
            "option log_level: wants a string, and this is an array",
        ),
        (r#"{"clusterID": "x"}"#, "did you mean \"cluster_name\"?"),
        (
            r#"{"join_addrs": [""]}"#,
            "option join_addrs: wants an array of addresses",
        ),
        (r#"[]"#, "options are a JSON object, and this is an array"),
        (r#"{"node_id": "a""#, "options are not valid JSON"),
        ("", "options are not valid JSON"),
    ] {
        let message = message(Options::from_json(text));
        assert!(message.contains(wanted), "{text}: {message}");
    }
}

#[test]
fn a_key_that_comes_twice_is_an_error_that_says_where() {
    for (text, key, place) in [
        ("{\"weight\": 1,\n \"weight\": 2}", "\"weight\"", "line 2 column"),
        (
            "{\n\n\"services\": {\"kv\": \":1\", \"kv\": \":2\"}}",
            "\"kv\"",
            "line 3 column",
        ),
    ] {
        let message = message(Options::from_json(text));
        for part in [key, "comes twice", place] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn one_option_under_two_names_is_an_error() {
    let text = r#"{"cluster_name": "a", "clusterId": "b"}"#;
    let message = message(Options::from_json(text));
    assert!(
        message.contains("option cluster_name is given twice"),
        "{message}"
    );
    assert!(message.contains("clusterId"), "{message}");
}

#[test]
fn a_merge_keeps_the_rest_and_an_error_changes_nothing() {
    let mut options = valid();
    options.set("services", "kv=:1,api=:2").unwrap();
    options
        .merge_json(r#"{"services": {"kv": ":9080"}, "zone": "a", "weight": null}"#)
        .unwrap();
    assert_eq!(
        options.get("services").unwrap(),
        "kv=:9080",
        "an object replaces all entries"
    );
    assert_eq!(options.zone.as_deref(), Some("a"));
    assert_eq!(options.weight, 100);
    let before = options.clone();
    options
        .merge_json(r#"{"zone": "b", "weight": 1000000}"#)
        .unwrap_err();
    assert_eq!(options, before);
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.json");
    std::fs::write(&path, r#"{"node_id": "n", "http_addr": ":1"}"#).unwrap();
    assert_eq!(Options::from_file(&path).unwrap(), Options::new("n", ":1"));
    std::fs::write(&path, r#"{"node_id": 5}"#).unwrap();
    let text = message(Options::from_file(&path));
    assert!(
        text.contains("node.json") && text.contains("option node_id"),
        "{text}"
    );
    std::fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(message(Options::from_file(&path)).contains("is longer than"));
    let missing = Options::from_file(folder.path().join("none.json")).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::Io);
    assert!(missing.message().contains("none.json"), "{missing}");
}

proptest! {
    #[test]
    fn no_json_panics(name in "[a-zA-Z_.]{0,30}", value in any::<f64>(), text in "\\PC{0,60}") {
        let _ = Options::from_json(&text);
        for json in [serde_json::json!({ &name: value }), serde_json::json!({ &name: { &name: text } })] {
            let _ = Options::from_json(&json.to_string());
        }
        for spec in table() {
            let _ = Options::from_json(&serde_json::json!({ spec.name: value }).to_string());
        }
    }

    #[test]
    fn durations_written_as_text_or_number_are_the_same(millis in 10_u64..600_000) {
        let text = format!(r#"{{"sync_interval": "{millis}ms"}}"#);
        let number = format!(r#"{{"sync_interval": {millis}}}"#);
        prop_assert_eq!(Options::from_json(&text).unwrap(), Options::from_json(&number).unwrap());
    }
}
