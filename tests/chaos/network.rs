//! Nodes on a network of their own: each in a namespace, all on one bridge, with links that are cut one way, both
//! ways, and slowed down.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ck_core::model::NodeStatus;
use ck_tests::claims::{self, Subject};

use crate::support::{LONG, Machine, Scene, skipped};

/// Where the nodes listen.
const PORT: u16 = 7000;
/// An address of the link layer that nobody has: what is sent there is lost without a word.
const NOWHERE: &str = "02:00:00:00:de:ad";

/// Runs `ip` or `tc`.
fn run(program: &str, line: &str) -> Result<(), String> {
    let done = Command::new(program).args(line.split(' ')).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program} {line}: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    ))
}

fn ip(line: &str) -> Result<(), String> {
    run("ip", line)
}

/// Some nodes' network, made by this test and gone with it.
pub(crate) struct Net {
    /// In front of all names: the process, and which network of it.
    name: String,
    /// The first three numbers of all addresses.
    subnet: String,
    nodes: usize,
}

impl Net {
    /// None, and said so, where this is not possible.
    pub(crate) fn make(what: &str, nodes: usize) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let (pid, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let net = Net {
            name: format!("ck{pid:x}{}", char::from(b'g' + (number % 20) as u8)),
            // Private, and not what anybody else here is likely to use.
            subnet: format!("10.{}.{}", 64 + pid % 128, (pid / 128 + number) % 256),
            nodes,
        };
        match net.set_up() {
            Ok(()) => Some(net),
            Err(error) => {
                skipped(what, &format!("no network namespaces here: {error}"));
                None
            }
        }
    }

    fn set_up(&self) -> Result<(), String> {
        let bridge = format!("{}br", self.name);
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}.254/24 dev {bridge}", self.subnet))?;
        ip(&format!("link set {bridge} up"))?;
        for place in 0..self.nodes {
            let (space, link) = (self.space(place), self.link(place));
            ip(&format!("netns add {space}"))?;
            ip(&format!("link add {link} type veth peer name e0 netns {space}"))?;
            ip(&format!("link set {link} master {bridge} up"))?;
            ip(&format!("-n {space} addr add {}/24 dev e0", self.host(place)))?;
            ip(&format!("-n {space} link set lo up"))?;
            ip(&format!("-n {space} link set e0 up"))?;
        }
        Ok(())
    }

    pub(crate) fn space(&self, place: usize) -> String {
        format!("{}n{place}", self.name)
    }

    fn link(&self, place: usize) -> String {
        format!("{}v{place}", self.name)
    }

    fn host(&self, place: usize) -> String {
        format!("{}.{}", self.subnet, place + 1)
    }

    /// Starts a node in each namespace, and clients.
    pub(crate) fn populate(&self, scene: &mut Scene) {
        for place in 0..self.nodes {
            let id = format!("node-{}", place + 1);
            let through = format!("{}:{PORT}", self.host(0));
            let flags = if place == 0 {
                ["--bootstrap", "true"]
            } else {
                ["--join-addrs", &through]
            };
            let mut node = scene.cluster.stranger(&id, &flags).within(&self.space(place));
            node.spawn_at(&format!("{}:{PORT}", self.host(place)));
            node.wait_ready();
            scene.cluster.adopt(node);
        }
        scene.begin();
    }

    /// From now on nothing that `from` sends to `to` arrives, and nobody is told.
    pub(crate) fn cut_one_way(&self, from: usize, to: usize) {
        let (space, host) = (self.space(from), self.host(to));
        ip(&format!(
            "-n {space} neigh replace {host} lladdr {NOWHERE} dev e0 nud permanent"
        ))
        .unwrap();
    }

    pub(crate) fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts a node off from all others; clients still reach it.
    pub(crate) fn isolate(&self, place: usize) {
        for other in (0..self.nodes).filter(|other| *other != place) {
            self.cut(place, other);
        }
    }

    /// Ends all cuts.
    pub(crate) fn heal(&self) {
        for from in 0..self.nodes {
            for to in (0..self.nodes).filter(|to| *to != from) {
                // One that was not cut has nothing to be deleted.
                let _ = ip(&format!(
                    "-n {} neigh del {} dev e0",
                    self.space(from),
                    self.host(to)
                ));
            }
        }
    }

    /// Everything that a node sends is late. False, and said so, where the system cannot do that.
    fn delay(&self, place: usize, delay: &str) -> bool {
        let line = format!(
            "-n {} qdisc add dev e0 root netem delay {delay}",
            self.space(place)
        );
        match run("tc", &line) {
            Ok(()) => true,
            Err(error) => {
                skipped("delay; the link is cut instead", &error);
                false
            }
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // What was not made cannot be removed.
        for place in 0..self.nodes {
            let _ = ip(&format!("link del {}", self.link(place)));
            let _ = ip(&format!("netns del {}", self.space(place)));
        }
        let _ = ip(&format!("link del {}br", self.name));
    }
}

/// Removes the networks of tests that were killed.
fn remove_leftovers() {
    let Ok(spaces) = std::fs::read_dir("/var/run/netns") else {
        return;
    };
    for entry in spaces.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((pid, rest)) = name.strip_prefix("ck").and_then(|rest| {
            rest.find(|c: char| c.is_ascii_lowercase() && c > 'f')
                .map(|at| rest.split_at(at))
        }) else {
            continue;
        };
        let Ok(pid) = u32::from_str_radix(pid, 16) else {
            continue;
        };
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            let _ = ip(&format!("netns del {name}"));
            let _ = ip(&format!("link del ck{pid:x}{}br", &rest[..1]));
        }
    }
}

#[test]
fn ask_a_a_cluster_that_was_cut_in_two_heals_by_itself() {
    let Some(net) = Net::make("cuts", 5) else { return };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    net.populate(&mut scene);
    // The leader and another on the smaller side.
    let leader = scene.cluster.leader();
    let minority = [leader, (leader + 1) % 5];
    let majority: Vec<usize> = (0..5).filter(|place| !minority.contains(place)).collect();
    for one in minority {
        for other in &majority {
            net.cut(one, *other);
        }
    }
    let cut = claims::now();
    scene.progress();
    scene.taken_over(majority[0], &minority);
    scene.served_since(cut);
    thread::sleep(LONG);
    let healed = claims::now();
    net.heal();
    for place in minority {
        scene.wait_status(majority[0], place, NodeStatus::Active);
    }
    let ids = minority.map(|place| scene.id(place));
    let history = scene.finish("cut in two");
    // Nobody on the smaller side claimed anything by the time that the others had taken over.
    for id in ids {
        let last = history
            .samples_of(&id)
            .filter(|sample| sample.to < healed)
            .last()
            .unwrap();
        assert!(
            last.claims.is_empty(),
            "{id} claimed {:?} behind the cut",
            last.claims
        );
    }
}

#[test]
fn cuts_in_one_direction_make_no_two_leaders_and_heal() {
    let Some(net) = Net::make("one-way cuts", 3) else {
        return;
    };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    net.populate(&mut scene);
    // The leader can send and hears nobody, then hears everybody and cannot send.
    for deaf in [true, false] {
        let leader = scene.cluster.leader();
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        for other in others {
            let (from, to) = if deaf { (other, leader) } else { (leader, other) };
            net.cut_one_way(from, to);
        }
        scene.progress();
        scene.taken_over(others[0], &[leader]);
        net.heal();
        scene.wait_status(others[0], leader, NodeStatus::Active);
    }
    // A ring in which one link is cut: everybody still has a majority around it.
    let leader = scene.cluster.leader();
    net.cut((leader + 1) % 3, (leader + 2) % 3);
    scene.progress();
    thread::sleep(LONG);
    scene.progress();
    net.heal();
    scene.finish("one-way cuts");
}

#[test]
fn ask_m_one_node_behind_a_slow_link_stops_nobody() {
    let Some(net) = Net::make("a slow link", 4) else {
        return;
    };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    net.populate(&mut scene);
    let leader = scene.cluster.leader();
    let slow = (leader + 1) % 4;
    // Where links cannot be slowed, one that loses everything is as slow as can be.
    if !net.delay(slow, "200ms") {
        net.isolate(slow);
    }
    let before = scene.acknowledged();
    for _ in 0..3 {
        scene.progress();
    }
    assert!(scene.acknowledged() > before);
    let place = scene.cluster.len();
    let mut fifth = scene
        .cluster
        .stranger(
            "node-5",
            &["--join-addrs", &format!("{}:{PORT}", net.host(leader))],
        )
        .within(&net.space(leader));
    fifth.spawn_at(&format!("{}:{}", net.host(leader), PORT + 1));
    fifth.wait_ready();
    scene.cluster.adopt(fifth);
    scene.wait_status(leader, place, NodeStatus::Active);
    net.heal();
    let history = scene.finish("a slow link");
    println!(
        "leadership was claimed by nobody for {:?} at most",
        history.longest_gap(Subject::Leadership)
    );
}
