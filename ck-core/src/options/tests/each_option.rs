//! Every option: its default, the values it accepts and returns, both bounds, and the errors for bad values.

use proptest::prelude::*;

use super::*;

/// What is expected of one option: its name; its default as `get` returns it; accepted texts, with what `get` returns
/// afterwards; refused texts, with words of the message.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);

const CHARSET: &str = "is not 1 to 255 of A-Z a-z 0-9 . _ : -";
const FLAG: &str = "is not true or false";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("node_id", "",
        &[("n", "n"), ("a.B_c:1-2", "a.B_c:1-2")],
        &[("", CHARSET), ("a b", CHARSET), ("a/b", CHARSET), ("ä", CHARSET), ("a\n", CHARSET), (".", "neither . nor .."),
          ("..", "neither . nor ..")]),
    ("http_addr", "",
        &[(":8080", ":8080"), ("host:1", "host:1"), ("[::1]:0", "[::1]:0")],
        &[("8080", "write \":8080\""), ("", "has no valid host"), ("h:70000", "from 0 to 65535"),
          ("0:0", "has the number 0"), ("::1:8080", "in brackets"), ("[fe80::1%lo]:80", "has the zone %lo")]),
    ("node_name", "",
        &[("", ""), ("Der Erste", "Der Erste")],
        &[("a\tb", "no control characters"), (" a", "no blanks at either end")]),
    ("raft_addr", "",
        &[("", ""), ("127.0.0.1:9001", "127.0.0.1:9001")],
        &[("host", "has no port")]),
    ("advertise_addr", "",
        &[("", ""), ("host", "host"), ("10.0.0.5:80", "10.0.0.5:80"), ("[2001:db8::1]:80", "[2001:db8::1]:80")],
        &[(":8080", "has no host"), ("0.0.0.0:80", "wildcard"), ("8080", "bare port")]),
    ("join_addrs", "",
        &[("", ""), ("a:1", "a:1"), (" a:1 , b:2,", "a:1,b:2"), ("[::1]:80", "[::1]:80")],
        &[(":8080", "has no host"), ("a", "has no port"), ("a:1,b:0", "\"b:0\" has port 0"),
          ("http://a:1", "is a URL"), (",", "names no address"), ("0:1", "has the number 0")]),
    ("join_timeout", "30s",
        &[("10ms", "10ms"), ("168h", "168h")],
        &[("9ms", "from 10ms to 168h"), ("169h", "from 10ms to 168h"), ("", "is not a duration")]),
    ("bootstrap", "",
        &[("", ""), ("true", "true"), ("0", "false"), ("Yes", "true"), ("off", "false")],
        &[("maybe", FLAG)]),
    ("bootstrap_expect", "",
        &[("", ""), ("1", "1"), ("1000", "1000")],
        &[("0", "from 1 to 1000"), ("1001", "from 1 to 1000"), ("all", "whole number")]),
    ("cluster_name", "clusterkit-cluster",
        &[("x", "x"), ("My cluster", "My cluster")],
        &[("", "1 to 255 bytes"), ("a\0", "no control characters")]),
    ("partition_count", "",
        &[("", ""), ("1", "1"), ("65536", "65536"), (" 64 ", "64")],
        &[("0", "is not a whole number from 1 to 65536"), ("65537", "from 1 to 65536"), ("-1", "whole number"),
          ("1.5", "whole number"), ("99999999999999999999", "from 1 to 65536"), ("many", "whole number")]),
    ("replication_factor", "",
        &[("", ""), ("1", "1"), ("100", "100")],
        &[("0", "from 1 to 100"), ("101", "from 1 to 100")]),
    ("data_dir", "./clusterkit-data",
        &[("", ""), ("/var/lib/a b", "/var/lib/a b")],
        &[("a\0b", "control character"), ("/data\r", "control character"), ("/data\n", "control character"),
          (" /data", "begins or ends with a blank"), ("/data ", "begins or ends with a blank"),
          ("\"/data\"", "has quotes around it"), ("'/data'", "has quotes around it"),
          ("~/data", "only a shell"), ("~", "only a shell")]),
    ("sync_interval", "",
        &[("", ""), ("10ms", "10ms"), ("10m", "10m"), ("1.5s", "1500ms"), ("250", "250ms")],
        &[("9", "from 10ms to 10m"), ("601s", "from 10ms to 10m"), ("5 parsecs", "write it like \"5s\""), ("-1s", "is not a duration")]),
    ("lease_ttl", "",
        &[("", ""), ("30ms", "30ms"), ("1h", "1h")],
        &[("29ms", "from 30ms to 1h"), ("61m", "from 30ms to 1h")]),
    ("health_check.enabled", "true",
        &[("false", "false"), ("on", "true")],
        &[("", FLAG), ("2", FLAG)]),
    ("health_check.interval", "",
        &[("", ""), ("1ms", "1ms"), ("1h", "1h")],
        &[("0", "from 1ms to 1h"), ("2h", "from 1ms to 1h")]),
    ("health_check.timeout", "",
        &[("", ""), ("1ms", "1ms"), ("1h", "1h")],
        &[("0", "from 1ms to 1h"), ("2h", "from 1ms to 1h")]),
    ("health_check.failure_threshold", "4",
        &[("1", "1"), ("1000", "1000")],
        &[("0", "from 1 to 1000"), ("1001", "from 1 to 1000"), ("", "whole number")]),
    ("rebalance_delay", "10s",
        &[("0", "0s"), ("168h", "168h")],
        &[("169h", "from 0s to 168h"), ("soon", "from 0s to 168h")]),
    ("migration_timeout", "5m",
        &[("10ms", "10ms"), ("7d", "168h")],
        &[("9ms", "from 10ms to 168h"), ("8d", "from 10ms to 168h")]),
    ("max_concurrent_migrations", "4",
        &[("1", "1"), ("1000", "1000")],
        &[("0", "from 1 to 1000"), ("1001", "from 1 to 1000")]),
    ("max_cluster_migrations", "0",
        &[("0", "0"), ("1000000", "1000000")],
        &[("-1", "from 0 to 1000000"), ("1000001", "from 0 to 1000000")]),
    ("timing", "lan",
        &[("fast", "fast"), ("wan", "wan"), ("lan", "lan"), ("LAN", "lan"), ("Fast", "fast"), ("wan\r", "wan")],
        &[("man", "is not one of lan, fast, wan"), ("", "is not one of")]),
    ("timing.heartbeat", "",
        &[("", ""), ("5ms", "5ms"), ("1m", "1m")],
        &[("4ms", "from 5ms to 1m"), ("61s", "from 5ms to 1m")]),
    ("timing.election_min", "",
        &[("", ""), ("10ms", "10ms"), ("10m", "10m")],
        &[("9ms", "from 10ms to 10m"), ("11m", "from 10ms to 10m")]),
    ("timing.election_max", "",
        &[("", ""), ("10ms", "10ms"), ("10m", "10m")],
        &[("9ms", "from 10ms to 10m"), ("11m", "from 10ms to 10m")]),
    ("max_voters", "5",
        &[("1", "1"), ("15", "15")],
        &[("0", "from 1 to 15"), ("16", "from 1 to 15")]),
    ("services", "",
        &[("", ""), ("kv=:9080,api=:3000", "api=:3000,kv=:9080"), ("db=host:5432", "db=host:5432")],
        &[("kv", "has no \"=\""), ("kv=9080", "has no port"), ("kv=:0", "port 0"), ("=:1", "the name \"\""),
          ("a b=:1", "the name \"a b\""), ("kv=:1,kv=:2", "was given before")]),
    ("weight", "100",
        &[("0", "0"), ("10000", "10000")],
        &[("-1", "from 0 to 10000"), ("10001", "from 0 to 10000")]),
    ("zone", "",
        &[("", ""), ("eu-1a", "eu-1a")],
        &[("eu west", CHARSET)]),
    ("labels", "",
        &[("", ""), ("rack=r1,disk=ssd", "disk=ssd,rack=r1"), ("a=", "a="), ("a=b=c", "a=b=c"),
          ("topology.kubernetes.io/zone=z", "topology.kubernetes.io/zone=z")],
        &[("rack", "has no \"=\""), ("a=\u{1}", "no label value"), ("a:b=c", "the name \"a:b\"")]),
    ("hook_concurrency", "50",
        &[("1", "1"), ("1000", "1000")],
        &[("0", "from 1 to 1000"), ("1001", "from 1 to 1000")]),
    ("runtime_threads", "",
        &[("", ""), ("1", "1"), ("64", "64")],
        &[("0", "from 1 to 64"), ("65", "from 1 to 64")]),
    ("cluster_secret", "",
        &[("", ""), ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", "(hidden)"),
          ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG,0123456789abcdefghijklmnopqrstuvwxyzABCDEFH", "(hidden)")],
        &[("hunter2", "has 7 characters; a secret has 43 to 1024"), (",", "has 0 secrets"), ("a,b,c", "has 3 secrets"),
          ("012345678901234567890123456789012345678901 3", "no printable ASCII, or a blank"),
          ("secretsecretsecretsecretsecretsecretsecretsecret", "is no random text"),
          ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG,0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", "the same secret twice")]),
    ("cluster_secret_file", "",
        &[("", ""), ("/run/secrets/cluster", "/run/secrets/cluster")],
        &[("~/secret", "only a shell")]),
    ("tls.cert", "", &[("", ""), ("/etc/tls/cert.pem", "/etc/tls/cert.pem")], &[("'a'", "has quotes around it")]),
    ("tls.key", "", &[("", ""), ("/etc/tls/key.pem", "/etc/tls/key.pem")], &[("'a'", "has quotes around it")]),
    ("tls.ca", "", &[("", ""), ("/etc/tls/ca.pem", "/etc/tls/ca.pem")], &[("'a'", "has quotes around it")]),
    ("insecure", "false", &[("true", "true"), ("0", "false")], &[("", FLAG), ("maybe", FLAG)]),
    ("security_rollout", "false", &[("true", "true"), ("0", "false")], &[("", FLAG), ("maybe", FLAG)]),
    ("allowed_cidrs", "",
        &[("", ""), ("10.0.0.0/8", "10.0.0.0/8"), (" fd00::/8 , 127.0.0.1,", "fd00::/8,127.0.0.1")],
        &[("10.0.0.1/8", "is no network"), ("10.0.0.0/8,a", "\"a\" is no network"), (",", "names no network")]),
    ("reserved_data_prefix", "",
        &[("", ""), ("app/", "app/")],
        &[("a\tb", "no control characters")]),
    ("log_level", "info",
        &[("off", "off"), ("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"),
          ("trace", "trace"), ("WARN", "warn")],
        &[("loud", "is not one of off, error, warn, info, debug, trace")]),
];

#[test]
fn every_option_of_the_table_has_a_case() {
    let names: Vec<_> = table().iter().map(|spec| spec.name).collect();
    let cases: Vec<_> = CASES.iter().map(|case| case.0).collect();
    assert_eq!(names, cases);
}

#[test]
fn defaults_are_what_the_table_says() {
    let options = Options::default();
    for (spec, (name, default, ..)) in table().iter().zip(CASES) {
        assert_eq!(options.get(name).unwrap(), *default, "{name}");
        match spec.default {
            OptionDefault::Value(text) => assert_eq!(text, *default, "{name}"),
            _ => assert_eq!("", *default, "{name}"),
        }
    }
}

#[test]
fn good_values_come_back() {
    for (name, _, good, _) in CASES {
        for (text, canonical) in *good {
            let mut options = valid();
            options.set(name, text).unwrap();
            assert_eq!(options.get(name).unwrap(), *canonical, "{name}: {text:?}");
            if *canonical == "(hidden)" {
                let shown = format!("{options:?}");
                assert!(!shown.contains(text), "{shown}");
                continue;
            }
            let mut again = valid();
            again.set(name, canonical).unwrap();
            assert_eq!(again, options, "{name}: {canonical:?}");
        }
    }
}

#[test]
fn bad_values_change_nothing_and_say_what_would_be_right() {
    for (name, _, _, bad) in CASES {
        for (text, hint) in *bad {
            let mut options = valid();
            let message = message(options.set(name, text));
            assert_eq!(options, valid(), "{name}: {text:?}");
            let is_secret = table().iter().any(|spec| spec.name == *name && spec.is_secret());
            let shown = match is_secret {
                true => "the value, which is not shown,".to_owned(),
                false => format!("{text:?}"),
            };
            assert!(
                message.starts_with(&format!("option {name}: {shown} ")),
                "{message}"
            );
            assert!(message.contains(hint), "{message} lacks {hint:?}");
        }
    }
}

/// The bounds hold for fields that code sets directly, too.
#[test]
fn fields_set_in_code_are_held_to_the_same_bounds() {
    type Change = fn(&mut Options);
    let cases: &[(&str, Change)] = &[
        ("node_id", |o| o.node_id = "a b".into()),
        ("http_addr", |o| o.http_addr = "8080".into()),
        ("advertise_addr", |o| o.advertise_addr = Some(String::new())),
        ("join_addrs", |o| o.join_addrs = vec!["a:1,b:2".into()]),
        ("join_addrs", |o| o.join_addrs = vec![":8080".into()]),
        ("partition_count", |o| o.partition_count = Some(0)),
        ("sync_interval", |o| o.sync_interval = Some(Duration::MAX)),
        ("health_check.failure_threshold", |o| {
            o.health_check.failure_threshold = 0
        }),
        ("services", |o| {
            drop(o.services.insert("kv".into(), "9080".into()))
        }),
        ("labels", |o| drop(o.labels.insert("a".into(), "b,c=d".into()))),
        ("weight", |o| o.weight = u32::MAX),
    ];
    for (name, change) in cases {
        let mut options = valid();
        change(&mut options);
        let message = message(options.validate());
        assert!(
            message.starts_with(&format!("option {name}: ")),
            "{name}: {message}"
        );
    }
}

#[test]
fn lengths_have_bounds() {
    for (name, longest) in [
        ("node_id", 255),
        ("node_name", 255),
        ("cluster_name", 255),
        ("zone", 255),
    ] {
        valid().set(name, &"x".repeat(longest)).unwrap();
        let message = message(valid().set(name, &"x".repeat(longest + 1)));
        assert!(message.len() < 250, "a long value is cut short: {message}");
    }
    let addresses = |n: usize| vec!["a:1"; n].join(",");
    valid().set("join_addrs", &addresses(256)).unwrap();
    assert!(message(valid().set("join_addrs", &addresses(257))).contains("at most 256"));
    let services = |n: usize| (0..n).map(|i| format!("s{i}=:1")).collect::<Vec<_>>().join(",");
    valid().set("services", &services(64)).unwrap();
    assert!(message(valid().set("services", &services(65))).contains("at most 64"));
    let mut full = valid();
    full.set("services", &services(64)).unwrap();
    full.set("services.s0", ":2").unwrap();
    assert!(message(full.set("services.more", ":2")).contains("at most 64"));
    valid().set("labels.a", &"x".repeat(255)).unwrap();
    assert!(message(valid().set("labels.a", &"x".repeat(256))).contains("at most 255"));
    valid().set(&format!("labels.{}", "x".repeat(63)), "").unwrap();
    assert!(message(valid().set(&format!("labels.{}", "x".repeat(64)), "")).contains("1 to 63"));
}

#[test]
fn entries_of_maps_are_options_too() {
    let mut options = valid();
    options.set("services.kv", ":9080").unwrap();
    options.set("labels.a.b", "c").unwrap();
    assert_eq!(options.get("services").unwrap(), "kv=:9080");
    assert_eq!(options.get("services.kv").unwrap(), ":9080");
    assert_eq!(options.get("services.other").unwrap(), "");
    assert_eq!(options.labels["a.b"], "c");
    assert!(
        message(options.set("services.kv", "9080")).starts_with("option services.kv: \"9080\" has no port")
    );
    options.set("services", "").unwrap();
    assert!(options.services.is_empty());
}

#[test]
fn aliases_reach_the_same_option() {
    let mut options = valid();
    for (alias, value, name, text) in [
        ("join_addr", "a:1", "join_addrs", "a:1"),
        ("known_nodes", "a:1,b:2", "join_addrs", "a:1,b:2"),
        ("clusterId", "c", "cluster_name", "c"),
        ("nodeId", "n", "node_id", "n"),
        ("election.leaseTtlMs", "10000", "lease_ttl", "10s"),
        ("election.renewIntervalMs", "3000", "sync_interval", "3s"),
        ("timing.profile", "wan", "timing", "wan"),
    ] {
        options.set(alias, value).unwrap();
        assert_eq!(options.get(name).unwrap(), text);
        assert_eq!(options.get(alias).unwrap(), text);
    }
    assert!(message(options.set("clusterId", "")).starts_with("option cluster_name: "));
}

#[test]
fn unknown_names_suggest_the_nearest() {
    for (name, near) in [
        ("node_di", "node_id"),
        ("nodeid", "node_id"),
        ("partitionCount", "partition_count"),
        ("PARTITION_COUNT", "partition_count"),
        ("partitions_count", "partition_count"),
        ("helth_check.interval", "health_check.interval"),
        ("failure_threshold", "health_check.failure_threshold"),
        ("join-addr", "join_addrs"),
        ("service", "services"),
        ("lease_tll", "lease_ttl"),
        ("election_max", "timing.election_max"),
    ] {
        for result in [valid().set(name, "1"), valid().get(name).map(drop)] {
            assert_eq!(
                message(result),
                format!("unknown option {name:?}; did you mean {near:?}?")
            );
        }
    }
    for name in ["", "xyzzy", "q", "nothing_like_this_at_all", "zone.a"] {
        let message = message(valid().set(name, "1"));
        assert!(message.contains("unknown option"), "{message}");
    }
    assert!(message(valid().set("xyzzy", "")).contains("docs/options.md"));
    assert!(message(valid().set(&"x".repeat(5_000), "")).len() < 200);
}

#[test]
fn no_name_or_variable_means_two_options() {
    let mut names: Vec<&str> = table()
        .iter()
        .flat_map(|s| s.aliases.iter().copied().chain([s.name]))
        .collect();
    let mut variables: Vec<&str> = table().iter().flat_map(|s| s.env.iter().copied()).collect();
    for list in [&mut names, &mut variables] {
        let all = list.len();
        list.sort_unstable();
        list.dedup();
        assert_eq!(list.len(), all);
    }
}

/// All names of the published contract exist, with their variables.
#[test]
fn the_published_names_are_there() {
    let expected: BTreeMap<&str, &str> = [
        ("node_id", "NODE_ID"),
        ("http_addr", "HTTP_ADDR"),
        ("node_name", "NODE_NAME"),
        ("raft_addr", "RAFT_ADDR"),
        ("advertise_addr", "ADVERTISE_ADDR"),
        ("join_addr", "JOIN_ADDR"),
        ("join_addrs", "JOIN_ADDR"),
        ("known_nodes", "JOIN_ADDR"),
        ("bootstrap", "BOOTSTRAP"),
        ("bootstrap_expect", "BOOTSTRAP_EXPECT"),
        ("cluster_name", "CLUSTER_NAME"),
        ("partition_count", "PARTITION_COUNT"),
        ("replication_factor", "REPLICATION_FACTOR"),
        ("data_dir", "DATA_DIR"),
        ("sync_interval", "SYNC_INTERVAL"),
        ("health_check.enabled", "HEALTH_CHECK_ENABLED"),
        ("health_check.interval", "HEALTH_CHECK_INTERVAL"),
        ("health_check.timeout", "HEALTH_CHECK_TIMEOUT"),
        ("health_check.failure_threshold", "HEALTH_CHECK_FAILURE_THRESHOLD"),
        ("rebalance_delay", "REBALANCE_DELAY"),
        ("migration_timeout", "MIGRATION_TIMEOUT"),
        ("max_concurrent_migrations", "MAX_CONCURRENT_MIGRATIONS"),
        ("max_cluster_migrations", "MAX_CLUSTER_MIGRATIONS"),
        ("lease_ttl", "LEASE_TTL"),
        ("timing", "TIMING"),
        ("max_voters", "MAX_VOTERS"),
        ("services", "SERVICES"),
        ("weight", "WEIGHT"),
        ("zone", "ZONE"),
        ("labels", "LABELS"),
        ("hook_concurrency", "HOOK_CONCURRENCY"),
        ("log_level", "LOG_LEVEL"),
    ]
    .into();
    for (name, variable) in expected {
        let spec = OptionTarget::find(name).unwrap().spec();
        // The prefixed variable, which is certainly meant for this node, comes first.
        let prefixed = format!("CLUSTERKIT_{}", spec.name.to_uppercase().replace('.', "_"));
        assert_eq!(spec.env[..2], [prefixed.as_str(), variable], "{name}");
    }
}

proptest! {
    #[test]
    fn set_and_get_never_panic(index in 0..CASES.len(), name in "\\PC{0,40}", value in "\\PC{0,80}") {
        let mut options = valid();
        for name in [CASES[index].0, name.as_str()] {
            if options.set(name, &value).is_ok() {
                let text = options.get(name).unwrap();
                let mut again = options.clone();
                again.set(name, &text).unwrap();
                prop_assert_eq!(&again, &options, "{}", name);
            }
            let _ = options.validate();
        }
    }

    #[test]
    fn entry_names_never_panic(group in "services|labels|zone|timing", key in "\\PC{0,70}", value in "\\PC{0,20}") {
        let mut options = valid();
        let name = format!("{group}.{key}");
        if options.set(&name, &value).is_ok() {
            prop_assert_eq!(options.get(&name).unwrap(), value);
            let mut again = valid();
            again.set(&group, &options.get(&group).unwrap()).unwrap();
            prop_assert_eq!(again, options);
        }
    }
}
