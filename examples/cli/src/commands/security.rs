//! The part of `status` about what protects the nodes, and by which keys: an old secret can go once no node uses it.

use std::collections::BTreeMap;
use std::time::Duration;

use clusterkit::model::{Cluster, Node};

use crate::api::{Api, NodeSecurity};
use crate::args::Global;
use crate::output::{Out, Tone, printable};

/// How long each member may take to say which keys it has.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many members are asked at once.
const MEMBERS_AT_ONCE: usize = 16;

/// What each member says; `None` for one that does not answer. Members are asked where the asked node has keys.
pub(super) fn of_members(
    asked: Option<&NodeSecurity>,
    cluster: &Cluster,
    global: &Global,
) -> BTreeMap<String, Option<NodeSecurity>> {
    let mut all = BTreeMap::new();
    if asked.is_none_or(|security| security.keys.is_empty()) {
        return all;
    }
    let nodes: Vec<&Node> = cluster.nodes.iter().map(|node| &**node).collect();
    for some in nodes.chunks(MEMBERS_AT_ONCE) {
        std::thread::scope(|scope| {
            let asking: Vec<_> = some
                .iter()
                .map(|node| (node, scope.spawn(|| of_member(node, global))))
                .collect();
            for (node, asking) in asking {
                all.insert(node.id.to_string(), asking.join().unwrap_or_default());
            }
        });
    }
    all
}

fn of_member(node: &Node, global: &Global) -> Option<NodeSecurity> {
    let mut api = Api::at(&node.ip, MEMBER_TIMEOUT, global).ok()?;
    let answer = api.health().ok()?;
    // Another program may have the address by now.
    answer.security.filter(|_| answer.health.node_id == node.id)
}

/// The uses of one key in the cluster.
#[derive(Default)]
struct KeyUses<'a> {
    /// The nodes that prove themselves by it.
    using: Vec<&'a str>,
    /// The nodes that accept it only.
    accepting: Vec<&'a str>,
    /// The connections of peers under it.
    connections: usize,
    /// The requests with its tokens.
    requests: u64,
}

/// One line for people; `None` where a node says nothing of it.
pub(super) fn line(
    asked: Option<&NodeSecurity>,
    members: &BTreeMap<String, Option<NodeSecurity>>,
    out: &Out,
) -> Option<String> {
    let asked = asked?;
    let tone = match asked.mode.as_str() {
        "insecure" => Tone::Bad,
        "rollout" => Tone::Warn,
        _ => Tone::Plain,
    };
    let meaning = match asked.mode.as_str() {
        "open" => "open: nothing is protected, and only its own machine reaches the asked node".to_owned(),
        "insecure" => "insecure: whoever reaches a node controls the cluster".to_owned(),
        "rollout" => "rollout: a proof is accepted, and not required yet".to_owned(),
        mode => printable(mode).to_string(),
    };
    let mut line = out.styles.paint(tone, &meaning);
    let mut uses: BTreeMap<&str, KeyUses<'_>> = BTreeMap::new();
    let mut silent = Vec::new();
    for (id, security) in members {
        let Some(security) = security else {
            silent.push(id.as_str());
            continue;
        };
        for key in &security.keys {
            let uses = uses.entry(&key.key_id).or_default();
            match security.key_in_use.as_ref() == Some(&key.key_id) {
                true => uses.using.push(id),
                false => uses.accepting.push(id),
            }
            uses.connections += key.connections;
            uses.requests = uses.requests.saturating_add(key.requests);
        }
    }
    for (key, uses) in uses {
        let mut text = format!("; key {}", printable(key));
        for (what, nodes) in [("used", uses.using), ("accepted", uses.accepting)] {
            if !nodes.is_empty() {
                text.push_str(&format!(" {what} by {}", nodes.join(", ")));
            }
        }
        text.push_str(&format!(
            " ({} connections, {} requests)",
            uses.connections, uses.requests
        ));
        line.push_str(&text);
    }
    if !silent.is_empty() {
        let text = format!("; no answer from {}", silent.join(", "));
        line.push_str(&out.styles.paint(Tone::Warn, &text));
    }
    if asked.failed_proofs > 0 {
        line.push_str(&format!("; {} calls without a proof", asked.failed_proofs));
    }
    Some(line)
}
