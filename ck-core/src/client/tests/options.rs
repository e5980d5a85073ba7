//! The options of a client.

use std::time::Duration;

use crate::client::{ClientOptions, client_options_table};
use crate::error::ErrorCode;
use crate::options::OptionDefault;

const ADDRS: [&str; 1] = ["a:1"];

#[test]
fn every_default_is_within_its_bounds_and_reads_back() {
    let options = ClientOptions::new(ADDRS);
    options.validate().unwrap();
    for spec in client_options_table() {
        let text = options.get(spec.name).unwrap();
        let mut again = options.clone();
        again.set(spec.name, &text).unwrap();
        assert_eq!(again, options, "{}", spec.name);
        match spec.default {
            OptionDefault::Value(default) => assert_eq!(text, default, "{}", spec.name),
            OptionDefault::None => assert_eq!(text, "", "{}", spec.name),
            _ => assert_eq!(spec.name, "addrs"),
        }
    }
}

#[test]
fn addresses_come_one_by_one_or_separated_by_commas() {
    let options = ClientOptions::new(["a:1, b:2,", "[::1]:3", "c.example:4"]);
    assert_eq!(options.addrs, ["a:1", "b:2", "[::1]:3", "c.example:4"]);
    options.validate().unwrap();
    let mut again = ClientOptions::default();
    again.set("addrs", "a:1, b:2, [::1]:3, c.example:4").unwrap();
    assert_eq!(again, options);
}

#[test]
fn what_is_out_of_bounds_is_refused_and_changes_nothing() {
    let refused = |options: &ClientOptions, hint: &str| {
        let error = options.validate().unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        assert!(error.message().contains(hint), "{error}");
    };
    refused(&ClientOptions::default(), "addrs is required");
    refused(&ClientOptions::new(["a"]), "has no port");
    refused(&ClientOptions::new(["http://a:1/x"]), "is a URL");
    refused(&ClientOptions::new(["0.0.0.0:80"]), "wildcard");
    let mut options = ClientOptions::new(ADDRS);
    options.poll_timeout = Duration::from_secs(61);
    refused(&options, "poll_timeout");
    let error = ClientOptions::builder(ADDRS)
        .retry_min(Duration::from_secs(10))
        .build()
        .unwrap_err();
    assert!(
        error.message().contains("retry_min (10s) must be at most"),
        "{error}"
    );
    let mut options = ClientOptions::new(ADDRS);
    let before = options.clone();
    for (name, value) in [
        ("addrs", "a"),
        ("cluster_name", " x"),
        ("poll_timeout", "0"),
        ("max_response_bytes", "1"),
        ("log_level", "loud"),
        ("pol_timeout", "5s"),
    ] {
        let error = options.set(name, value).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        assert!(error.message().contains(name), "{error}");
        assert_eq!(options, before);
    }
}

#[test]
fn json_sets_what_it_names() {
    let mut options = ClientOptions::new(ADDRS);
    options
        .merge_json(
            r#"{"addrs": ["b:1", "c:1"], "cluster_name": "orders", "poll_timeout": "10s", "request_timeout": 1500,
                "member_addrs": false, "max_response_bytes": 1048576, "log_level": "Debug", "retry_max": null}"#,
        )
        .unwrap();
    let expected = ClientOptions::builder(["b:1,c:1"])
        .cluster_name("orders")
        .poll_timeout(Duration::from_secs(10))
        .request_timeout(Duration::from_millis(1500))
        .member_addrs(false)
        .max_response_bytes(1 << 20)
        .log_level(crate::LogLevel::Debug)
        .build()
        .unwrap();
    assert_eq!(options, expected);
    for text in [
        "[]",
        "{",
        r#"{"poll_timeout": true}"#,
        r#"{"addrs": "a:1", "addrs": "b:1"}"#,
        r#"{"timeout": "1s"}"#,
        r#"{"poll_timeout": "11s", "retry_min": "no"}"#,
    ] {
        let error = options.merge_json(text).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption, "{text}");
        assert_eq!(options, expected, "{text}");
    }
}

/// The table in the guide is the one that the code has. `UPDATE_DOCS=1 cargo test -p clusterkit client` writes it.
#[test]
fn the_guide_has_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/client.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let head = "| option | type | default | bounds | meaning |\n|---|---|---|---|---|\n";
    let rows: String = client_options_table()
        .iter()
        .map(|spec| {
            format!(
                "| `{}` | {} | {} | {} | {} |\n",
                spec.name,
                spec.kind.type_name(),
                spec.default.text(),
                spec.kind.bounds(),
                spec.help
            )
        })
        .collect();
    let (before, rest) = page.split_once(head).expect("the table's head");
    let end = rest
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.len() + 1)
        .sum::<usize>();
    let expected = format!("{before}{head}{rows}{}", &rest[end..]);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/client.md differs from the table: run with UPDATE_DOCS=1"
    );
}

#[test]
fn a_token_is_never_shown() {
    let token = "ck1.read.01234567.0.alice.secretsecret";
    let options = ClientOptions::builder(ADDRS).token(token).build().unwrap();
    assert!(!format!("{options:?}").contains("secretsecret"));
    assert_eq!(options.get("token").unwrap(), "(hidden)");
    let mut again = ClientOptions::new(ADDRS);
    again.set("token", token).unwrap();
    assert_eq!(again, options);
    let error = again.set("token", "secret secret").unwrap_err();
    assert!(!error.message().contains("secret secret"), "{error}");
    let mut wrong = ClientOptions::new(ADDRS);
    wrong.token = Some("two\r\nlines".into());
    let error = wrong.validate().unwrap_err();
    assert!(!error.message().contains("lines"), "{error}");
    assert_eq!(error.code(), ErrorCode::InvalidOption);
}

#[test]
fn what_tls_needs_goes_together() {
    let with = |set: &[(&str, &str)]| {
        let mut options = ClientOptions::new(ADDRS);
        for (name, value) in set {
            options.set(name, value).unwrap();
        }
        options.validate()
    };
    let (ca, cert, key) = (("tls_ca", "ca.pem"), ("tls_cert", "c.pem"), ("tls_key", "c.key"));
    let insecure = ("insecure", "true");
    for set in [
        &[][..],
        &[ca],
        &[ca, cert, key],
        &[insecure],
        &[insecure, cert, key],
    ] {
        with(set).unwrap();
    }
    for (set, said) in [
        (&[ca, cert][..], "tls_key"),
        (&[ca, key], "tls_cert"),
        (&[cert, key], "tls_ca"),
        (&[insecure, ca], "leave one of them out"),
    ] {
        let error = with(set).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        assert!(error.message().contains(said), "{error}");
    }
    let mut options = ClientOptions::new(ADDRS);
    options.tls_ca = Some("/nowhere/ca.pem".to_owned());
    let error = crate::Client::new(options).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidOption);
    assert!(error.message().contains("/nowhere/ca.pem"), "{error}");
}
