//! Nodes in processes of their own: what memory and what time they take.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clusterkit::Expect;
use clusterkit::hooks::{EventFilter, Hook};
use clusterkit::model::Event;
use clusterkit::routing::ClusterView;
use clusterkit::{ClusterKit, Options, TimingProfile};

use crate::cluster::{BENCH_TIMEOUT, PARTITIONS, until, until_every};
use crate::report::{Aim, Report};
use crate::{Failure, Outcome};

/// How long an idle node is watched.
const WATCHED: Duration = Duration::from_secs(3);
/// Ticks per second in /proc, fixed for every Linux program.
const TICKS: f64 = 100.0;

/// What a process says of itself.
pub(crate) struct Usage {
    pub(crate) rss_kib: f64,
    pub(crate) cpu: Duration,
}

/// CPU time of this process so far, all threads together.
pub(crate) fn cpu_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in front is in parentheses and may hold anything; fields 14 and 15 are user and system time.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = fields.split_whitespace().skip(11).take(2);
    let mut next = || -> Outcome<f64> { Ok(ticks.next().ok_or("/proc/self/stat is cut")?.parse()?) };
    Ok(Duration::from_secs_f64((next()? + next()?) / TICKS))
}

fn rss_kib() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}

/// The child: one node. A number of members on standard input is answered, once it sees so many and all copies in place,
/// with RSS in KiB and CPU time in seconds. `write WRITERS MS` is answered with how many values it wrote in that time.
pub(crate) fn serve(
    id: &str,
    data_dir: &Path,
    join: Option<&str>,
    http_addr: &str,
    profile: Option<&str>,
    (partitions, hook): (u32, bool),
    set: &[String],
) -> Outcome {
    let mut options = Options::new(id, http_addr);
    for option in set {
        let (name, value) = option.split_once('=').ok_or("an option without a value")?;
        options.set(name, value)?;
    }
    if let Some(profile) = profile {
        options.set("timing.profile", profile)?;
    }
    options.data_dir = data_dir.display().to_string();
    options.join_timeout = BENCH_TIMEOUT;
    match join {
        Some(address) => options.join_addrs = vec![address.to_owned()],
        None => options.partition_count = Some(partitions),
    }
    let node = ClusterKit::new(options)?;
    if hook {
        node.register_hook(EventFilter::ALL, Hook::blocking(|_: &Event| Ok(())))?;
    }
    node.start()?;
    println!("{}", node.http_addr().ok_or("the node listens nowhere")?);
    for line in std::io::stdin().lines() {
        let line = line?;
        if let Some(order) = line.strip_prefix("write ") {
            let (writers, millis) = order.split_once(' ').ok_or("an order without two numbers")?;
            let turn = Duration::from_millis(millis.trim().parse()?);
            println!("{}", write_for(&node, writers.parse()?, turn)?);
            continue;
        }
        let members: usize = line.trim().parse()?;
        let pause = pause(members) + Duration::from_millis(u64::from(node.view().partition_count() / 4096));
        until_every(pause, "all copies in place", || in_place(&node.view(), members))?;
        println!("{} {}", rss_kib()?, cpu_time()?.as_secs_f64());
    }
    node.stop()?;
    Ok(())
}

/// True when the view shows so many members, who hold all copies, lead their share, and wait for nothing.
fn in_place(view: &ClusterView, members: usize) -> bool {
    let copies = members.min(3);
    let placed = view.nodes().len() == members
        && view.partition_count() > 0
        && view.partitions().all(|partition| {
            partition.nodes().count() == copies
                && partition.pending().count() == 0
                && partition.primary().is_some()
        });
    let share = view.partition_count() as usize / members;
    placed
        && view
            .partition_stats()
            .partitions_per_node
            .values()
            .all(|primaries| (share..=share + 1).contains(primaries))
}

/// So many threads write 100 bytes each, again and again; gives how many values were written.
fn write_for(node: &ClusterKit, writers: usize, turn: Duration) -> Outcome<u64> {
    let over = std::time::Instant::now() + turn;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..writers)
            .map(|writer| {
                scope.spawn(move || -> clusterkit::Result<u64> {
                    let (key, mut count) = (format!("bench/{writer}"), 0);
                    while std::time::Instant::now() < over {
                        node.set_custom_data(&key, &[7; 100][..], Expect::Any, BENCH_TIMEOUT)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let mut all = 0;
        for writer in running {
            all += writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(all)
    })
}

/// How often a node looks whether all is in place: many that share a machine look less often, so that looking costs
/// little beside what is measured.
fn pause(members: usize) -> Duration {
    Duration::from_micros(500).max(Duration::from_micros(200) * u32::try_from(members).unwrap_or(u32::MAX))
}

pub(crate) struct NodeProcess {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
    address: String,
}

impl NodeProcess {
    fn start(dir: &Path, id: &str, join: Option<&str>) -> Outcome<Self> {
        NodeProcess::start_with(dir, id, join, TimingProfile::Lan, &[])
    }

    /// Starts a node with further options, and returns when it is a member.
    pub(crate) fn start_with(
        dir: &Path,
        id: &str,
        join: Option<&str>,
        profile: TimingProfile,
        options: &[(&str, String)],
    ) -> Outcome<Self> {
        let mut program = node_program()?;
        // The secret is one of a benchmark: others may see it.
        program.args(
            options
                .iter()
                .map(|(name, value)| format!("--set={name}={value}")),
        );
        let (addr, what) = ("127.0.0.1:0", (PARTITIONS, false));
        let mut process = NodeProcess::spawn_as(program, dir, id, join, addr, profile, what)?;
        process.wait_until_started()?;
        Ok(process)
    }

    /// Starts a node without waiting for it.
    pub(crate) fn spawn(
        dir: &Path,
        id: &str,
        join: Option<&str>,
        profile: TimingProfile,
        partitions: u32,
    ) -> Outcome<Self> {
        let program = node_program()?;
        NodeProcess::spawn_as(
            program,
            dir,
            id,
            join,
            "127.0.0.1:0",
            profile,
            (partitions, false),
        )
    }

    /// The same with a hook that is asked of every copy, and says at once that it is made.
    pub(crate) fn spawn_hooked(dir: &Path, id: &str, join: Option<&str>, partitions: u32) -> Outcome<Self> {
        let program = node_program()?;
        let (addr, profile) = ("127.0.0.1:0", TimingProfile::Lan);
        NodeProcess::spawn_as(program, dir, id, join, addr, profile, (partitions, true))
    }

    /// The same in a network namespace, at an address there.
    pub(crate) fn spawn_within(
        namespace: &str,
        http_addr: &str,
        dir: &Path,
        id: &str,
        join: Option<&str>,
    ) -> Outcome<Self> {
        // It becomes the program itself: the process is the same.
        let mut program = Command::new("ip");
        program
            .args(["netns", "exec", namespace])
            .arg(std::env::current_exe()?)
            .arg("node");
        let (profile, what) = (TimingProfile::Lan, (PARTITIONS, false));
        NodeProcess::spawn_as(program, dir, id, join, http_addr, profile, what)
    }

    fn spawn_as(
        mut program: Command,
        dir: &Path,
        id: &str,
        join: Option<&str>,
        http_addr: &str,
        profile: TimingProfile,
        (partitions, hook): (u32, bool),
    ) -> Outcome<Self> {
        let mut child = program
            .arg(id)
            .arg(dir.join(id))
            .args(join)
            .args(["--http-addr", http_addr, "--profile", profile.name()])
            .arg("--partitions")
            .arg(partitions.to_string())
            .args(hook.then_some("--hook"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        Ok(NodeProcess {
            child,
            answers: BufReader::new(output),
            address: String::new(),
        })
    }

    /// Waits until the node is a member.
    pub(crate) fn wait_until_started(&mut self) -> Outcome {
        self.address = self.line()?;
        Ok(())
    }

    /// Where it listens, once it is a member.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the process in an orderly way: the others are told.
    pub(crate) fn stop(mut self) -> Outcome {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }

    /// Ends the process at once, as a crash would; returns when it is dead.
    pub(crate) fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim() {
            "" => Err("a node process ended".into()),
            line if line.starts_with("error") => Err(line.to_owned().into()),
            line => Ok(line.to_owned()),
        }
    }

    /// Has so many threads of the node write for a while; gives how many values they wrote.
    pub(crate) fn write(&mut self, writers: usize, turn: Duration) -> Outcome<u64> {
        let input = self.child.stdin.as_mut().ok_or("the child has no input")?;
        writeln!(input, "write {writers} {}", turn.as_millis())?;
        Ok(self.line()?.parse()?)
    }

    /// What the node takes, once it sees a cluster of `members` with all copies in place.
    pub(crate) fn usage(&mut self, members: usize) -> Outcome<Usage> {
        let input = self.child.stdin.as_mut().ok_or("the child has no input")?;
        writeln!(input, "{members}")?;
        let line = self.line()?;
        let (rss, cpu) = line.split_once(' ').ok_or("an answer without two numbers")?;
        Ok(Usage {
            rss_kib: rss.parse()?,
            cpu: Duration::from_secs_f64(cpu.parse()?),
        })
    }
}

/// This program, to run one node.
fn node_program() -> Outcome<Command> {
    let mut program = Command::new(std::env::current_exe()?);
    program.arg("node");
    Ok(program)
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // The end of its input is the sign to stop; one that does not heed it is killed.
        drop(self.child.stdin.take());
        let waited = until("the end of a child", || {
            matches!(self.child.try_wait(), Ok(Some(_)))
        });
        if waited.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Measures memory and idle time of nodes in processes of their own.
pub(crate) fn measure(report: &mut Report, dir: &Path) -> Outcome {
    println!("memory: each node a process");
    let dir = tempfile::Builder::new().prefix("ck-bench-").tempdir_in(dir)?;
    let mut first = NodeProcess::start(dir.path(), "node-1", None)?;
    let aim = Some(Aim::AtMost(10.0));
    let (usage, idle) = watch(&mut first, 1)?;
    report.add(
        "RSS of one node alone",
        usage.rss_kib / 1024.0,
        "MiB",
        aim,
        "64 partitions",
    );
    report.add("CPU of one node alone, idle", idle, "%", None, "of one core");
    let address = first.address.clone();
    let mut others = ["node-2", "node-3"]
        .iter()
        .map(|id| NodeProcess::start(dir.path(), id, Some(&address)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let (usage, idle) = watch(&mut first, 3)?;
    report.add(
        "RSS of the leader of 3 nodes",
        usage.rss_kib / 1024.0,
        "MiB",
        aim,
        "64 partitions",
    );
    report.add(
        "CPU of the leader of 3 nodes, idle",
        idle,
        "%",
        None,
        "of one core",
    );
    let follower = others.first_mut().ok_or("there is no follower")?;
    let (usage, idle) = watch(follower, 3)?;
    report.add(
        "RSS of a follower of 3 nodes",
        usage.rss_kib / 1024.0,
        "MiB",
        aim,
        "64 partitions",
    );
    report.add(
        "CPU of a follower of 3 nodes, idle",
        idle,
        "%",
        None,
        "of one core",
    );
    // Followers first, so that nobody has to elect a new leader on the way out.
    drop(others);
    drop(first);
    Ok(())
}

/// What a node takes after a while of idleness, and how much of a core it used meanwhile.
fn watch(node: &mut NodeProcess, members: usize) -> Outcome<(Usage, f64)> {
    let before = node.usage(members)?;
    std::thread::sleep(WATCHED);
    let after = node.usage(members)?;
    let used = after.cpu.saturating_sub(before.cpu);
    Ok((after, used.as_secs_f64() / WATCHED.as_secs_f64() * 100.0))
}
