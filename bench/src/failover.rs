//! How long a cluster is without what it lost: nodes that are killed, that hand over, and that return.
//!
//! Whoever is killed is a process of its own; the others are in this one, where they can be asked all the time.

use std::path::Path;
use std::time::Instant;

use clusterkit::Expect;
use clusterkit::{ClusterKit, TimingProfile};

use crate::Outcome;
use crate::cluster::{BENCH_TIMEOUT, Kind, Nodes, PARTITIONS, until};
use crate::process::NodeProcess;
use crate::report::{Aim, Report, percentile};

/// The node that is killed.
const VICTIM: &str = "victim";
/// Partitions of the cluster that is drained: with 4 nodes and 3 copies each holds 1,000.
const MANY: u32 = 1_333;

/// What a profile should reach, in milliseconds.
pub(crate) struct Aims {
    pub(crate) write: f64,
    pub(crate) route: f64,
}

/// What the profile `lan` should reach.
pub(crate) const LAN: Aims = Aims {
    write: 550.0,
    route: 2_500.0,
};

/// Measures at `lan` and `fast`, each `trials` times.
pub(crate) fn measure(report: &mut Report, dir: &Path, trials: usize) -> Outcome {
    println!("failover: the killed node is a process of its own");
    for (profile, aims) in [
        (TimingProfile::Lan, LAN),
        (
            TimingProfile::Fast,
            Aims {
                write: 300.0,
                route: 800.0,
            },
        ),
    ] {
        let kind = Kind {
            profile,
            ..Kind::default()
        };
        killed(report, dir, kind, &aims, trials)?;
        step_down(report, dir, profile, trials)?;
        drain(report, dir, profile, trials)?;
    }
    Ok(())
}

/// Adds the median and the 99th percentile; the aim is the median's.
fn add(report: &mut Report, name: &str, profile: TimingProfile, times: &[f64], aim: Option<f64>) {
    let name = format!("{name} ({})", profile.name());
    let note = format!("median of {}", times.len());
    report.add(name, percentile(times, 50), "ms", aim.map(Aim::AtMost), note);
    report.add("  its 99th percentile", percentile(times, 99), "ms", None, "");
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Kills the leader, and another node, in turn.
pub(crate) fn killed(report: &mut Report, dir: &Path, kind: Kind, aims: &Aims, trials: usize) -> Outcome {
    let profile = kind.profile;
    let mut nodes = Nodes::none_of(dir, kind)?;
    nodes.add(2)?;
    let founder = nodes.nodes[0].http_addr().ok_or("the founder listens nowhere")?;
    let protection = nodes.authority().options_of(VICTIM)?;
    let start = || NodeProcess::start_with(nodes.dir(), VICTIM, Some(&founder), profile, &protection);
    let mut victim = start()?;
    let (mut write, mut route_led, mut route, mut rejoin) = (vec![], vec![], vec![], vec![]);
    for trial in 0..trials * 2 {
        let leads = trial % 2 == 0;
        nodes.wait_until_formed_with(1)?;
        have_lead(&nodes.nodes, leads)?;
        victim.kill()?;
        let killed = Instant::now();
        let writer = &nodes.nodes[trial / 2 % 2];
        writer.set_custom_data("bench/failover", &b"x"[..], Expect::Any, BENCH_TIMEOUT)?;
        if leads {
            write.push(millis(killed));
        }
        until("live primaries on every node", || {
            nodes.nodes.iter().all(routes_to_the_living)
        })?;
        if leads { &mut route_led } else { &mut route }.push(millis(killed));
        let started = Instant::now();
        victim = start()?;
        nodes.wait_until_formed_with(1)?;
        rejoin.push(millis(started));
    }
    drop(victim);
    nodes.stop()?;
    add(
        report,
        "leader killed: first write acknowledged",
        profile,
        &write,
        Some(aims.write),
    );
    add(
        report,
        "node killed: all routes to live primaries",
        profile,
        &route,
        Some(aims.route),
    );
    add(
        report,
        "leader killed: all routes to live primaries",
        profile,
        &route_led,
        Some(aims.route),
    );
    add(
        report,
        "a killed node returns, until its copies count",
        profile,
        &rejoin,
        None,
    );
    Ok(())
}

/// Waits until the victim leads, or until it does not.
fn have_lead(nodes: &[ClusterKit], victim: bool) -> Outcome {
    until("the right leader", || {
        let leader = nodes[0].leader();
        let agreed = nodes.iter().all(|node| {
            let known = node.leader().map(|leader| leader.leader_id);
            known == leader.as_ref().map(|leader| leader.leader_id.clone())
        });
        let right = leader.is_some_and(|leader| (&*leader.leader_id == VICTIM) == victim);
        if !(right && agreed) {
            // Refused where nobody was heard of lately: then it is asked for again.
            let wanted = if victim { VICTIM } else { nodes[0].my_node_id() };
            let _ = nodes[0].promote(wanted);
        }
        right && agreed
    })
}

fn routes_to_the_living(node: &ClusterKit) -> bool {
    let view = node.view();
    view.partitions()
        .all(|partition| partition.primary().is_some_and(|primary| &*primary.id != VICTIM))
}

fn step_down(report: &mut Report, dir: &Path, profile: TimingProfile, trials: usize) -> Outcome {
    let kind = Kind {
        partitions: PARTITIONS,
        profile,
        ..Kind::default()
    };
    let mut nodes = Nodes::none_of(dir, kind)?;
    nodes.add(3)?;
    nodes.wait_until_formed()?;
    let mut times = Vec::new();
    while times.len() < trials {
        until("a leader", || nodes.leader().is_ok())?;
        let leader = nodes.leader()?;
        let began = Instant::now();
        leader.step_down()?;
        times.push(millis(began));
    }
    nodes.stop()?;
    add(
        report,
        "step-down, until another leads",
        profile,
        &times,
        Some(20.0),
    );
    Ok(())
}

fn drain(report: &mut Report, dir: &Path, profile: TimingProfile, trials: usize) -> Outcome {
    let kind = Kind {
        partitions: MANY,
        profile,
        ..Kind::default()
    };
    let mut nodes = Nodes::none_of(dir, kind)?;
    nodes.add(3)?;
    let mut times = Vec::new();
    for trial in 0..trials {
        nodes.add_as(3 + trial)?;
        nodes.wait_until_formed()?;
        let leaving = nodes.nodes.pop().ok_or("there is no node")?;
        let began = Instant::now();
        leaving.leave(BENCH_TIMEOUT)?;
        times.push(millis(began));
        drop(leaving);
    }
    nodes.stop()?;
    add(report, "drain of a node with 1,000 copies", profile, &times, None);
    Ok(())
}
