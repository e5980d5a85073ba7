//! Fuzz target: any text as options, as one option, as a duration, as an address.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{ListenAddr, Options, advertised, format_duration, parse_duration, table};
use crate::error::{Error, ErrorCode};
use crate::fuzz::Input;

/// The maximum length of an error message, which must show long values shortened.
const MAX_MESSAGE_BYTES: usize = 2048;

/// The first byte of an input says what its text is. Accepted text must mean the same when it is written and read
/// again; refused text must change nothing, and get an error that says why.
pub(crate) fn options(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.u8();
    match kind % 5 {
        0 => with_text(input.rest(), document),
        1 => {
            let number = usize::from(input.u8());
            let entry = input.part();
            let spec = &table()[number % table().len()];
            let name = match std::str::from_utf8(entry) {
                Ok("") | Err(_) => spec.name.to_owned(),
                // An entry of a map, or any other name.
                Ok(entry) if spec.has_entries() => format!("{}.{entry}", spec.name),
                Ok(name) => name.to_owned(),
            };
            with_text(input.rest(), |text| single_option(&name, text));
        }
        2 => with_text(input.rest(), duration),
        3 => with_text(input.rest(), address),
        _ => environment(input),
    }
}

fn with_text(bytes: &[u8], check: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
}

fn check_message(error: &Error) {
    assert_eq!(error.code(), ErrorCode::InvalidOption, "{error}");
    assert!(
        error.message().len() <= MAX_MESSAGE_BYTES,
        "{} bytes",
        error.message().len()
    );
}

/// Checks a set of options from any source: every value reads back, and so do all options that are valid together.
fn check_options(options: &Options) {
    let mut again = Options::default();
    for spec in table() {
        let text = options.get(spec.name);
        let set = text.as_ref().map(|text| again.set(spec.name, text));
        assert!(
            matches!(set, Ok(Ok(()))) || matches!(&text, Ok(text) if text.is_empty()),
            "{}: {text:?} {set:?}",
            spec.name
        );
    }
    match options.validate() {
        Ok(()) => assert_eq!(&again, options),
        Err(error) => check_message(&error),
    }
    let _ = (
        options.effective_lease_ttl(),
        options.failure_timeout(),
        options.timing.values(),
    );
    let _ = (options.effective_node_name(), options.lease_margin());
}

fn document(text: &str) {
    let mut options = Options::new("node-1", ":0");
    let before = options.clone();
    match options.merge_json(text) {
        Ok(()) => check_options(&options),
        Err(error) => {
            check_message(&error);
            assert_eq!(options, before);
        }
    }
}

fn single_option(name: &str, text: &str) {
    let mut options = Options::new("node-1", ":0");
    let before = options.clone();
    match options.set(name, text) {
        Ok(()) => check_options(&options),
        Err(error) => {
            check_message(&error);
            assert_eq!(options, before);
        }
    }
}

fn duration(text: &str) {
    if let Some(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
    }
}

fn address(text: &str) {
    match ListenAddr::parse(text) {
        Ok(listen) => {
            let host = listen.host();
            let again = match host.contains(':') {
                true => format!("[{host}]:{}", listen.port()),
                false => format!("{host}:{}", listen.port()),
            };
            assert_eq!(ListenAddr::parse(&again).as_ref().ok(), Some(&listen));
            let _ = (listen.is_wildcard(), listen.bind_host());
        }
        Err(error) => assert_eq!(error.code(), ErrorCode::InvalidOption),
    }
    let bound = SocketAddr::from(([10, 0, 0, 7], 8080));
    match advertised(bound, Some(text), "") {
        // The advertised address can be dialled.
        Ok(dialled) => assert!(
            Options::default().set("join_addrs", &dialled).is_ok(),
            "{dialled}"
        ),
        Err(error) => assert_eq!(error.code(), ErrorCode::InvalidOption),
    }
}

/// Variables, selected by number, each with a value.
fn environment(mut input: Input<'_>) {
    let variables: Vec<_> = table().iter().flat_map(|spec| spec.env).collect();
    let mut values = BTreeMap::new();
    while !input.is_empty() {
        let number = usize::from(input.u8()) % variables.len();
        if let Ok(value) = std::str::from_utf8(input.part()) {
            values.insert(*variables[number], value.to_owned());
        }
    }
    let mut options = Options::new("node-1", ":0");
    let before = options.clone();
    match options.apply_env_with(|name| values.get(name).cloned()) {
        Ok(()) => check_options(&options),
        Err(error) => {
            check_message(&error);
            assert_eq!(options, before);
        }
    }
}

/// Seed inputs: a document of each form, single options, and values as people write them.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use crate::fuzz::put_part;

    let text = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    let one = |name: &str, entry: &str, text: &str| {
        let number = table().iter().position(|spec| spec.name == name).unwrap();
        let mut input = vec![1, u8::try_from(number).unwrap()];
        put_part(&mut input, entry.as_bytes());
        input.extend_from_slice(text.as_bytes());
        input
    };
    let number = |variable: &str| {
        let mut variables = table().iter().flat_map(|spec| spec.env);
        u8::try_from(variables.position(|name| *name == variable).unwrap()).unwrap()
    };
    let mut environment = vec![4];
    for (variable, value) in [
        ("HTTP_PORT", "8080"),
        ("JOIN_ADDR", "a:1,b:2"),
        ("NODE_NAME", "n"),
    ] {
        environment.push(number(variable));
        put_part(&mut environment, value.as_bytes());
    }
    vec![
        (
            "nested",
            text(
                0,
                r#"{"node_id":"n","http_addr":":8080","join_addrs":["a:1","[::1]:2"],"timing":{"profile":"wan"},
"health_check":{"interval":"1s","failure_threshold":4},"services":{"kv":":9080"},"labels":{"a/b":"c"},"zone":null,"weight":7}"#,
            ),
        ),
        (
            "dotted",
            text(
                0,
                "\u{feff}{\"timing.heartbeat\":\"40ms\",\"health_check.enabled\":false,\"data_dir\":\"/d\",\"lease_ttl\":2000}",
            ),
        ),
        (
            "go-cluster",
            text(
                0,
                r#"{"clusterId":"c","election":{"leaseTtlMs":1500,"renewIntervalMs":500}}"#,
            ),
        ),
        ("twice", text(0, r#"{"weight":1,"weight":2}"#)),
        ("one-duration", one("rebalance_delay", "", "1m30s")),
        ("one-choice", one("log_level", "", "Debug")),
        ("one-list", one("join_addrs", "", "a:1, b.example:2")),
        ("one-map", one("services", "", "kv=:9080,api=host:3000")),
        ("one-entry", one("labels", "topology.kubernetes.io/zone", "z1")),
        ("one-unknown", one("weight", "wieght", "1")),
        ("duration", text(2, "1d2h3m4.5s6ms7us8ns")),
        ("address", text(3, "[2001:db8::5]:8080")),
        ("name", text(3, "node-1.cluster_a.example.:65535")),
        ("environment", environment),
    ]
}
