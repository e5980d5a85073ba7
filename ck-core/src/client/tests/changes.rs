//! Being told of changes: the callback and the stream.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use futures_util::{FutureExt, StreamExt};

use super::fake_member::FakeMember;
use super::{TIME_LIMIT, patient, until};
use crate::client::{ChangeCallback, Client};
use crate::error::ErrorCode;

fn follow() -> (FakeMember, Client) {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    (member, client)
}

/// A callback that sends the revisions that it is told.
fn sending() -> (ChangeCallback, Receiver<u64>) {
    let (sender, revisions) = channel();
    let callback: ChangeCallback = Arc::new(move |view| {
        let _ = sender.send(view.revision());
    });
    (callback, revisions)
}

#[test]
fn a_callback_is_told_the_present_view_and_each_that_follows() {
    let (member, client) = follow();
    let (callback, revisions) = sending();
    client.on_change(Some(callback)).unwrap();
    for revision in 10..15 {
        if revision > 10 {
            member.advance_to(revision);
        }
        assert_eq!(revisions.recv_timeout(TIME_LIMIT).unwrap(), revision);
    }
    // Its thread has a name that people find, and ends with the callback.
    client.on_change(None).unwrap();
    assert!(
        revisions.recv_timeout(TIME_LIMIT).is_err(),
        "the callback is dropped, and with it the sender"
    );
}

#[test]
fn a_slow_callback_is_told_the_newest_and_delays_nothing() {
    let (member, client) = follow();
    let (begun, began) = channel();
    let (go, gate) = channel::<()>();
    let gate = parking_lot::Mutex::new(gate);
    client
        .on_change(Some(Arc::new(move |view| {
            let _ = begun.send(view.revision());
            let _ = gate.lock().recv();
        })))
        .unwrap();
    assert_eq!(began.recv_timeout(TIME_LIMIT).unwrap(), 10);
    for revision in 11..20 {
        member.advance_to(revision);
        client.wait_for_change(revision - 1, TIME_LIMIT).unwrap();
    }
    go.send(()).unwrap();
    assert_eq!(began.recv_timeout(TIME_LIMIT).unwrap(), 19);
    drop(go);
    client.close().unwrap();
}

#[test]
fn a_callback_may_call_the_client_panic_and_close_it() {
    let (member, client) = follow();
    let (sender, told) = channel();
    let inside = client.clone();
    client
        .on_change(Some(Arc::new(move |view| {
            let refreshed = inside.refresh(TIME_LIMIT);
            let _ = sender.send((view.revision(), refreshed.is_ok()));
            match view.revision() {
                10 => panic!("as applications do"),
                11 => inside.close().unwrap(),
                _ => {}
            }
        })))
        .unwrap();
    assert_eq!(told.recv_timeout(TIME_LIMIT).unwrap(), (10, true));
    member.advance_to(11);
    assert_eq!(told.recv_timeout(TIME_LIMIT).unwrap(), (11, true));
    until(&client, "it is closed", || client.status().is_closed);
    assert!(told.recv_timeout(TIME_LIMIT).is_err(), "the callback is dropped");
}

#[test]
fn a_callback_is_replaced_and_the_earlier_one_hears_no_more() {
    let (member, client) = follow();
    let (first, of_first) = sending();
    let (second, of_second) = sending();
    client.on_change(Some(first)).unwrap();
    assert_eq!(of_first.recv_timeout(TIME_LIMIT).unwrap(), 10);
    client.on_change(Some(second)).unwrap();
    assert_eq!(of_second.recv_timeout(TIME_LIMIT).unwrap(), 10);
    member.advance_to(11);
    assert_eq!(of_second.recv_timeout(TIME_LIMIT).unwrap(), 11);
    assert!(of_first.recv_timeout(TIME_LIMIT).is_err());
    drop(client);
    assert!(
        of_second.recv_timeout(TIME_LIMIT).is_err(),
        "it goes with the client"
    );
}

#[test]
fn closing_leaves_a_callback_that_stands_still_to_itself() {
    let (_member, client) = follow();
    let (begun, began) = channel();
    let (release, gate) = channel::<()>();
    let gate = parking_lot::Mutex::new(gate);
    client
        .on_change(Some(Arc::new(move |_| {
            let _ = begun.send(());
            let _ = gate.lock().recv();
        })))
        .unwrap();
    began.recv_timeout(TIME_LIMIT).unwrap();
    client.close().unwrap();
    assert!(began.try_recv().is_err());
    drop(release);
    assert!(
        began.recv_timeout(TIME_LIMIT).is_err(),
        "it is dropped when it returns"
    );
    let (callback, revisions) = sending();
    assert_eq!(
        client.on_change(Some(callback)).unwrap_err().code(),
        ErrorCode::Stopped
    );
    assert!(revisions.recv_timeout(TIME_LIMIT).is_err(), "it is not kept");
}

#[test]
fn a_stream_begins_with_the_present_view_and_skips_to_the_newest() {
    let (member, client) = follow();
    let mut changes = client.changes();
    let next = |changes: &mut crate::client::Changes| crate::env::block_on(changes.next());
    assert_eq!(next(&mut changes).unwrap().revision(), 10);
    assert!(changes.next().now_or_never().is_none(), "it waits for more");
    for revision in 11..15 {
        member.advance_to(revision);
        client.wait_for_change(revision - 1, TIME_LIMIT).unwrap();
    }
    assert_eq!(next(&mut changes).unwrap().revision(), 14);
    let reading = std::thread::spawn(move || {
        let newest = crate::env::block_on(changes.next());
        (
            newest.map(|view| view.revision()),
            crate::env::block_on(changes.next()).is_none(),
        )
    });
    member.advance_to(15);
    client.wait_for_change(14, TIME_LIMIT).unwrap();
    // The reader has it, or will: a stream ends after its last item.
    client.close().unwrap();
    assert_eq!(reading.join().unwrap(), (Some(15), true));
}

#[test]
fn a_stream_does_not_keep_the_client_open() {
    let (_member, client) = follow();
    let changes = client.changes();
    drop(client);
    let views: Vec<_> = crate::env::block_on(changes.collect());
    assert_eq!(views.len(), 1, "the view of before, and the end");
}
