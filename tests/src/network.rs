//! A network of the test's own: each node in a network namespace, all on one bridge, with links that are cut one way
//! or both ways, and slowed down. It takes root, and Linux.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Some nodes' network, made by this process and gone with it. Nodes are named by their place, from 0.
#[derive(Debug)]
pub struct Network {
    /// In front of all names: the process, and which network of it.
    name: String,
    /// The first three numbers of all addresses.
    subnet: String,
    nodes: usize,
}

impl Network {
    /// A network for so many nodes. Whoever made it reaches all of them, whatever is cut between them.
    ///
    /// # Errors
    /// What the system said, where it has no network namespaces for this process.
    pub fn make(nodes: usize) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let (pid, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network = Network {
            name: format!("ck{pid:x}{}", char::from(b'g' + (number % 20) as u8)),
            // Private, and not what anybody else here is likely to use.
            subnet: format!("10.{}.{}", 64 + pid % 128, (pid / 128 + number) % 256),
            nodes,
        };
        network.set_up()?;
        Ok(network)
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

    /// The namespace of a node.
    pub fn space(&self, place: usize) -> String {
        format!("{}n{place}", self.name)
    }

    fn link(&self, place: usize) -> String {
        format!("{}v{place}", self.name)
    }

    /// The address of a node, without a port.
    pub fn host(&self, place: usize) -> String {
        format!("{}.{}", self.subnet, place + 1)
    }

    /// From now on nothing that `from` sends to `to` arrives, and nobody is told.
    ///
    /// # Errors
    /// What the system said.
    pub fn cut_one_way(&self, from: usize, to: usize) -> Result<(), String> {
        let (space, host) = (self.space(from), self.host(to));
        ip(&format!(
            "-n {space} neigh replace {host} lladdr {NOWHERE} dev e0 nud permanent"
        ))
    }

    /// The same both ways.
    ///
    /// # Errors
    /// What the system said.
    pub fn cut(&self, one: usize, other: usize) -> Result<(), String> {
        self.cut_one_way(one, other)?;
        self.cut_one_way(other, one)
    }

    /// Cuts a node off from all others; clients still reach it.
    ///
    /// # Errors
    /// What the system said.
    pub fn isolate(&self, place: usize) -> Result<(), String> {
        let mut others = (0..self.nodes).filter(|other| *other != place);
        others.try_for_each(|other| self.cut(place, other))
    }

    /// Ends all cuts.
    pub fn heal(&self) {
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

    /// From now on a node sends no more than so much, as `tc` writes it (`10mbit`). What it sends beyond that waits in a queue
    /// that holds 400 ms of it, and is lost beyond that.
    ///
    /// # Errors
    /// What the system said, where it cannot do that.
    pub fn limit_rate(&self, place: usize, rate: &str) -> Result<(), String> {
        self.shape(place, &format!("tbf rate {rate} burst 16kb latency 400ms"))
    }

    /// From now on everything that a node sends is late by so much, as `tc` writes it (`200ms`).
    ///
    /// # Errors
    /// What the system said, where it cannot do that.
    pub fn delay(&self, place: usize, delay: &str) -> Result<(), String> {
        self.shape(place, &format!("netem delay {delay}"))
    }

    /// From now on everybody sends as much, and as soon, as it can.
    pub fn lift_limits(&self) {
        for place in 0..self.nodes {
            // One that was not limited has nothing to be deleted.
            let _ = run("tc", &format!("-n {} qdisc del dev e0 root", self.space(place)));
        }
    }

    fn shape(&self, place: usize, how: &str) -> Result<(), String> {
        run(
            "tc",
            &format!("-n {} qdisc replace dev e0 root {how}", self.space(place)),
        )
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made cannot be removed.
        for place in 0..self.nodes {
            let _ = ip(&format!("link del {}", self.link(place)));
            let _ = ip(&format!("netns del {}", self.space(place)));
        }
        let _ = ip(&format!("link del {}br", self.name));
    }
}

/// Removes the networks of processes that were killed.
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
