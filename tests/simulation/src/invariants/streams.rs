//! Every node sees the same events in the same order, followers and late joiners included.
//!
//! A process tells from its own admission on; what it skipped by a snapshot it tells as a net change. For every other
//! revision that it applied it must tell exactly what all others tell, nothing where they tell nothing.

use std::collections::BTreeMap;

use clusterkit::model::EventKind;
use clusterkit::sim::Applied;

use crate::trace::{FNV, fnv};

#[derive(Default)]
pub(crate) struct Streams {
    told: BTreeMap<u64, Told>,
    /// What each process has applied entry by entry since it tells: from (exclusive), to.
    processes: BTreeMap<(String, u64), Vec<Range>>,
    news: Vec<String>,
}

struct Told {
    hash: u64,
    text: String,
    by: String,
}

struct Range {
    from: u64,
    to: u64,
    ended: bool,
    told: Vec<u64>,
}

impl Streams {
    pub(crate) fn note(&mut self, applied: &Applied<'_>) -> Result<(), String> {
        let process = (applied.node.to_owned(), applied.process);
        let revision = applied.state.revision();
        if applied.snapshot {
            if let Some(ranges) = self.processes.get_mut(&process) {
                ranges.push(Range {
                    from: revision,
                    to: revision,
                    ended: applied.state.process_of(applied.node) != Some(applied.process),
                    told: Vec::new(),
                });
            }
            return Ok(());
        }
        if !applied.events.is_sorted_by_key(|event| event.revision) {
            return Err(format!(
                "{} tells what is older after what is newer",
                applied.node
            ));
        }
        let mut by_revision: BTreeMap<u64, (u64, String)> = BTreeMap::new();
        for event in applied.events {
            let text = serde_json::to_string(event).unwrap_or_default();
            let (hash, all) = by_revision.entry(event.revision).or_insert((FNV, String::new()));
            *hash = fnv(text.as_bytes(), *hash);
            all.push_str(&text);
            all.push(' ');
        }
        // It tells from its own admission on, and to the end of its membership, which may begin again.
        let is_member = applied.state.process_of(applied.node) == Some(applied.process);
        let last = by_revision.keys().next_back().copied();
        let ranges = self.processes.entry(process).or_default();
        match ranges.last_mut() {
            Some(range) if !range.ended => {
                if range.to != applied.before {
                    return Err(format!(
                        "{} applied from {} after {}",
                        applied.node, applied.before, range.to
                    ));
                }
                range.to = if is_member {
                    revision
                } else {
                    last.unwrap_or(range.to)
                };
                range.ended = !is_member;
            }
            _ => match by_revision.keys().next() {
                Some(first) => ranges.push(Range {
                    from: first - 1,
                    to: if is_member {
                        revision
                    } else {
                        last.unwrap_or(revision)
                    },
                    ended: !is_member,
                    told: Vec::new(),
                }),
                None => return Ok(()),
            },
        }
        for (revision, (hash, mut text)) in by_revision {
            if let Some((at, _)) = text.char_indices().nth(400) {
                text.truncate(at);
            }
            if let Some(range) = ranges.last_mut() {
                range.told.push(revision);
            }
            match self.told.get(&revision) {
                Some(known) if known.hash != hash => {
                    return Err(format!(
                        "at revision {revision} {} tells {text}, {} told {}",
                        applied.node, known.by, known.text
                    ));
                }
                Some(_) => {}
                None => {
                    let by = applied.node.to_owned();
                    self.told.insert(revision, Told { hash, text, by });
                    for event in applied.events.iter().filter(|event| event.revision == revision) {
                        self.news.extend(headline(revision, &event.kind));
                    }
                }
            }
        }
        Ok(())
    }

    /// What is new for the trace.
    pub(crate) fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// At the end: nobody has left out what others told.
    pub(crate) fn check_complete(&self) -> Result<(), String> {
        for ((node, _), ranges) in &self.processes {
            for range in ranges {
                let expected = self.told.range(range.from + 1..=range.to.max(range.from + 1));
                for (revision, told) in expected {
                    if *revision <= range.to && !range.told.contains(revision) {
                        return Err(format!(
                            "{node} applied revision {revision} and did not tell {}, which {} told",
                            told.text, told.by
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

fn headline(revision: u64, kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::NodeJoin(join) => format!("r{revision} join {}", join.node.id),
        EventKind::NodeRejoin(rejoin) => {
            format!(
                "r{revision} rejoin {} (away {:?})",
                rejoin.node.id, rejoin.offline_duration
            )
        }
        EventKind::NodeLeave(leave) => format!("r{revision} leave {} ({:?})", leave.node.id, leave.reason),
        EventKind::RebalanceStart(run) => format!("r{revision} rebalance of {}", run.partitions_to_move),
        EventKind::RebalanceComplete(_) => format!("r{revision} rebalance complete"),
        EventKind::PartitionChange(change) => format!(
            "r{revision} partition {} epoch {}: {} {:?} ({:?})",
            change.number, change.epoch, change.node_id, change.change, change.change_reason
        ),
        _ => return None,
    })
}
