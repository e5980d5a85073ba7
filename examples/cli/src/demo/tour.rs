//! The tour's five stops.

use std::time::Instant;

use clusterkit::ErrorCode;

use super::cluster::{Cluster, Started};
use super::report::{Formation, Join, NodeReady, Report, Routing, Stop};
use super::routing::{distribute, rerouted};
use crate::api::ClusterAnswer;
use crate::args::DemoArgs;
use crate::error::{CliError, Result};
use crate::layout::Layout;
use crate::output::{Bar, Out, Tone, bars, map, plural, thousands};

/// How many keys are asked of the nodes too, to compare with what was computed here.
const COMPARED_KEYS: usize = 20;
/// Tables wider than this do not become easier to read.
const WIDEST: usize = 140;

/// The tour under way.
pub(super) struct Tour<'a> {
    pub(super) args: &'a DemoArgs,
    pub(super) cluster: Cluster,
    out: &'a mut Out,
    step: usize,
}

impl<'a> Tour<'a> {
    /// A tour of `cluster`, which is still empty.
    pub(super) fn new(args: &'a DemoArgs, cluster: Cluster, out: &'a mut Out) -> Self {
        Tour {
            args,
            cluster,
            out,
            step: 0,
        }
    }

    /// Goes through all of it.
    pub(super) fn run(mut self, keys: &[String], start: Instant) -> Result<Report> {
        let (formation, formed) = self.form()?;
        let routing = self.route(keys, &formed)?;
        let (join, joined) = self.join(keys, &formed)?;
        let restart = self.restart(&joined)?;
        if self.args.keep {
            self.keep()?;
        }
        let stop = self.stop(start)?;
        Ok(Report {
            formation,
            routing,
            join,
            restart,
            stop,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Stop 1: processes form a cluster. The first one makes it, the others join, all at once.
    fn form(&mut self) -> Result<(Formation, ClusterAnswer)> {
        let count = self.args.nodes as usize;
        let start = Instant::now();
        self.title(&format!("{} form a cluster", plural(count, "process")))?;
        self.cluster.start_next()?;
        let mut ready = self.wait_ready(1, start)?;
        for _ in 1..count {
            self.cluster.start_next()?;
        }
        ready.extend(self.wait_ready(count - 1, start)?);
        let (answer, at) = self.cluster.wait_spread(0, count)?;
        let seconds = (at - start).as_secs_f64();
        let layout = Layout::new(&answer.cluster);
        let partitions = layout.partitions.len();
        let leader = answer.cluster.leader.to_string();
        let copies = (self.args.rf as usize).min(count);
        self.good(&format!(
            "{leader} leads; {} in {} each on {} after {}",
            plural(partitions, "partition"),
            if copies == 1 {
                "1 copy".to_string()
            } else {
                format!("{copies} copies")
            },
            plural(count, "node"),
            time(seconds),
        ))?;
        self.map(&layout, None)?;
        let formation = Formation {
            nodes: ready
                .into_iter()
                .map(|node| NodeReady {
                    id: node.id,
                    addr: node.addr,
                    seconds: node.took.as_secs_f64(),
                })
                .collect(),
            leader,
            partitions,
            replication_factor: self.args.rf,
            seconds,
        };
        Ok((formation, answer))
    }

    pub(super) fn wait_ready(&mut self, count: usize, start: Instant) -> Result<Vec<Started>> {
        let mut all = Vec::new();
        let out = &mut *self.out;
        self.cluster.wait_ready(count, |node| {
            all.push(node.clone());
            if out.json {
                return Ok(());
            }
            let styles = out.styles;
            let facts = format!("process {:<7}  {:<21}", node.pid, node.addr);
            out.line(format!(
                "  {}  {}  ready in {:<7}  {}",
                styles.paint(Tone::Good, &format!("{:<8}", node.id)),
                styles.paint(Tone::Dim, &facts),
                time(node.took.as_secs_f64()),
                styles.paint(
                    Tone::Dim,
                    &format!("{} into this", time(start.elapsed().as_secs_f64()))
                ),
            ))
        })?;
        Ok(all)
    }

    /// Stop 2: keys are routed here, as a smart client does it, and some are compared with the nodes' own answers.
    fn route(&mut self, keys: &[String], answer: &ClusterAnswer) -> Result<Routing> {
        self.title(&format!("{} find their nodes", plural(keys.len(), "key")))?;
        answer.hash_config.check()?;
        let layout = Layout::new(&answer.cluster);
        let distribution = distribute(keys, &answer.hash_config, &layout);
        let compared = self.compare(keys, answer, &layout)?;
        let rows: Vec<Bar> = distribution
            .nodes
            .iter()
            .map(|share| Bar {
                label: share.node.clone(),
                solid: share.primary,
                light: share.replica,
            })
            .collect();
        let text = bars(
            &rows,
            ["node", "primary", "replica"],
            self.out.styles,
            self.width(),
        );
        self.text(&text)?;
        let (primary, copies) = (distribution.primary, distribution.copies);
        self.say(&format!(
            "  keys on a node: as primary {} to {}, mean {:.1}; with replicas {} to {}, mean {:.1}",
            thousands(primary.min),
            thousands(primary.max),
            primary.mean,
            thousands(copies.min),
            thousands(copies.max),
            copies.mean,
        ))?;
        self.good(&format!(
            "asked the nodes about {}: all agree",
            plural(compared, "key")
        ))?;
        Ok(Routing {
            distribution,
            compared,
        })
    }

    /// Asks one node after the other about keys from all over the list.
    fn compare(&mut self, keys: &[String], answer: &ClusterAnswer, layout: &Layout) -> Result<usize> {
        let step = (keys.len() / COMPARED_KEYS).max(1);
        let mut compared = 0;
        for (turn, key) in keys.iter().step_by(step).take(COMPARED_KEYS).enumerate() {
            let mut api = self.cluster.api(turn % self.cluster.len())?;
            let told = api.key(key, answer.revision)?.partition;
            let number = answer.hash_config.partition(key);
            let primary = layout
                .partitions
                .get(number as usize)
                .and_then(|partition| partition.primary.as_deref());
            if told.number != number || primary != Some(&*told.primary_node) {
                return Err(wrong(format!(
                    "key {key:?} belongs to partition-{number} on {}, but the node at {} says {} on {}",
                    primary.unwrap_or("nobody"),
                    api.addr(),
                    told.id,
                    told.primary_node
                )));
            }
            compared += 1;
        }
        Ok(compared)
    }

    /// Stop 3: one node more, and no copy moves that need not.
    fn join(&mut self, keys: &[String], before: &ClusterAnswer) -> Result<(Join, ClusterAnswer)> {
        self.title("One more node joins")?;
        let start = Instant::now();
        self.cluster.start_next()?;
        let started = self.wait_ready(1, start)?;
        let members = self.cluster.len();
        let (after, at) = self.cluster.wait_spread(0, members)?;
        let seconds = (at - start).as_secs_f64();
        let (old, new) = (Layout::new(&before.cluster), Layout::new(&after.cluster));
        let join = Join {
            node: format!("node-{members}"),
            ready_seconds: started.first().map_or(0.0, |node| node.took.as_secs_f64()),
            seconds,
            moves: new.moves_since(&old),
            fewest_moves: new.fewest_moves_since(&old),
            fair_share: new.fair_share(),
            primary_changes: new.primary_changes_since(&old),
            keys_rerouted: rerouted(keys, &after.hash_config, &old, &new),
        };
        self.map(&new, Some(&old))?;
        self.say("")?;
        let total: u64 = new.copies().into_values().sum();
        let (floor, ceiling) = join.fair_share;
        let share = if floor == ceiling {
            floor.to_string()
        } else {
            format!("{floor} or {ceiling}")
        };
        self.say(&format!(
            "  fair share of {}: {} copies / {members} nodes = {share}; it has its share after {}",
            join.node,
            thousands(total),
            time(seconds),
        ))?;
        let moved = format!(
            "{} moved, the fewest possible are {}",
            copies(join.moves as u64),
            join.fewest_moves
        );
        if join.moves == join.fewest_moves {
            self.good(&moved)?
        } else {
            self.warn(&moved)?
        }
        self.say(&format!(
            "    {} of {} changed primary, and with them {} of {}",
            join.primary_changes,
            plural(new.partitions.len(), "partition"),
            thousands(join.keys_rerouted as u64),
            plural(keys.len(), "key"),
        ))?;
        Ok((join, after))
    }

    /// With `--keep`: the cluster is the user's until Ctrl-C.
    fn keep(&mut self) -> Result<()> {
        let addrs = self.cluster.addrs();
        let addr = addrs.first().map_or("", |(_, addr)| addr).to_string();
        self.title("It is yours until Ctrl-C")?;
        for (id, addr) in &addrs {
            self.say(&format!("  {id:<8}  {addr}"))?;
        }
        for command in [
            "status",
            "nodes",
            "partitions --map",
            "locate user:1 user:2",
            "bench",
        ] {
            self.say(&format!("  clusterkit --addr {addr} {command}"))?;
        }
        self.cluster.wait_for_interrupt()
    }

    /// Stop 5: everything ends, and nothing is left.
    fn stop(&mut self, start: Instant) -> Result<Stop> {
        let processes = self.cluster.len();
        let begun = Instant::now();
        let killed = self.cluster.stop_all()?;
        let stop = Stop {
            processes,
            killed,
            seconds: begun.elapsed().as_secs_f64(),
        };
        self.title("The end")?;
        let line = format!(
            "{} stopped in {}, the temporary folder is gone",
            plural(processes, "process"),
            time(stop.seconds)
        );
        if killed == 0 {
            self.good(&line)?;
        } else {
            self.warn(&format!("{line}; {killed} had to be killed"))?;
        }
        self.say(&format!(
            "    the whole demo took {:.1} s",
            start.elapsed().as_secs_f64()
        ))?;
        Ok(stop)
    }

    fn width(&self) -> usize {
        self.out.width.min(WIDEST)
    }

    fn map(&mut self, layout: &Layout, before: Option<&Layout>) -> Result<()> {
        let text = map(layout, before, self.out.styles, self.width());
        self.text(&format!("\n{text}"))
    }

    pub(super) fn title(&mut self, text: &str) -> Result<()> {
        self.step += 1;
        let text = format!("{}  {text}", self.step);
        let rule = "─".repeat(self.width().saturating_sub(text.chars().count() + 1));
        let styles = self.out.styles;
        let gap = if self.step == 1 { "" } else { "\n" };
        self.say(&format!(
            "{gap}{} {}",
            styles.paint(Tone::Heading, &text),
            styles.paint(Tone::Dim, &rule)
        ))
    }

    pub(super) fn good(&mut self, text: &str) -> Result<()> {
        let mark = self.out.styles.paint(Tone::Good, "✓");
        self.say(&format!("  {mark} {text}"))
    }

    fn warn(&mut self, text: &str) -> Result<()> {
        let mark = self.out.styles.paint(Tone::Warn, "!");
        self.say(&format!("  {mark} {text}"))
    }

    pub(super) fn say(&mut self, line: &str) -> Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// With `--json` the report at the end is all that is printed.
    fn text(&mut self, text: &str) -> Result<()> {
        if self.out.json {
            Ok(())
        } else {
            self.out.text(text)
        }
    }
}

/// A claim of the demo that does not hold.
pub(super) fn wrong(message: String) -> CliError {
    CliError::failed(ErrorCode::Internal, message)
}

/// A time for people: `12 ms`, `1.25 s`.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

/// `1 copy`, `192 copies`.
pub(super) fn copies(count: u64) -> String {
    if count == 1 {
        "1 copy".to_string()
    } else {
        format!("{} copies", thousands(count))
    }
}
