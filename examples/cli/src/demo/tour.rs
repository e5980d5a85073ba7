//! The tour's five stops.

use std::time::Instant;

use ck_core::ErrorCode;
use ck_core::state::Expect;

use super::cluster::{Cluster, Started};
use super::report::{Formation, Join, NodeReady, Report, Restart, Routing, Stop};
use super::routing::{distribute, rerouted};
use crate::api::ClusterAnswer;
use crate::args::DemoArgs;
use crate::error::{CliError, Result};
use crate::layout::Layout;
use crate::output::{Bar, Out, Tone, bars, map, plural, thousands};

/// How many keys are asked of the nodes too, to compare with what was computed here.
const COMPARED_KEYS: usize = 20;
/// How many values are written before the restart.
const VALUES: usize = 10;
/// Tables wider than this do not become easier to read.
const WIDEST: usize = 140;

/// The tour under way.
pub(super) struct Tour<'a> {
    args: &'a DemoArgs,
    cluster: Cluster,
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
        let answer = self.cluster.wait_spread(0, count)?;
        let seconds = start.elapsed().as_secs_f64();
        let layout = Layout::new(&answer.cluster);
        let partitions = layout.partitions.len();
        let leader = answer.cluster.leader.to_string();
        let copies = (self.args.rf as usize).min(count);
        self.good(&format!(
            "{leader} leads; {} in {} each on {} after {seconds:.2} s",
            plural(partitions, "partition"),
            if copies == 1 {
                "1 copy".to_string()
            } else {
                format!("{copies} copies")
            },
            plural(count, "node"),
        ))?;
        self.map(&layout)?;
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

    fn wait_ready(&mut self, count: usize, start: Instant) -> Result<Vec<Started>> {
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
                "  {}  {}  ready in {:.2} s  {}",
                styles.paint(Tone::Good, &format!("{:<8}", node.id)),
                styles.paint(Tone::Dim, &facts),
                node.took.as_secs_f64(),
                styles.paint(Tone::Dim, &format!("at {:.2} s", start.elapsed().as_secs_f64())),
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
        let after = self.cluster.wait_spread(0, members)?;
        let seconds = start.elapsed().as_secs_f64();
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
        self.map(&new)?;
        let total: u64 = new.copies().into_values().sum();
        let (floor, ceiling) = join.fair_share;
        let share = if floor == ceiling {
            floor.to_string()
        } else {
            format!("{floor} or {ceiling}")
        };
        self.say(&format!(
            "  fair share of {}: {} copies / {members} nodes = {share}; it has its share after {seconds:.2} s",
            join.node,
            thousands(total),
        ))?;
        let moved = format!(
            "{} moved, the fewest possible are {}",
            copies(join.moves),
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

    /// Stop 4: a node is stopped in order and started again on its data. Nothing is lost, nothing moves.
    fn restart(&mut self, before: &ClusterAnswer) -> Result<Restart> {
        let old = Layout::new(&before.cluster);
        let place = self.whom_to_restart(before);
        let witness = usize::from(place == 0);
        let node = format!("node-{}", place + 1);
        self.title(&format!("{node} restarts"))?;
        let revision = self.write_values(place)?;
        let start = Instant::now();
        let stopped = self.cluster.stop_one(place)?;
        let away = Layout::new(&self.cluster.api(witness)?.cluster()?.cluster);
        let primaries = old.primaries().get(node.as_str()).copied().unwrap_or(0);
        let taken_over = led_by_others(&old, &away, &node);
        self.say(&format!("  stopped in order in {:.2} s", stopped.as_secs_f64()))?;
        if taken_over > 0 {
            self.say(&format!(
                "  other nodes took over {taken_over} of its {primaries} partitions meanwhile"
            ))?;
        }
        self.cluster.start_again(place)?;
        let started = self.wait_ready(1, start)?;
        let after = self.cluster.wait_spread(witness, self.cluster.len())?;
        let seconds = start.elapsed().as_secs_f64();
        let new = Layout::new(&after.cluster);
        let restart = Restart {
            node,
            stop_seconds: stopped.as_secs_f64(),
            ready_seconds: started.first().map_or(0.0, |node| node.took.as_secs_f64()),
            seconds,
            primaries,
            taken_over,
            written: VALUES,
            read_back: self.read_values(place, revision)?,
            moves: new.moves_since(&old),
        };
        self.judge_restart(&restart, &new)?;
        Ok(restart)
    }

    fn judge_restart(&mut self, restart: &Restart, layout: &Layout) -> Result<()> {
        let read = format!(
            "{} of {} values written before are read back",
            restart.read_back, restart.written
        );
        let total: u64 = layout.copies().into_values().sum();
        let stayed = format!(
            "{} moved of {}; whole again after {:.2} s",
            copies(restart.moves),
            thousands(total),
            restart.seconds
        );
        if restart.read_back != restart.written {
            return Err(wrong(format!(
                "after the restart of {} only {read}",
                restart.node
            )));
        }
        if restart.moves != 0 {
            return Err(wrong(format!(
                "the restart of {} moved data: {stayed}",
                restart.node
            )));
        }
        self.good(&read)?;
        self.good(&stayed)
    }

    /// A node that does not lead, and not the first one either if another will do: people restart those first.
    fn whom_to_restart(&self, answer: &ClusterAnswer) -> usize {
        let leads = |place: &usize| *answer.cluster.leader == *format!("node-{}", place + 1);
        let formed = self.args.nodes as usize;
        (1..formed)
            .rev()
            .chain(formed..self.cluster.len())
            .find(|place| !leads(place))
            .unwrap_or(0)
    }

    /// Writes values through the node at `place`; returns the revision of the last.
    fn write_values(&mut self, place: usize) -> Result<u64> {
        let mut api = self.cluster.api(place)?;
        let mut revision = 0;
        for n in 0..VALUES {
            let (key, value) = value(n);
            revision = api.data_set(&key, value.as_bytes(), Expect::Any)?.revision;
        }
        Ok(revision)
    }

    /// Counts the values that the node at `place` has once it has applied `revision`.
    fn read_values(&mut self, place: usize, revision: u64) -> Result<usize> {
        let mut api = self.cluster.api(place)?;
        let mut right = 0;
        for n in 0..VALUES {
            let (key, value) = value(n);
            if api.data_get(&key, revision)?.value == value.as_bytes() {
                right += 1;
            }
        }
        Ok(right)
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
            "{} stopped in {:.2} s, the temporary folder is gone",
            plural(processes, "process"),
            stop.seconds
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

    fn map(&mut self, layout: &Layout) -> Result<()> {
        let text = map(layout, self.out.styles, self.width());
        self.text(&format!("\n{text}\n"))
    }

    fn title(&mut self, text: &str) -> Result<()> {
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

    fn good(&mut self, text: &str) -> Result<()> {
        let mark = self.out.styles.paint(Tone::Good, "✓");
        self.say(&format!("  {mark} {text}"))
    }

    fn warn(&mut self, text: &str) -> Result<()> {
        let mark = self.out.styles.paint(Tone::Warn, "!");
        self.say(&format!("  {mark} {text}"))
    }

    fn say(&mut self, line: &str) -> Result<()> {
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

fn wrong(message: String) -> CliError {
    CliError::failed(ErrorCode::Internal, message)
}

fn value(n: usize) -> (String, String) {
    (
        format!("demo/{n}"),
        format!("written before the restart, number {n}"),
    )
}

fn copies(count: usize) -> String {
    if count == 1 {
        "1 copy".to_string()
    } else {
        format!("{} copies", thousands(count as u64))
    }
}

/// Partitions that `node` led in `old` and that another node leads in `away`.
fn led_by_others(old: &Layout, away: &Layout, node: &str) -> usize {
    let pairs = old.partitions.iter().zip(&away.partitions);
    let taken = pairs.filter(|(then, now)| {
        then.primary.as_deref() == Some(node) && now.primary.as_deref().is_some_and(|id| id != node)
    });
    taken.count()
}
