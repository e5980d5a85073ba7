//! `leave`: a node hands over what it has and goes; and watching that from the others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::manage::confirm;
use crate::api::{Api, ClusterAnswer};
use crate::args::{Global, LeaveArgs};
use crate::error::{CliError, Result};
use crate::output::{Out, plural};

/// The longest that one look at the cluster waits for news.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is said how far it is.
const SAY: Duration = Duration::from_secs(1);
/// The pause after a round in which no member answered.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Has the asked node leave, after asking where a human is there to answer.
pub(crate) fn run(args: &LeaveArgs, global: &Global, out: &mut Out) -> Result<()> {
    let mut api = Api::of(global)?;
    if !args.yes {
        let question = format!("Have the node at {} leave the cluster for good?", api.addr());
        confirm(&question, "leaving for good")?;
    }
    let Some(wait) = args.wait else {
        let answer = api.order("POST", "/leave")?;
        return out.answer(
            &answer,
            "the node hands over what it has, and leaves; rebalance --status shows how far it is",
        );
    };
    let deadline = Instant::now() + wait;
    let mut leaving = Leaving::of(&mut api, global)?;
    let answer = api.order("POST", "/leave")?;
    leaving.wait(ordered_at(&answer)?, deadline, out)
}

/// The revision of the order.
fn ordered_at(answer: &Value) -> Result<u64> {
    answer["revision"]
        .as_u64()
        .ok_or_else(|| CliError::bad_answer("an order without a revision"))
}

/// A node that leaves, and where its progress can be seen: it is told nothing of the cluster itself once it is out.
struct Leaving<'a> {
    id: String,
    others: Vec<String>,
    global: &'a Global,
}

impl<'a> Leaving<'a> {
    fn of(api: &mut Api, global: &'a Global) -> Result<Self> {
        let id = api.health()?.health.node_id.to_string();
        let nodes = api.cluster()?.cluster.nodes;
        let others = nodes.iter().filter(|node| *node.id != *id && node.status.is_up());
        Ok(Leaving {
            others: others.map(|node| node.ip.clone()).collect(),
            id,
            global,
        })
    }

    /// Says how far it is until it is out.
    fn wait(&mut self, ordered: u64, deadline: Instant, out: &mut Out) -> Result<()> {
        // What a member shows that has not seen the order yet says nothing.
        let mut seen = ordered.saturating_sub(1);
        let (mut left, mut said) = (None, None);
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(self.too_late(left));
            }
            let Some(shown) = self.look(seen, remaining.min(STATUS_TIMEOUT))? else {
                continue;
            };
            seen = shown.revision;
            if shown.node(&self.id).is_none() {
                return out.answer(
                    &json!({ "success": true, "node_id": self.id, "revision": shown.revision }),
                    &format!("{} is out of the cluster; its process can be ended", self.id),
                );
            }
            let copies = self.copies(&shown);
            left = Some(copies);
            if !out.json && said.is_none_or(|at: Instant| at.elapsed() >= SAY) {
                out.line(format!("{} left to hand over", plural(copies, "partition")))?;
                said = Some(Instant::now());
            }
        }
    }

    /// What a member shows as soon as there is something new, if there is within `wait`.
    fn look(&mut self, seen: u64, wait: Duration) -> Result<Option<ClusterAnswer>> {
        for place in 0..self.others.len() {
            let Some(addr) = self.others.get(place) else { break };
            match Api::at(addr, self.global.timeout, self.global)?.cluster_after(seen, wait) {
                Err(CliError::Unreachable(_) | CliError::Unknown(_)) => {}
                answer => {
                    // The next look begins with one that answers: a silent one is waited for once.
                    self.others.rotate_left(place);
                    return answer;
                }
            }
        }
        std::thread::sleep(STATUS_INTERVAL.min(wait));
        Ok(None)
    }

    fn copies(&self, shown: &ClusterAnswer) -> usize {
        let partitions = shown.cluster.partition_map.partitions.values();
        let held = partitions.filter(|partition| {
            let mut holders = std::iter::once(&partition.primary_node).chain(&partition.replica_nodes);
            holders.any(|holder| **holder == *self.id)
        });
        held.count()
    }

    fn too_late(&self, left: Option<usize>) -> CliError {
        let what = match left {
            Some(left) => format!(
                "{} of {} are left to hand over",
                plural(left, "partition"),
                self.id
            ),
            None => format!(
                "no member of the cluster answered after {} was told to leave",
                self.id
            ),
        };
        CliError::Unknown(format!(
            "{what}; it goes on leaving, and rebalance --status says what it waits for"
        ))
    }
}
