//! The clock: what passes, what does not, and what follows.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use clusterkit::model::EventKind;
use clusterkit::testing::TestCluster;
use clusterkit::{ErrorCode, Options, TimingProfile};

use crate::{TIMEOUT, claims, rare_heartbeats, three, write};

#[test]
fn a_cluster_that_is_well_survives_any_time() {
    for rare in [false, true] {
        survives_any_time(rare);
    }
}

fn survives_any_time(rare: bool) {
    let builder = TestCluster::builder().partitions(8);
    let (cluster, time) = match rare {
        true => (
            builder.options(|_, options| rare_heartbeats(options)).start(),
            3600,
        ),
        false => (builder.start(), 60),
    };
    let (cluster, time) = (cluster.unwrap(), Duration::from_secs(time));
    let leader = cluster.leader().unwrap();
    let (told, tells) = channel();
    for node in cluster.nodes() {
        let told = told.clone();
        node.on_event(move |event| told.send(event.kind.clone()).map_err(|error| error.to_string()))
            .unwrap();
    }
    drop(told);
    let epoch = cluster.node(leader).unwrap().leader_epoch().unwrap();
    let terms = cluster
        .nodes()
        .iter()
        .map(|node| node.consensus_stats().term)
        .collect::<Vec<_>>();
    let before = cluster.now();
    cluster.advance(time).unwrap();
    assert!(cluster.now() - before >= time);
    // Nobody has to be waited for.
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.node(leader).unwrap().leader_epoch().unwrap(), epoch);
    for (node, term) in cluster.nodes().iter().zip(terms) {
        assert_eq!(node.consensus_stats().term, term);
        assert!(node.is_leased());
        assert_eq!(
            node.hook_stats().iter().map(|stats| stats.queued).sum::<usize>(),
            0
        );
    }
    let events: Vec<EventKind> = tells.try_iter().collect();
    assert!(events.is_empty(), "nothing has happened: {events:?}");
    write(&cluster.nodes()[0], "a", "1");
}

#[test]
fn the_clock_moves_by_exactly_what_it_is_told_where_nothing_else_moves_it() {
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(2)
        .manual_clock(true)
        .start()
        .unwrap();
    let before = cluster.now();
    // Writes take no time.
    write(&cluster.node(1).unwrap(), "a", "1");
    assert_eq!(cluster.now(), before);
    cluster.advance(Duration::from_millis(12_345)).unwrap();
    assert_eq!(cluster.now() - before, Duration::from_millis(12_345));
    assert_eq!(cluster.now() - before, Duration::from_millis(12_345));
    cluster.advance(Duration::ZERO).unwrap();
    assert_eq!(cluster.now() - before, Duration::from_millis(12_345));
}

#[test]
fn a_lease_ends_to_the_moment() {
    let cluster = TestCluster::builder()
        .partitions(3)
        .manual_clock(true)
        .start()
        .unwrap();
    let primary = cluster.primary_of(b"key").unwrap();
    let node = cluster.node(primary).unwrap();
    cluster.isolate(primary).unwrap();
    let left = node.leased_view().lease_left();
    let longest = Options::builder("x", "127.0.0.1:0")
        .timing(TimingProfile::Wan)
        .build()
        .unwrap();
    assert!(left > Duration::ZERO && left <= longest.effective_lease_ttl());
    let held = node.leased_view();
    cluster.advance(left - Duration::from_nanos(1)).unwrap();
    assert!(node.is_primary_for_key(b"key"));
    assert!(held.is_leased(), "a view that is held has the clock of its node");
    cluster.advance(Duration::from_nanos(1)).unwrap();
    assert!(!node.is_primary_for_key(b"key"));
    assert!(!held.is_leased());
    assert_eq!(claims(&node), [] as [u32; 0]);
    // Only then is another one primary.
    cluster.wait_for_primaries(TIMEOUT).unwrap();
    assert_ne!(cluster.primary_of(b"key").unwrap(), primary);
}

#[test]
fn real_time_passes_by_itself_unless_the_test_wants_another() {
    let cluster = three();
    let before = cluster.now();
    let began = Instant::now();
    while cluster.now() - before < Duration::from_millis(300) {
        assert!(began.elapsed() < Duration::from_secs(120), "the clock stands");
        std::thread::yield_now();
    }
    // It is never fast: what nodes compute takes none of its time.
    assert!(began.elapsed() >= Duration::from_millis(300));
    // So a leader is found without any help.
    let leader = cluster.leader().unwrap();
    cluster.kill(leader).unwrap();
    let began = Instant::now();
    while cluster.leader().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "nobody leads");
        std::thread::yield_now();
    }
}

#[test]
fn timeouts_of_calls_are_on_the_clock() {
    let cluster = TestCluster::builder()
        .nodes(2)
        .partitions(2)
        .options(|_, options| rare_heartbeats(options))
        .manual_clock(true)
        .start()
        .unwrap();
    let node = cluster.node(1).unwrap();
    let (done, is_done) = channel();
    let waiting = std::thread::spawn(move || {
        let outcome = node.wait_for_revision(u64::MAX, Duration::from_secs(600));
        done.send(outcome).unwrap();
    });
    cluster.advance(Duration::from_secs(590)).unwrap();
    assert!(is_done.try_recv().is_err(), "it has time left");
    // The call began before or after the first move, which took no time of its own.
    cluster.advance(Duration::from_secs(600)).unwrap();
    waiting.join().unwrap();
    let error = is_done.recv().unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
}

#[test]
fn the_wall_clock_passes_with_the_clock() {
    let cluster = TestCluster::builder()
        .nodes(1)
        .partitions(1)
        .options(|_, options| rare_heartbeats(options))
        .manual_clock(true)
        .start()
        .unwrap();
    let node = cluster.node(0).unwrap();
    let (told, tells) = channel();
    node.on_event(move |event| told.send(event.timestamp).map_err(|error| error.to_string()))
        .unwrap();
    let event = || {
        cluster.add_node().unwrap();
        tells.recv_timeout(TIMEOUT).unwrap().as_millis()
    };
    let first = event();
    cluster.wait_settled(TIMEOUT).unwrap();
    cluster.advance(Duration::from_secs(1000)).unwrap();
    while tells.try_recv().is_ok() {}
    let second = event();
    assert!(
        (1_000_000..1_300_000).contains(&(second - first)),
        "{}",
        second - first
    );
}

#[test]
fn a_hook_cannot_move_the_clock_that_waits_for_it() {
    let cluster = std::sync::Arc::new(three());
    let (told, tells) = channel();
    let weak = std::sync::Arc::downgrade(&cluster);
    let node = cluster.node(0).unwrap();
    node.on_event(move |_| {
        let Some(cluster) = weak.upgrade() else {
            return Ok(());
        };
        let codes = [
            cluster.advance(TIMEOUT).unwrap_err().code(),
            cluster.wait_settled(TIMEOUT).unwrap_err().code(),
            cluster.kill(1).unwrap_err().code(),
            cluster.add_node().unwrap_err().code(),
        ];
        told.send(codes).map_err(|error| error.to_string())
    })
    .unwrap();
    cluster.stop(1).unwrap();
    assert_eq!(
        tells.recv_timeout(Duration::from_secs(60)).unwrap(),
        [ErrorCode::InHook; 4]
    );
}
