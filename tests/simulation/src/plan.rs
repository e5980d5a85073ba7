//! What a seed stands for.

use std::fmt;
use std::time::Duration;

use clusterkit::TimingProfile;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Which kinds of trouble a run has. Each seed has some of them (swarm testing: what is always on hides what shows
/// only without it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Menu {
    /// Delay, loss, duplication, reordering of messages.
    pub weather: bool,
    /// Cuts, one-way cuts, bridges, isolation, flapping, clogging.
    pub cuts: bool,
    /// Crashes, of the process or of the machine with what was not durable.
    pub crashes: bool,
    /// Processes that stand still for a while.
    pub pauses: bool,
    /// Failing writes and syncs, full disks.
    pub disks: bool,
    /// Wall clocks that jump.
    pub clocks: bool,
    /// Stops, removals, joins, wiped disks, new addresses.
    pub churn: bool,
    /// Step-downs and rebalances that somebody asks for.
    pub orders: bool,
    /// Hooks that fail, panic, hang, are slow.
    pub hooks: bool,
    /// Voters that restart while somebody asks for their votes who cannot hear the leader.
    pub rivals: bool,
    /// Members that are removed, or leave, while they write and their answers are lost.
    pub partings: bool,
    /// Nodes know each other by name, and leaders die while no name resolves. Alone, so that nothing else can be why
    /// nobody is elected.
    pub names: bool,
    /// Programs that register their hooks some time after they have started their node.
    pub late_hooks: bool,
    /// Machines whose timers run late.
    pub late: bool,
    /// Connections that die without a word while new ones work.
    pub flows: bool,
    /// Links with little bandwidth, and values that take long on them.
    pub slow_links: bool,
    /// Whoever takes over a role dies next.
    pub heirs: bool,
    /// Disks that answer nothing for a while.
    pub hangs: bool,
}

impl Menu {
    /// Nothing goes wrong but that timers run late.
    fn late_only() -> Menu {
        Menu {
            late: true,
            ..Menu::default()
        }
    }

    /// True when nothing goes wrong but that timers run late: then nobody has a reason to replace the leader.
    pub fn is_late_only(&self) -> bool {
        *self == Menu::late_only()
    }
}

/// One run, drawn from a seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Nodes, 1 to 7.
    pub nodes: usize,
    /// Partitions, 1 to 64.
    pub partitions: u32,
    /// Copies of each partition, 1 to 3.
    pub replication: u32,
    /// The timing profile.
    pub timing: TimingProfile,
    /// Entries between snapshots, and entries kept behind one.
    pub snapshots: (u64, u64),
    /// How long it goes wrong.
    pub safety: Duration,
    /// How fast each node's clock is, in millionths. Within 2 %: the lease margin is a tenth.
    pub drift_ppm: Vec<i32>,
    /// Whether the application loses its data with its process.
    pub forgetful: bool,
    /// Registers that clients share.
    pub keys: usize,
    /// Tasks that read and write.
    pub clients: usize,
    /// Whether calls go over simulated connections, or each message travels by itself.
    pub connections: bool,
    /// What goes wrong.
    pub menu: Menu,
}

impl Plan {
    /// The same where each message travels by itself, as it was before there were connections.
    pub fn without_connections(self) -> Plan {
        let menu = Menu {
            flows: false,
            slow_links: false,
            ..self.menu
        };
        Plan {
            connections: false,
            menu,
            ..self
        }
    }

    /// What the seed stands for.
    pub fn draw(seed: u64) -> Plan {
        let mut rng = SmallRng::seed_from_u64(seed);
        let nodes = [1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7][rng.random_range(0..11)];
        let partitions = [1, 4, 8, 16, 16, 32, 64][rng.random_range(0..7)];
        let entries = [40, 100, 300, 1000][rng.random_range(0..4)];
        // Drawn apart, so that what a seed stood for before there were connections it stands for still.
        let mut apart = SmallRng::seed_from_u64(seed ^ 0x5eed_c0de);
        let connections = apart.random_bool(0.25);
        let (flows, slow_links) = (
            connections && apart.random_bool(0.7),
            connections && apart.random_bool(0.4),
        );
        let mut some = |probability: f64| rng.random_bool(probability);
        let menu = Menu {
            weather: some(0.5),
            cuts: some(0.6),
            crashes: some(0.6),
            pauses: some(0.4),
            disks: some(0.3),
            clocks: some(0.3),
            churn: some(0.5),
            orders: some(0.4),
            hooks: some(0.4),
            rivals: some(0.2),
            // Drawn apart, so that what other seeds stand for stays as it was.
            partings: SmallRng::seed_from_u64(seed ^ 0x7061_7274).random_bool(0.5),
            names: false,
            // A chance of its own, so that the others are what they were without it.
            late_hooks: SmallRng::seed_from_u64(!seed).random_bool(0.25),
            late: false,
            flows,
            slow_links,
            heirs: SmallRng::seed_from_u64(seed ^ 0x6865_6972).random_bool(0.15),
            hangs: SmallRng::seed_from_u64(seed ^ 0x6861_6e67).random_bool(0.2),
        };
        let drifts = some(0.5);
        let names = Menu {
            names: true,
            ..Menu::default()
        };
        let menu = if nodes > 2 && some(0.1) { names } else { menu };
        let mut plan = Plan {
            seed,
            nodes,
            partitions,
            replication: rng.random_range(1..=3),
            timing: [TimingProfile::Lan, TimingProfile::Lan, TimingProfile::Fast][rng.random_range(0..3)],
            snapshots: (entries, rng.random_range(0..entries / 2)),
            safety: Duration::from_secs(rng.random_range(20..60)),
            drift_ppm: (0..nodes)
                .map(|_| {
                    if drifts {
                        rng.random_range(-20_000..=20_000)
                    } else {
                        0
                    }
                })
                .collect(),
            forgetful: rng.random_bool(0.5),
            keys: rng.random_range(1..=4),
            clients: rng.random_range(2..=5),
            connections,
            menu,
        };
        // Drawn last, so that the seeds of before are what they were.
        plan.menu.late = rng.random_bool(0.3) && !plan.menu.names;
        if plan.menu.late && rng.random_bool(0.4) {
            plan.menu = Menu::late_only();
        }
        plan
    }

    /// Random numbers of their own for one part of the run.
    pub fn rng(&self, part: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Menu {
            weather,
            cuts,
            crashes,
            pauses,
            disks,
            clocks,
            churn,
            orders,
            hooks,
            rivals,
            partings,
            names,
            late_hooks,
            late,
            flows,
            slow_links,
            heirs,
            hangs,
        } = self.menu;
        let menu: Vec<&str> = [
            (weather, "weather"),
            (cuts, "cuts"),
            (crashes, "crashes"),
            (pauses, "pauses"),
            (disks, "disks"),
            (clocks, "clocks"),
            (churn, "churn"),
            (orders, "orders"),
            (hooks, "hooks"),
            (rivals, "rivals"),
            (partings, "partings"),
            (names, "names"),
            (late_hooks, "late hooks"),
            (late, "late"),
            (flows, "flows"),
            (slow_links, "slow-links"),
            (heirs, "heirs"),
            (hangs, "hangs"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
        write!(
            f,
            "{} nodes, {} partitions x {}, timing {}, snapshots {:?}, {:?} of [{}], drift {:?} ppm, {} registers, {} clients{}{}",
            self.nodes,
            self.partitions,
            self.replication,
            self.timing.name(),
            self.snapshots,
            self.safety,
            menu.join(" "),
            self.drift_ppm,
            self.keys,
            self.clients,
            if self.forgetful {
                ", forgetful application"
            } else {
                ""
            },
            if self.connections {
                ", over connections"
            } else {
                ""
            },
        )
    }
}
