//! The rules between options, and the derived values of unset options.

use super::*;

fn with(pairs: &[(&str, &str)]) -> Options {
    let mut options = valid();
    for (name, value) in pairs {
        options.set(name, value).unwrap();
    }
    options
}

fn millis(options: &Options) -> (u128, u128) {
    (
        options.effective_lease_ttl().as_millis(),
        options.failure_timeout().as_millis(),
    )
}

#[test]
fn defaults_are_valid_and_as_designed() {
    let options = valid();
    options.validate().unwrap();
    assert_eq!(options.effective_sync_interval(), Duration::from_millis(500));
    assert_eq!(millis(&options), (1_500, 2_000));
    assert_eq!(options.effective_health_interval(), Duration::from_millis(500));
    assert_eq!(options.effective_health_timeout(), Duration::from_millis(500));
    assert_eq!(options.bootstrap_partition_count(), 64);
    assert_eq!(options.bootstrap_replication_factor(), 3);
}

#[test]
fn required_options_must_be_set() {
    for (options, name) in [
        (Options::default(), "node_id"),
        (Options::new("n", ""), "http_addr"),
    ] {
        let message = message(options.validate());
        assert!(
            message.starts_with(&format!("option {name} is required: ")),
            "{message}"
        );
    }
}

#[test]
fn profiles() {
    for (profile, heartbeat, min, max) in [
        (TimingProfile::Lan, 50, 150, 300),
        (TimingProfile::Fast, 30, 75, 150),
        (TimingProfile::Wan, 250, 1_000, 2_000),
    ] {
        let options = with(&[("timing", profile.name())]);
        options.validate().unwrap();
        let values = options.timing.values();
        assert_eq!(values, profile.values());
        assert_eq!(
            [values.heartbeat, values.election_min, values.election_max].map(|d| d.as_millis()),
            [heartbeat, min, max]
        );
    }
    let set = with(&[("timing", "wan"), ("timing.heartbeat", "100ms")])
        .timing
        .values();
    assert_eq!(
        set,
        TimingValues {
            heartbeat: Duration::from_millis(100),
            ..TimingProfile::Wan.values()
        }
    );
}

/// For every sync interval and profile, the derived options fit together.
#[test]
fn unset_leases_and_timeouts_follow() {
    assert_eq!(millis(&with(&[("timing", "wan")])), (4_500, 6_000));
    assert_eq!(millis(&with(&[("timing", "fast")])), (400, 536));
    assert_eq!(millis(&with(&[("sync_interval", "5s")])), (15_000, 20_000));
    for profile in TimingProfile::NAMES {
        for sync in ["10ms", "37ms", "100ms", "500ms", "33333us", "5s", "10m"] {
            for threshold in ["1", "3", "4", "7", "1000"] {
                let options = with(&[
                    ("timing", profile),
                    ("health_check.failure_threshold", threshold),
                    ("sync_interval", sync),
                ]);
                options
                    .validate()
                    .unwrap_or_else(|error| panic!("{profile} {sync} {threshold}: {error}"));
            }
        }
    }
}

/// The sets of options that the documentation of the Go libraries shows.
#[test]
fn the_seeds_settings_are_valid() {
    for pairs in [
        &[
            ("sync_interval", "5s"),
            ("partition_count", "16"),
            ("replication_factor", "3"),
        ][..],
        &[
            ("health_check.enabled", "true"),
            ("health_check.interval", "5s"),
            ("health_check.timeout", "2s"),
            ("health_check.failure_threshold", "3"),
        ],
        &[
            ("raft_addr", "127.0.0.1:9001"),
            ("bootstrap", "true"),
            ("data_dir", "./data/node1"),
        ],
        &[
            ("election.leaseTtlMs", "10000"),
            ("election.renewIntervalMs", "3000"),
        ],
    ] {
        with(pairs).validate().unwrap();
    }
}

/// Only these values are set; the derived options fit them.
#[test]
fn unset_options_adapt_to_set_ones() {
    let go = [
        ("sync_interval", "5s"),
        ("health_check.enabled", "true"),
        ("health_check.interval", "5s"),
        ("health_check.timeout", "2s"),
        ("health_check.failure_threshold", "3"),
    ];
    let options = with(&go);
    options.validate().unwrap();
    // The failure timeout is as set, and the lease ends before it.
    assert_eq!(millis(&options), (11_250, 15_000));
    for (pairs, lease, failure) in [
        (&[("lease_ttl", "1s")][..], 1_000, 1_336),
        (&[("lease_ttl", "700ms")], 700, 936),
        (&[("lease_ttl", "8s")], 8_000, 10_668),
        (&[("health_check.interval", "400ms")], 1_200, 1_600),
        (&[("health_check.interval", "200ms")], 1_500, 2_200),
        (&[("health_check.interval", "1ms")], 1_500, 2_001),
        (&[("health_check.interval", "5s")], 1_500, 20_000),
        (&[("health_check.timeout", "2001ms")], 1_500, 2_004),
        (&[("health_check.failure_threshold", "1")], 1_500, 2_000),
        (
            &[
                ("health_check.interval", "1650ms"),
                ("health_check.failure_threshold", "1"),
            ],
            1_236,
            1_650,
        ),
        (
            &[("sync_interval", "5s"), ("health_check.interval", "3s")],
            9_000,
            12_000,
        ),
        (&[("timing.heartbeat", "75ms")], 1_500, 2_000),
        (&[("timing.election_min", "300ms")], 1_700, 2_268),
        (&[("timing.election_max", "100ms")], 1_500, 2_000),
    ] {
        let options = with(pairs);
        options
            .validate()
            .unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
        assert_eq!(millis(&options), (lease, failure), "{pairs:?}");
    }
}

/// A single value is accepted, unless the timing of elections leaves no room for it.
#[test]
fn one_value_alone_is_accepted_wherever_the_election_timing_allows_it() {
    for (name, values) in [
        ("sync_interval", &["10ms", "1s", "7s", "10m"][..]),
        (
            "lease_ttl",
            &["620ms", "650ms", "700ms", "899ms", "1s", "5s", "1h"],
        ),
        (
            "health_check.interval",
            &["1ms", "10ms", "100ms", "225ms", "300ms", "1s", "1h"],
        ),
        ("health_check.timeout", &["1ms", "1s", "5s", "1h"]),
        ("health_check.failure_threshold", &["1", "2", "3", "5", "1000"]),
        ("timing.heartbeat", &["5ms", "74ms", "75ms", "100ms", "1m"]),
        ("timing.election_min", &["10ms", "50ms", "300ms", "5s", "10m"]),
        ("timing.election_max", &["10ms", "100ms", "150ms", "5s", "10m"]),
    ] {
        for value in values {
            let checked = with(&[(name, value)]).validate();
            checked.unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        }
    }
}

#[test]
fn contradictions_name_both_sides() {
    for (pairs, parts) in [
        (
            &[("timing.heartbeat", "75ms"), ("timing.election_min", "150ms")][..],
            ["timing.heartbeat (75ms)", "timing.election_min (150ms)"],
        ),
        (
            &[("timing.election_min", "300ms"), ("timing.election_max", "300ms")],
            ["timing.election_min (300ms)", "timing.election_max (300ms)"],
        ),
        (
            &[("sync_interval", "501ms"), ("lease_ttl", "1500ms")],
            ["sync_interval (501ms)", "lease_ttl (1500ms)"],
        ),
        (
            &[("sync_interval", "100ms"), ("lease_ttl", "699ms")],
            [
                "lease_ttl (699ms)",
                "2 x timing.election_max + sync_interval (700ms)",
            ],
        ),
        (
            &[("lease_ttl", "600ms")],
            ["lease_ttl (600ms)", "2 x timing.election_max + sync_interval"],
        ),
        (
            &[
                ("health_check.interval", "200ms"),
                ("health_check.failure_threshold", "3"),
            ],
            ["health_check.failure_threshold, 600ms", "2 x timing.election_max"],
        ),
        (
            &[
                ("lease_ttl", "1500ms"),
                ("health_check.interval", "1650ms"),
                ("health_check.failure_threshold", "1"),
            ],
            ["failure_threshold (1650ms)", "lease_ttl (1500ms)"],
        ),
        (
            &[
                ("health_check.timeout", "2001ms"),
                ("health_check.interval", "1s"),
                ("health_check.failure_threshold", "2"),
            ],
            ["health_check.timeout (2001ms)", "failure_threshold (2s)"],
        ),
        (
            &[
                ("sync_interval", "5s"),
                ("health_check.interval", "3s"),
                ("health_check.failure_threshold", "3"),
            ],
            ["sync_interval (5s)", "failure_threshold (9s)"],
        ),
        (&[("raft_addr", ":8080")], ["raft_addr", "\":8080\""]),
        (
            &[("bootstrap", "false"), ("data_dir", "")],
            ["bootstrap is false", "join_addrs is empty"],
        ),
        (
            &[("bootstrap_expect", "3")],
            ["bootstrap_expect is 3", "join_addrs is empty"],
        ),
        (
            &[
                ("bootstrap_expect", "3"),
                ("bootstrap", "true"),
                ("join_addrs", "a:1"),
            ],
            ["bootstrap is true", "bootstrap_expect is 3"],
        ),
    ] {
        let message = message(with(pairs).validate());
        for part in parts {
            assert!(message.contains(part), "{pairs:?}: {message}");
        }
    }
}

#[test]
fn the_last_value_before_a_contradiction_is_fine() {
    for pairs in [
        &[("timing.heartbeat", "74ms"), ("timing.election_min", "150ms")][..],
        &[("timing.election_min", "299ms"), ("timing.election_max", "300ms")],
        &[("sync_interval", "500ms"), ("lease_ttl", "1500ms")],
        &[("sync_interval", "100ms"), ("lease_ttl", "700ms")],
        &[
            ("lease_ttl", "1500ms"),
            ("health_check.interval", "1651ms"),
            ("health_check.failure_threshold", "1"),
        ],
        &[
            ("health_check.timeout", "2s"),
            ("health_check.interval", "1s"),
            ("health_check.failure_threshold", "2"),
        ],
        &[
            ("sync_interval", "5s"),
            ("health_check.interval", "5s"),
            ("health_check.failure_threshold", "2"),
        ],
        &[("raft_addr", ":8081")],
        &[("bootstrap", "false"), ("data_dir", ""), ("join_addrs", "a:1")],
        &[("bootstrap", "false")],
        &[("bootstrap_expect", "3"), ("join_addrs", "a:1")],
        &[("bootstrap_expect", "1")],
    ] {
        with(pairs).validate().unwrap();
    }
    // Port 0 gives another port each time.
    let mut options = Options::new("n", ":0");
    options.raft_addr = Some(":0".into());
    options.validate().unwrap();
}

#[test]
fn names_for_people() {
    for (id, name) in [
        ("node-1", "Server-1"),
        ("node-12", "Server-12"),
        ("server-2", "Server-2"),
        ("Server-2", "Server-2"),
        ("3", "Server-3"),
        ("007", "Server-007"),
        ("node-", "node-"),
        ("server-", "server-"),
        ("-3", "-3"),
        ("node-a", "node-a"),
        ("node-1-2", "node-1-2"),
        ("kv-1", "kv-1"),
        ("kv", "kv"),
    ] {
        assert_eq!(Options::new(id, ":1").effective_node_name(), name);
    }
    assert_eq!(with(&[("node_name", "X")]).effective_node_name(), "X");
}

#[test]
fn listen_addresses() {
    let options = with(&[("raft_addr", "[::1]:9")]);
    assert_eq!(options.http_listen().unwrap().port(), 8080);
    assert_eq!(options.raft_listen().unwrap().unwrap().host(), "::1");
    assert_eq!(valid().raft_listen().unwrap(), None);
    assert!(message(Options::new("n", "x").http_listen()).starts_with("option http_addr: "));
}
