//! Options from environment variables.

use super::*;

fn apply(pairs: &[(&str, &str)]) -> Result<Options> {
    let mut options = Options::default();
    options.apply_env_with(|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_string())
    })?;
    Ok(options)
}

#[test]
fn the_variables_of_the_seed_programs() {
    let options = apply(&[
        ("NODE_ID", "node-2"),
        ("NODE_NAME", "Server-2"),
        ("HTTP_ADDR", ":8081"),
        ("RAFT_ADDR", "127.0.0.1:9002"),
        ("JOIN_ADDR", "localhost:8080, other:8080"),
        ("BOOTSTRAP", "false"),
        ("DATA_DIR", "./data/node2"),
        ("SERVICES", "kv=:9080,api=:3000"),
        ("HEALTH_CHECK_INTERVAL", "5s"),
        ("WEIGHT", "200"),
    ])
    .unwrap();
    options.validate().unwrap();
    assert_eq!(options.node_id, "node-2");
    assert_eq!(options.node_name.as_deref(), Some("Server-2"));
    assert_eq!(options.http_addr, ":8081");
    assert_eq!(options.raft_addr.as_deref(), Some("127.0.0.1:9002"));
    assert_eq!(options.join_addrs, ["localhost:8080", "other:8080"]);
    assert_eq!(options.bootstrap, Some(false));
    assert_eq!(options.data_dir, "./data/node2");
    assert_eq!(options.services["kv"], ":9080");
    assert_eq!(options.services["api"], ":3000");
    assert_eq!(options.health_check.interval, Some(Duration::from_secs(5)));
    assert_eq!(options.weight, 200);
}

const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

#[test]
fn every_variable_sets_its_option() {
    for spec in table() {
        for variable in spec.env {
            let value = match spec.kind {
                OptionKind::Identifier | OptionKind::Name | OptionKind::Path => "x",
                OptionKind::ListenAddress if *variable == "HTTP_PORT" => "4711",
                OptionKind::ListenAddress => ":4711",
                OptionKind::AdvertiseAddress | OptionKind::AddressList => "x:4711",
                OptionKind::Services => "x=:4711",
                OptionKind::Labels => "x=y",
                OptionKind::Bool if spec.default == OptionDefault::Value("false") => "true",
                OptionKind::Bool => "false",
                OptionKind::CidrList => "10.0.0.0/8",
                OptionKind::ClusterSecret | OptionKind::Token => SECRET,
                OptionKind::Integer { .. } => "7",
                OptionKind::Duration { .. } => "7s",
                OptionKind::Choice(words) => words[1],
            };
            let options = apply(&[(variable, value)]).unwrap();
            let wanted = match *variable {
                "HTTP_PORT" => ":4711",
                _ if spec.is_secret() => "(hidden)",
                _ => value,
            };
            assert_eq!(options.get(spec.name).unwrap(), wanted, "{variable}");
            assert_ne!(options, Options::default(), "{variable}");
        }
    }
}

#[test]
fn http_port_stands_in_for_http_addr() {
    assert_eq!(apply(&[("HTTP_PORT", "8080")]).unwrap().http_addr, ":8080");
    // Kubernetes sets HTTP_PORT to a URL when a service is named "http": HTTP_ADDR wins, whatever HTTP_PORT contains.
    let options = apply(&[("HTTP_ADDR", "host:1"), ("HTTP_PORT", "tcp://10.0.0.1:80")]).unwrap();
    assert_eq!(options.http_addr, "host:1");
    for value in ["http://10.0.0.1:80", ":8080", "+80", "65536", "-1", " 80"] {
        let message = message(apply(&[("HTTP_PORT", value)]));
        assert!(
            message.starts_with("environment variable HTTP_PORT: "),
            "{message}"
        );
    }
}

/// A value set by Kubernetes is ignored, also when a file or code sets the listen address.
#[test]
fn a_service_link_of_kubernetes_is_ignored() {
    for value in ["tcp://10.3.104.46:80", "udp://10.3.104.46:80"] {
        let mut options = Options::new("a", ":1");
        let set = options.apply_env_with(|name| (name == "HTTP_PORT").then(|| value.to_string()));
        assert_eq!((set, options), (Ok(()), Options::new("a", ":1")));
    }
}

#[test]
fn the_prefixed_name_wins_and_the_others_are_not_read() {
    let options = apply(&[
        ("CLUSTERKIT_HTTP_ADDR", ":1"),
        ("HTTP_ADDR", "nonsense"),
        ("CLUSTERKIT_HEALTH_CHECK_INTERVAL", "3s"),
        ("HEALTH_CHECK_INTERVAL", "soon"),
    ])
    .unwrap();
    assert_eq!(options.http_addr, ":1");
    assert_eq!(options.health_check.interval, Some(Duration::from_secs(3)));
}

#[test]
fn overridden_variables_are_not_read() {
    let variables = |name: &str| match name {
        "HTTP_PORT" | "WEIGHT" => Ok(Some("nonsense".to_string())),
        "ZONE" => Ok(Some("a".to_string())),
        _ => Ok(None),
    };
    let mut options = valid();
    let set = options
        .apply_variables(&["http_addr", "weight"], variables)
        .unwrap();
    assert_eq!(set, [("zone", "ZONE")]);
    assert_eq!(options.zone.as_deref(), Some("a"));
    message(options.apply_variables(&["http_addr"], variables));
}

#[test]
fn a_list_of_separators_only_is_refused() {
    for value in [",", " , ", " "] {
        let message = message(apply(&[("JOIN_ADDR", value)]));
        assert!(message.contains("names no address"), "{message}");
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(
        apply(&[("DATA_DIR", ""), ("JOIN_ADDR", ""), ("SYNC_INTERVAL", "")]).unwrap(),
        Options::default()
    );
    let options = apply(&[("JOIN_ADDR", ""), ("KNOWN_NODES", "a:1")]).unwrap();
    assert_eq!(options.join_addrs, ["a:1"]);
}

#[test]
fn a_bad_variable_is_named_and_changes_nothing() {
    let mut options = valid();
    let result = options.apply_env_with(|name| match name {
        "NODE_ID" => Some("other".to_string()),
        "LOG_LEVEL" => Some("loud".to_string()),
        _ => None,
    });
    let message = message(result);
    assert!(
        message.starts_with("environment variable LOG_LEVEL: option log_level: \"loud\" is not"),
        "{message}"
    );
    assert_eq!(options, valid());
}

#[test]
fn the_process_environment_is_read() {
    // The test does not control which variables this process has: both ways of reading them must agree.
    let mut options = Options::default();
    let looked_up = options.apply_env_with(|name| std::env::var(name).ok());
    assert_eq!(Options::from_env(), looked_up.map(|()| options));
}

#[test]
fn options_without_a_variable_are_unchanged() {
    let mut options = valid();
    options.zone = Some("z".into());
    options
        .apply_env_with(|name| (name == "ZONE_ID").then(|| "other".to_string()))
        .unwrap();
    assert_eq!(options.zone.as_deref(), Some("z"));
}
