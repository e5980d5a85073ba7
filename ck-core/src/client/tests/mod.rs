//! Clients against members that do what a stranger's network does. Real nodes are in `tests/cluster`.

mod answers;
mod calls;
mod changes;
pub(super) mod fake_member;
mod following;
mod options;
mod property;
mod troubles;

use std::time::{Duration, Instant};

use super::{Client, ClientOptions};
use crate::error::ErrorCode;

/// How long anything may take before a test fails. Generous: the machine may be busy.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Options of a client that is quick to give up and to come back, so that a test of failures takes no time. The machine
/// may be so busy that a member seems to have failed: that shows nowhere but in what a test does not look at.
fn hasty(addrs: &[&str]) -> ClientOptions {
    ClientOptions::builder(addrs)
        .poll_timeout(Duration::from_millis(400))
        .update_interval(Duration::ZERO)
        .connect_timeout(Duration::from_millis(1_000))
        .request_timeout(Duration::from_millis(600))
        .retry_min(Duration::from_millis(5))
        .retry_max(Duration::from_millis(50))
        .build()
        .unwrap()
}

/// Options of a client that polls often, and gives up nothing but what has ended.
fn steady(addrs: &[&str]) -> ClientOptions {
    let mut options = patient(addrs);
    options.poll_timeout = Duration::from_millis(400);
    options
}

/// Options of a client that gives up nothing within the time of a test.
fn patient(addrs: &[&str]) -> ClientOptions {
    ClientOptions::builder(addrs)
        .poll_timeout(TIME_LIMIT)
        .update_interval(Duration::ZERO)
        .connect_timeout(TIME_LIMIT)
        .request_timeout(TIME_LIMIT)
        .retry_min(Duration::from_millis(5))
        .retry_max(Duration::from_millis(50))
        .build()
        .unwrap()
}

/// Waits for a condition; fails with the client's status when it does not come about in time.
fn until(client: &Client, what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIME_LIMIT;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "{what} did not come about: {:#?}",
            client.status()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until calls that ask now are refused with a code, because of what the members say.
fn until_refused(client: &Client, code: ErrorCode) {
    until(client, code.name(), || {
        let refused = client.refresh(Duration::from_millis(200));
        refused.is_err_and(|error| error.code() == code)
    });
}

/// Waits until a client follows a member.
fn until_followed(client: &Client, addr: &str) {
    until(client, addr, || {
        client.status().connected.as_deref() == Some(addr)
    });
}

/// The epoch of every partition, which is one and the same in the views of these tests.
fn epoch(client: &Client) -> Option<u64> {
    let view = client.view();
    let mut epochs = view.partitions().map(|partition| partition.epoch());
    let first = epochs.next()?;
    assert!(epochs.all(|epoch| epoch == first), "one view, one revision");
    Some(first)
}
