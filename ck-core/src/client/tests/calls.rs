//! The calls of a client, through both handles.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fake_member::{Behaviour, FakeMember, topology};
use super::{TIME_LIMIT, epoch, patient, until};
use crate::client::{AsyncClient, Client};
use crate::error::ErrorCode;

/// A client that follows a member which answers only what is asked now: changes do not come by themselves.
fn with_a_mute_poll() -> (FakeMember, FakeMember, Client) {
    let (mute, other) = (FakeMember::new(), FakeMember::new());
    let (a, b) = (mute.addr(), other.addr());
    let client = Client::new(patient(&[&a])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let both = topology(&[("a", &a), ("b", &b)], 11);
    other.set_topology(both.clone(), 11);
    mute.set_topology(both, 11);
    until(&client, "both are known", || client.status().addrs.len() == 2);
    until(&client, "the next poll", || {
        mute.requests()
            .last()
            .is_some_and(|request| request.target.contains("wait=11&"))
    });
    mute.behave(Behaviour::Silent);
    (mute, other, client)
}

#[test]
fn before_the_first_answer_there_is_an_empty_view() {
    let member = FakeMember::new();
    member.behave(Behaviour::Silent);
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    let view = client.view();
    assert_eq!(
        (view.revision(), view.nodes().len(), view.partition_count()),
        (0, 0, 0)
    );
    assert!(view.partition(b"key").is_none() && view.leader().is_none() && view.my_node().is_none());
    let status = client.status();
    assert!(status.is_stale && !status.is_closed && status.cluster_id.is_empty());
}

#[test]
fn a_revision_that_the_followed_member_does_not_bring_is_asked_of_others() {
    let (_mute, other, client) = with_a_mute_poll();
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || client.wait_for_revision(25, TIME_LIMIT)
    });
    until(&client, "the other is asked for it", || {
        other
            .requests()
            .iter()
            .any(|request| request.target.starts_with("/cluster?revision=25&timeout="))
    });
    assert!(client.view().revision() < 25);
    other.advance_to(25);
    waiting.join().unwrap().unwrap();
    assert_eq!(epoch(&client), Some(25));
    // What is there is not asked for.
    let before = other.requests().len();
    client.wait_for_revision(25, TIME_LIMIT).unwrap();
    client.wait_for_revision(3, Duration::ZERO).unwrap();
    assert_eq!(other.requests().len(), before);
}

#[test]
fn a_revision_that_does_not_come_is_a_timeout() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let error = client
        .wait_for_revision(u64::MAX, Duration::from_millis(400))
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.message().contains("at revision 10"), "{error}");
    let error = client.wait_for_change(10, Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert_eq!(client.wait_for_change(9, Duration::ZERO).unwrap(), 10);
    // The member was blamed for nothing.
    assert_eq!(client.status().addrs[0].failures, 0);
}

#[test]
fn a_refresh_shows_what_was_there_when_it_began() {
    let (_mute, other, client) = with_a_mute_poll();
    other.advance_to(30);
    assert_eq!(client.view().revision(), 11);
    assert_eq!(client.refresh(TIME_LIMIT).unwrap(), 30);
    assert_eq!(epoch(&client), Some(30));
}

#[test]
fn a_barrier_asks_for_what_is_linearizable() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    assert_eq!(client.read_barrier(TIME_LIMIT).unwrap(), 10);
    let asked = member.requests();
    assert!(
        asked.iter().any(|request| request
            .target
            .starts_with("/cluster?consistency=linearizable&timeout=")),
        "{asked:?}"
    );
}

#[test]
fn calls_at_the_same_time_share_an_answer() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let before = member.connections();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..8 {
                    client.refresh(TIME_LIMIT).unwrap();
                }
            });
        }
    });
    // Each of the 512 calls on its own would be as many connections.
    let made = member.connections() - before;
    assert!((8..400).contains(&made), "{made} connections");
}

#[test]
fn a_call_that_nobody_answers_keeps_to_its_time() {
    let member = FakeMember::new();
    member.behave(Behaviour::Silent);
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    for call in [
        |client: &Client| client.refresh(Duration::from_millis(50)).map(drop),
        |client: &Client| client.read_barrier(Duration::from_millis(50)).map(drop),
        |client: &Client| client.wait_ready(Duration::from_millis(50)).map(drop),
        |client: &Client| client.wait_for_revision(1, Duration::from_millis(50)),
        |client: &Client| client.wait_for_change(0, Duration::from_millis(50)).map(drop),
    ] {
        let began = Instant::now();
        let error = call(&client).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
        assert!(began.elapsed() < TIME_LIMIT / 2);
    }
}

#[test]
fn closing_ends_the_task_its_connections_and_everything_that_waits() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let calls: Vec<_> = [
        |client: &Client| client.wait_for_change(10, TIME_LIMIT).map(drop),
        |client: &Client| client.wait_for_revision(99, TIME_LIMIT),
    ]
    .into_iter()
    .map(|call| {
        let client = client.clone();
        std::thread::spawn(move || call(&client))
    })
    .collect();
    until(&client, "a revision is asked for", || {
        member
            .requests()
            .iter()
            .any(|request| request.target.contains("revision=99"))
    });
    client.close().unwrap();
    client.close().unwrap();
    for call in calls {
        assert_eq!(call.join().unwrap().unwrap_err().code(), ErrorCode::Stopped);
    }
    for call in [
        |client: &Client| client.refresh(TIME_LIMIT).map(drop),
        |client: &Client| client.wait_for_revision(99, TIME_LIMIT),
        |client: &Client| client.on_change(Some(Arc::new(|_| ()))),
    ] {
        assert_eq!(call(&client).unwrap_err().code(), ErrorCode::Stopped);
    }
    let status = client.status();
    assert!(status.is_closed && status.is_stale && status.connected.is_none());
    // What is known can still be looked up.
    assert_eq!(epoch(&client), Some(10));
    client.wait_ready(TIME_LIMIT).unwrap();
    // Nobody follows the member any more.
    let asked = member.requests().len();
    member.advance_to(11);
    assert_eq!((member.requests().len(), epoch(&client)), (asked, Some(10)));
}

#[test]
fn dropping_the_last_handle_ends_the_task() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let (shared, other) = (Arc::downgrade(client.shared()), client.clone());
    drop(client);
    assert!(shared.upgrade().is_some_and(|shared| !shared.is_closed()));
    drop(other);
    let deadline = Instant::now() + TIME_LIMIT;
    while shared.upgrade().is_some() {
        assert!(Instant::now() < deadline, "something holds the client");
        std::thread::yield_now();
    }
}

#[test]
fn a_client_works_inside_any_runtime() {
    let member = FakeMember::new();
    let host = tokio::runtime::Builder::new_current_thread().build().unwrap();
    host.block_on(async {
        let client = AsyncClient::new(patient(&[&member.addr()])).unwrap();
        assert_eq!(client.wait_ready(TIME_LIMIT).await.unwrap(), 10);
        member.advance_to(11);
        client.wait_for_revision(11, TIME_LIMIT).await.unwrap();
        assert_eq!(client.wait_for_change(10, TIME_LIMIT).await.unwrap(), 11);
        assert_eq!(client.refresh(TIME_LIMIT).await.unwrap(), 11);
        assert_eq!(client.read_barrier(TIME_LIMIT).await.unwrap(), 11);
        // The blocking handle of the same client, in a task.
        let blocking = client.clone().into_blocking();
        assert_eq!(blocking.refresh(TIME_LIMIT).unwrap(), 11);
        client.close().await.unwrap();
        assert_eq!(
            client.refresh(TIME_LIMIT).await.unwrap_err().code(),
            ErrorCode::Stopped
        );
    });
}

#[test]
fn a_call_that_waits_is_refused_on_the_runtimes_own_threads() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let there = client.clone();
    client.inner.runtime.spawn_for_clients(Box::pin(async move {
        let _ = sender.send((there.refresh(TIME_LIMIT), there.view().revision()));
    }));
    let (refused, revision) = receiver.recv_timeout(TIME_LIMIT).unwrap();
    assert_eq!((refused.unwrap_err().code(), revision), (ErrorCode::InHook, 10));
}

#[test]
fn time_that_jumps_ages_the_view_and_nothing_else() {
    let clock = crate::env::testing::ManualClock::new();
    let options = patient(&["a:1"]);
    let shared = super::super::shared::Shared::new(options.clone()).unwrap();
    shared.note_followed(Some(("a:1", true)));
    shared.note_answer("a:1", true);
    clock.advance(options.poll_timeout);
    let status = shared.status();
    assert_eq!((status.is_stale, status.last_contact), (false, Some(TIME_LIMIT)));
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(
        (&json["last_contact_ms"], &json["connected"]),
        (&60_000.into(), &"a:1".into())
    );
    // As when the machine was asleep.
    clock.advance(Duration::from_secs(24 * 3600));
    assert!(shared.status().is_stale);
    assert_eq!(shared.candidates(false), ["a:1"]);
    shared.note_answer("a:1", true);
    assert!(!shared.status().is_stale);
}
