//! The secret of a cluster, and the tokens that its clients show, are nowhere where somebody could read them: no log, no page,
//! no error, no file, nothing that is printed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use clusterkit::http::ROUTES;
use clusterkit::net::{Keyring, Role, Token};
use clusterkit::{Client, ClientOptions, Expect, LogLevel};

use crate::support::{TIMEOUT, TestNode, founder, options, settle, stop};

const OURS: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
const THEIRS: &str = "9LmNoPqRsTuVwXyZ0aBcDeFgHiJkL1mNoPqRsTuVwX8";

/// What was found, and where.
#[derive(Default)]
struct Findings(parking_lot::Mutex<Vec<(String, String)>>);

impl Findings {
    fn add(&self, place: impl Into<String>, what: impl AsRef<[u8]>) {
        let text = String::from_utf8_lossy(what.as_ref()).into_owned();
        self.0.lock().push((place.into(), text));
    }

    /// The places where one of these texts is, as it is, in hexadecimal, in base64, or as a list of bytes.
    fn places_of(&self, secrets: &[&str]) -> Vec<String> {
        let forms: Vec<String> = secrets.iter().flat_map(|secret| forms_of(secret)).collect();
        // What is searched for is ASCII.
        let has = |text: &str| forms.iter().any(|form| text.contains(form));
        let findings = self.0.lock();
        let places = findings.iter().filter(|(_, text)| has(text));
        places.map(|(place, _)| place.clone()).collect()
    }
}

fn forms_of(secret: &str) -> Vec<String> {
    let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
    let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    // A part is as bad as the whole.
    vec![
        secret[4..].to_owned(),
        hexadecimal,
        base64,
        bytes.join(", "),
        bytes.join(","),
    ]
}

/// Sends a request by hand; gives the whole answer, or what there is of one that has no end.
fn ask(addr: &str, method: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(2)))
        .unwrap();
    let authorization = token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{authorization}content-length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The stream of events goes on.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn read_all(dir: &Path, findings: &Findings) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read_all(&path, findings),
            false => findings.add(path.display().to_string(), std::fs::read(&path).unwrap()),
        }
    }
}

#[test]
fn the_secret_and_the_tokens_are_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let findings = Arc::<Findings>::default();
    let mut nodes: Vec<TestNode> = Vec::new();
    for id in ["node-1", "node-2", "node-3"] {
        let mut options = match nodes.first() {
            None => founder(id),
            Some(_) => options(id),
        };
        options.join_addrs = nodes.iter().map(TestNode::addr).collect();
        options.data_dir = dir.path().join(id).display().to_string();
        options.cluster_secret = Some(OURS.into());
        options.log_level = LogLevel::Trace;
        let listening = |kit: &clusterkit::ClusterKit| {
            let heard = findings.clone();
            kit.on_log(Some(Arc::new(move |_, message: &str| {
                heard.add("the log", message);
            })));
            Ok(())
        };
        nodes.push(TestNode::start_with(options, listening).unwrap());
    }
    settle(&nodes);
    let addr = nodes[0].addr();
    let keyring = Keyring::new("clusterkit-cluster", OURS).unwrap();
    let token = |role| Token::make(&keyring, role, "somebody", None).unwrap();
    let (read, operate) = (token(Role::Read), token(Role::Operate));
    let foreign = Token::make(
        &Keyring::new("clusterkit-cluster", THEIRS).unwrap(),
        Role::Operate,
        "a",
        None,
    )
    .unwrap();

    // Everything that a client can see, and everything that is said when it may not. What reads last, so that the node is
    // there for it.
    let mut client_options = ClientOptions::new([&addr]);
    client_options.token = Some(operate.as_str().into());
    findings.add("the client's options", format!("{client_options:?}"));
    let client = Client::new(client_options).unwrap();
    findings.add("the client", format!("{client:?} {:?}", client.refresh(TIMEOUT)));
    drop(client);
    nodes[1]
        .kit
        .set_custom_data("k", "value", Expect::Any, TIMEOUT)
        .unwrap();
    // What is refused is answered later each time, and says the same on every route.
    for token in [
        None,
        Some(&*foreign),
        Some("ck1.operate"),
        Some(&*format!("{operate}a")),
    ] {
        findings.add("a refusal", ask(&addr, "GET", "/cluster", token));
    }
    findings.add(
        "a refusal",
        ask(&addr, "GET", &format!("/cluster?token={operate}"), None),
    );
    for route in ROUTES {
        let path = route.path.replace("{id}", "node-1").replace("{*key}", "k");
        let tokens: &[&str] = match route.method {
            "GET" => &[&read, &operate],
            // It may not.
            _ => &[&read],
        };
        for token in tokens {
            let answer = ask(&addr, route.method, &path, Some(token));
            findings.add(format!("{} {path}", route.method), answer);
        }
    }

    // Errors of options, and of a node with another secret.
    for wrong in [
        format!("{} {}", &OURS[..9], &OURS[9..]),
        OURS[..20].to_owned(),
        format!("{OURS},{OURS},{OURS}"),
        format!("{OURS}\u{e9}"),
    ] {
        let error = options("a").set("cluster_secret", &wrong).err();
        let mut with_wrong = options("a");
        with_wrong.cluster_secret = Some(wrong.as_str().into());
        let other = clusterkit::ClusterKit::new(with_wrong.clone()).err();
        assert!(
            error.is_some() || other.is_some(),
            "one of these should be refused"
        );
        findings.add("an error", format!("{error:?} {other:?} {with_wrong:?}"));
    }
    let mut stranger = options("stranger");
    stranger.cluster_secret = Some(THEIRS.into());
    stranger.join_addrs = vec![addr];
    stranger.join_timeout = std::time::Duration::from_secs(1);
    let refused = TestNode::start(stranger).err().expect("it should be refused");
    findings.add("a refusal", format!("{refused} {refused:?}"));
    for node in &nodes {
        findings.add("what is printed", format!("{:?} {:?}", node.options, node.kit));
        findings.add("what is printed", format!("{:?}", node.kit.view()));
    }
    stop(nodes);
    read_all(dir.path(), &findings);

    // What is searched for would be found.
    let named = findings.places_of(&[&keyring.ids()[0].to_string()]);
    assert!(named.len() > 5, "the id of the key is shown: {named:?}");
    assert_eq!(findings.places_of(&[OURS, THEIRS]), Vec::<String>::new());
    // The part of a token that makes it one.
    let tokens = [&read, &operate, &foreign];
    let codes: Vec<&str> = tokens
        .iter()
        .filter_map(|token| token.rsplit('.').next())
        .collect();
    assert_eq!(findings.places_of(&codes), Vec::<String>::new());
}
