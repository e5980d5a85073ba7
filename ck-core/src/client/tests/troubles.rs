//! What a network, and who is at the other end of it, can do to a client.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::fake_member::{Behaviour, FakeMember, answer, body, topology};
use super::{TIME_LIMIT, epoch, hasty, until, until_followed, until_refused};
use crate::client::{Client, ClientOptions, ClientStatus};
use crate::error::ErrorCode;

/// The codes of what an address said last.
fn code_of(status: &ClientStatus, addr: &str) -> Option<ErrorCode> {
    let address = status.addrs.iter().find(|address| address.addr == addr)?;
    Some(address.last_error.as_ref()?.code())
}

/// Every way to answer that is no answer, with the code that the client makes of it.
fn bad_answers() -> Vec<(&'static str, Behaviour, ErrorCode)> {
    let raw = |bytes: &[u8]| Behaviour::Raw(bytes.to_vec());
    let ok = |body: &str| Behaviour::Raw(answer("200 OK", "", body));
    let good = body(&topology(&[("a", "a:1")], 99), 99, true).to_string();
    let cut = answer("200 OK", "", &good);
    let cut = &cut[..cut.len() - 20];
    let mut other = topology(&[("a", "a:1")], 99);
    other.config.cluster_name = "invoices".to_owned();
    let other = body(&other, 99, true).to_string();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    vec![
        ("closes", Behaviour::Close, ErrorCode::Unreachable),
        ("silent", Behaviour::Silent, ErrorCode::Timeout),
        (
            "garbage",
            raw(b"\x00\x01\x02\xff\xfe SSH-2.0-OpenSSH\r\n\r\n"),
            ErrorCode::Unreachable,
        ),
        ("no head", raw(b"HTTP/1.1 200"), ErrorCode::Unreachable),
        ("truncated", raw(cut), ErrorCode::Unreachable),
        (
            "truncated chunks",
            raw(format!("{chunked}8000\r\n{{").as_bytes()),
            ErrorCode::Unreachable,
        ),
        (
            "a broken chunk",
            raw(format!("{chunked}zz\r\n").as_bytes()),
            ErrorCode::Unreachable,
        ),
        ("no body", ok(""), ErrorCode::Unreachable),
        ("a page", ok("<!doctype html><html>"), ErrorCode::Unreachable),
        ("half of it", ok(&good[..good.len() / 2]), ErrorCode::Unreachable),
        ("other JSON", ok("{\"hello\":\"world\"}"), ErrorCode::Version),
        ("another cluster", ok(&other), ErrorCode::WrongCluster),
        (
            "a huge body that is announced",
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{"),
            ErrorCode::TooLarge,
        ),
        (
            "a huge body that is not",
            Behaviour::Endless(chunked.as_bytes().to_vec(), chunk.as_bytes().to_vec()),
            ErrorCode::TooLarge,
        ),
        (
            "a huge head",
            Behaviour::Endless(
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"x-more: and more of it\r\n".to_vec(),
            ),
            ErrorCode::Unreachable,
        ),
        (
            "interim answers without end",
            Behaviour::Endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            ErrorCode::Timeout,
        ),
        (
            "a slow head",
            Behaviour::Trickle(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), Duration::from_millis(20)),
            ErrorCode::Timeout,
        ),
        (
            "a slow body",
            Behaviour::Trickle(
                b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec(),
                Duration::from_millis(20),
            ),
            ErrorCode::Timeout,
        ),
        (
            "a redirect",
            Behaviour::Raw(answer(
                "302 Found",
                "location: http://127.0.0.1:1/cluster\r\n",
                "",
            )),
            ErrorCode::Unreachable,
        ),
        (
            "304 that nobody asked for",
            raw(b"HTTP/1.1 304 Not Modified\r\netag: \"10\"\r\n\r\n"),
            ErrorCode::Unreachable,
        ),
        (
            "no content",
            raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
            ErrorCode::Unreachable,
        ),
        (
            "an upgrade",
            raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            ErrorCode::Unreachable,
        ),
        (
            "not found",
            Behaviour::Raw(answer("404 Not Found", "", "nothing here")),
            ErrorCode::Unreachable,
        ),
        (
            "a broken node",
            Behaviour::Raw(answer("500 Internal Server Error", "", "")),
            ErrorCode::Unreachable,
        ),
        (
            "a busy node",
            Behaviour::Raw(answer(
                "503 Service Unavailable",
                "retry-after: 1\r\n",
                r#"{"error":{"code":"BUSY","message":"too many"}}"#,
            )),
            ErrorCode::Busy,
        ),
        (
            "an error from the future",
            Behaviour::Raw(answer(
                "503 Service Unavailable",
                "",
                r#"{"error":{"code":"TIRED","message":"later"}}"#,
            )),
            ErrorCode::Unreachable,
        ),
        (
            "an error without end",
            Behaviour::Endless(
                b"HTTP/1.1 503 Service Unavailable\r\n\r\n".to_vec(),
                b"and so on ".to_vec(),
            ),
            ErrorCode::Unreachable,
        ),
    ]
}

fn bounded(addrs: &[&str]) -> ClientOptions {
    let mut options = hasty(addrs);
    options.cluster_name = Some("orders".to_owned());
    options.max_response_bytes = 256 << 10;
    // The other end's time to send as much as is allowed: far more than that takes.
    options.request_timeout = Duration::from_millis(800);
    options
}

#[test]
fn a_bad_member_is_named_and_when_it_is_well_again_it_is_followed() {
    for (what, behaviour, code) in bad_answers() {
        let member = FakeMember::new();
        member.behave(behaviour);
        let client = Client::new(bounded(&[&member.addr()])).unwrap();
        until(&client, what, || {
            code_of(&client.status(), &member.addr()) == Some(code)
        });
        let status = client.status();
        assert_eq!((status.revision, status.connected.clone()), (0, None), "{what}");
        assert!(status.is_stale && status.last_contact.is_none(), "{what}");
        let last = status.last_error.unwrap();
        assert!(last.message().starts_with(&member.addr()), "{what}: {last}");
        let error = client.wait_ready(Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout, "{what}");
        assert!(error.message().contains(&member.addr()), "{what}: {error}");
        member.behave(Behaviour::Member);
        client
            .wait_ready(TIME_LIMIT)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(epoch(&client), Some(10), "{what}");
        client.close().unwrap();
    }
}

#[test]
fn a_bad_answer_to_a_poll_takes_no_view_away_and_another_member_is_followed() {
    for (what, behaviour, _) in bad_answers() {
        let (bad, good) = (FakeMember::new(), FakeMember::new());
        let client = Client::new(bounded(&[&bad.addr()])).unwrap();
        client.wait_ready(TIME_LIMIT).unwrap();
        // The other member is learned from the first one's answer.
        let (a, b) = (bad.addr(), good.addr());
        let both = topology(&[("a", &a), ("b", &b)], 11);
        good.set_topology(both.clone(), 11);
        bad.set_topology(both, 11);
        until(&client, what, || client.view().nodes().len() == 2);
        bad.behave(behaviour);
        until(&client, what, || client.status().connected == Some(good.addr()));
        assert!(client.view().revision() >= 11, "{what}");
        good.advance_to(12);
        until(&client, what, || epoch(&client) == Some(12));
        let status = client.status();
        assert_eq!(status.revision, 12, "{what}");
        assert!(status.last_contact.is_some(), "{what}");
        client.close().unwrap();
    }
}

#[test]
fn an_address_at_which_nobody_listens_is_passed_over() {
    let nobody = FakeMember::new().kill().to_string();
    let member = FakeMember::new();
    let client = Client::new(hasty(&[&nobody, &member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let alone = Client::new(hasty(&[&nobody])).unwrap();
    until(&alone, "a refusal", || {
        code_of(&alone.status(), &nobody) == Some(ErrorCode::Unreachable)
    });
    until_refused(&alone, ErrorCode::Unreachable);
    // And somebody comes, at the same address.
    let listener = TcpListener::bind(&nobody).unwrap();
    let member = FakeMember::on(listener, topology(&[("a", &nobody)], 77), 77);
    assert_eq!(alone.wait_ready(TIME_LIMIT).unwrap(), 77);
    drop(member);
}

/// An address at which the kernel answers nothing: its queue of connections is full.
fn full() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
        queued.push(stream);
    }
    (listener, queued)
}

#[test]
fn a_machine_that_does_not_answer_keeps_nobody_waiting() {
    let (listener, _queued) = full();
    let silent = listener.local_addr().unwrap().to_string();
    let member = FakeMember::new();
    let mut options = hasty(&[&silent, &member.addr()]);
    // It is not waited for: the other is asked besides.
    options.connect_timeout = TIME_LIMIT;
    let client = Client::new(options).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    until_followed(&client, &member.addr());
    // Alone, it is given up in time.
    let alone = Client::new(hasty(&[&silent])).unwrap();
    until(&alone, "a timeout", || {
        code_of(&alone.status(), &silent) == Some(ErrorCode::Unreachable)
    });
}

#[test]
fn silent_members_in_number_do_not_hide_the_one_that_answers() {
    let silent: Vec<FakeMember> = (0..24)
        .map(|_| {
            let member = FakeMember::new();
            member.behave(Behaviour::Silent);
            member
        })
        .collect();
    let member = FakeMember::new();
    let mut addrs: Vec<String> = silent.iter().map(FakeMember::addr).collect();
    addrs.push(member.addr());
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    let client = Client::new(hasty(&addrs)).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    until_followed(&client, &member.addr());
}

#[test]
fn a_name_is_reached_at_whichever_of_its_addresses_answers() {
    // It listens on 127.0.0.1 only, and many machines have ::1 for the name, too.
    let member = FakeMember::new();
    let port = member.addr().rsplit(':').next().unwrap().to_owned();
    let name = format!("localhost:{port}");
    let client = Client::new(hasty(&[&name])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let requests = member.requests();
    assert!(
        requests[0].head.contains(&format!("host: {name}\r\n")),
        "{requests:?}"
    );
    let unknown = Client::new(hasty(&["no-such-host.invalid:80"])).unwrap();
    until(&unknown, "no such name", || {
        code_of(&unknown.status(), "no-such-host.invalid:80") == Some(ErrorCode::Unreachable)
    });
}

#[test]
#[allow(
    clippy::print_stderr,
    reason = "what cannot be had on a machine is skipped and said"
)]
fn a_member_is_reached_over_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    };
    let addr = listener.local_addr().unwrap().to_string();
    let member = FakeMember::on(listener, topology(&[("a", &addr)], 10), 10);
    let client = Client::new(hasty(&[&addr])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    until_followed(&client, &addr);
    drop(member);
}

#[test]
fn an_outage_of_any_length_ends_when_a_member_is_back() {
    let member = FakeMember::new();
    let client = Client::new(hasty(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let addr = member.kill();
    until(&client, "many attempts", || {
        client.status().addrs[0].failures > 20
    });
    let status = client.status();
    assert!(status.is_stale && status.connected.is_none());
    // Lookups go on.
    assert_eq!(epoch(&client), Some(10));
    let member = FakeMember::on(
        TcpListener::bind(addr).unwrap(),
        topology(&[("a", &addr.to_string())], 11),
        11,
    );
    until(&client, "the member is back", || epoch(&client) == Some(11));
    until(&client, "it is followed", || !client.status().is_stale);
    drop(member);
}

#[test]
fn a_server_that_closes_after_each_answer_is_not_asked_without_a_pause() {
    let member = FakeMember::new();
    let good = body(&topology(&[("a", &member.addr())], 10), 10, true).to_string();
    member.behave(Behaviour::Raw(answer("200 OK", "connection: close\r\n", &good)));
    let mut options = hasty(&[&member.addr()]);
    options.retry_min = Duration::from_millis(200);
    options.retry_max = Duration::from_millis(200);
    let client = Client::new(options).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let began = std::time::Instant::now();
    until(&client, "some connections", || member.connections() >= 6);
    // Five pauses of 100 ms at least.
    assert!(
        began.elapsed() > Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_server_that_ignores_the_wait_is_not_asked_without_a_pause() {
    let member = FakeMember::new();
    let answered = answer(
        "200 OK",
        "",
        &body(&topology(&[("a", &member.addr())], 10), 10, true).to_string(),
    );
    let client = Client::new(hasty(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let before = member.requests().len();
    member.behave(Behaviour::AtOnce(answered));
    let began = std::time::Instant::now();
    until(&client, "some requests", || {
        member.requests().len() >= before + 10
    });
    // Without pauses this takes a few milliseconds.
    assert!(
        began.elapsed() > Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((member.connections(), epoch(&client)), (1, Some(10)));
}
