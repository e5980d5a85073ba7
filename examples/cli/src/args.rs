//! The command line. Every command shows how it is used: `--help` ends with examples.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::credentials::Credentials;
use crate::option_flags::OptionFlags;

mod access;
mod certs;
mod health;
mod operate;
mod tls;

use certs::CERTS_HELP;
pub(crate) use certs::{CertsCommand, IssueArgs};
pub(crate) use tls::TlsArgs;

pub(crate) use access::TokenArgs;
use access::{SECRET_HELP, TOKEN_HELP};
use health::HEALTH_HELP;
pub(crate) use health::HealthArgs;
use operate::{
    DEMOTE_HELP, LEAVE_HELP, MAINTENANCE_HELP, PROMOTE_HELP, REBALANCE_HELP, RECOVER_HELP, STEP_DOWN_HELP,
};
pub(crate) use operate::{
    DemoteArgs, LeaveArgs, MaintenanceCommand, PromoteArgs, RebalanceArgs, RecoverArgs, RemoveArgs,
    StepDownArgs,
};

/// Run a ClusterKit node, look into a running cluster, and see one form.
#[derive(Debug, Parser)]
#[command(name = "clusterkit", version, max_term_width = 100, after_help = MAIN_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const MAIN_HELP: &str = "\
Exit codes:
  0    done
  1    a node answered with an error, or the work failed: what was asked for was not done
  2    the command line or the options are wrong
  3    no node could be reached at --addr, or none answered what it was asked: nothing was done
  4    nobody knows whether it was done: it was not answered in time, or the connection broke
  130  interrupted by Ctrl-C or SIGTERM

Colours appear on a terminal only, and never where NO_COLOR is set.
With --json errors are JSON too, on standard error.

Examples:
  clusterkit demo                                                watch ten processes form a cluster
  clusterkit serve --node-id node-1 --http-addr 127.0.0.1:8080   run a node
  clusterkit status                                              how is the cluster at 127.0.0.1:8080?
  clusterkit --addr 10.0.0.5:8080 nodes --json                   its members, for a program";

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// A running node: host:port, or :port on this machine
    #[arg(
        long,
        global = true,
        env = "CLUSTERKIT_ADDR",
        hide_env_values = true,
        default_value = "127.0.0.1:8080",
        value_name = "HOST:PORT"
    )]
    pub(crate) addr: String,

    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// How long a node may take for each answer: 5s, 500ms. What it has to wait for ends with that, and its answer is
    /// waited for two seconds longer
    #[arg(long, global = true, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,

    /// A file with the token that is shown to the node; without it, what CLUSTERKIT_TOKEN has. A token makes
    /// `clusterkit token`
    #[arg(
        long,
        global = true,
        env = "CLUSTERKIT_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) token_file: Option<PathBuf>,

    /// What is shown to the node.
    #[arg(skip)]
    pub(crate) credentials: Credentials,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node until SIGTERM or Ctrl-C
    #[command(visible_alias = "daemon", after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Start a cluster of real processes, show what it does, and stop it again
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Show how the cluster is
    #[command(after_help = "Examples:\n  clusterkit status\n  clusterkit status --addr 10.0.0.5:8080 --json")]
    Status,
    /// Say whether a node is alive or ready, or whether any node may be restarted now
    #[command(after_help = HEALTH_HELP)]
    Health(HealthArgs),
    /// List the members
    #[command(after_help = "Examples:\n  clusterkit nodes\n  clusterkit nodes --json | jq -r '.nodes[].ip'")]
    Nodes,
    /// List the partitions and who holds them
    #[command(after_help = PARTITIONS_HELP)]
    Partitions(PartitionsArgs),
    /// Show which partition and which nodes keys belong to
    #[command(after_help = LOCATE_HELP)]
    Locate(LocateArgs),
    /// Show who leads
    #[command(after_help = "Examples:\n  clusterkit leader\n  clusterkit leader --json | jq -r .leader_ip")]
    Leader,
    /// Spread the partitions anew over the members, or show what moves
    #[command(after_help = REBALANCE_HELP)]
    Rebalance(RebalanceArgs),
    /// Plan no moves for a while: primaries still fail over
    #[command(subcommand, after_help = MAINTENANCE_HELP)]
    Maintenance(MaintenanceCommand),
    /// Have the leader hand leadership over
    #[command(after_help = STEP_DOWN_HELP)]
    StepDown(StepDownArgs),
    /// Have a node lead
    #[command(after_help = PROMOTE_HELP)]
    Promote(PromoteArgs),
    /// Have the leader hand leadership over, and not lead again for a while
    #[command(after_help = DEMOTE_HELP)]
    Demote(DemoteArgs),
    /// Have the node at --addr hand over what it has and leave for good
    #[command(after_help = LEAVE_HELP)]
    Leave(LeaveArgs),
    /// Remove a member for good
    #[command(
        after_help = "Examples:\n  clusterkit remove node-3         asks first\n  clusterkit remove node-3 --yes   for scripts"
    )]
    Remove(RemoveArgs),
    /// Accept what a node has of a lost partition as its data
    #[command(after_help = RECOVER_HELP)]
    Recover(RecoverArgs),
    /// Read and write the replicated store
    #[command(subcommand, after_help = DATA_HELP)]
    Data(DataCommand),
    /// Measure a running cluster's writes and lookups over HTTP
    #[command(after_help = BENCH_HELP)]
    Bench(BenchArgs),
    /// Print a new secret for a cluster: all members get it, and nobody else
    #[command(after_help = SECRET_HELP)]
    Secret,
    /// Make a token, by which a client proves to a cluster with a secret what it may do
    #[command(after_help = TOKEN_HELP)]
    Token(TokenArgs),
    /// Make a small authority, and certificates for nodes and people
    #[command(subcommand, after_help = CERTS_HELP)]
    Certs(CertsCommand),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const SERVE_HELP: &str = "\
Every option may also come from the environment or from a JSON file; a flag wins over the
environment, which wins over the file, and what is overridden is not looked at. When the node is ready it prints one line with its address.
The secret of the cluster has no flag, because the command line of a process can be read by others: it comes from
--cluster-secret-file, the environment or the file.

Examples:
  clusterkit serve --node-id node-1 --http-addr 127.0.0.1:8080
  clusterkit serve --node-id node-1 --http-addr :8080 --cluster-secret-file secret
  clusterkit serve --node-id node-2 --http-addr 127.0.0.1:8081 --join-addrs 127.0.0.1:8080 --data-dir ./data-2
  clusterkit serve --config node.json --events
  clusterkit serve --config node.json --print-options
  clusterkit serve --node-id n --http-addr 127.0.0.1:0 --ready-file ready.json   port from the system";

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) options: OptionFlags,

    /// A JSON file with options
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print each option's value and where it came from, and start nothing
    #[arg(long)]
    pub(crate) print_options: bool,

    /// Print every cluster event as a line of JSON
    #[arg(long)]
    pub(crate) events: bool,

    /// When ready, write {"node_id", "addr", "pid"} to this file, all at once
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// When ready, write the same to this inherited file descriptor
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ready_fd: Option<u32>,

    /// Stop when standard input ends: a node never outlives the parent that holds the other end
    #[arg(long, hide = true)]
    pub(crate) exit_with_stdin: bool,
}

const DEMO_HELP: &str = "\
Everything runs on 127.0.0.1 on ports that the system gives, in a temporary folder. Ctrl-C cleans up too.
The demo fails, with exit code 1, if anything is lost or moves that should not.

Examples:
  clusterkit demo
  clusterkit demo --nodes 3 --partitions 16
  clusterkit demo --keep                             runs on until Ctrl-C, for other commands to try
  cut -d, -f1 users.csv | clusterkit demo --keys -   where would your own keys go?";

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many nodes form the cluster; one more joins later
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) nodes: u32,

    /// How many partitions
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) partitions: u32,

    /// Copies of each partition
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rf: u32,

    /// Route the keys in this file, one a line; - reads standard input. Default: 1,000 generated ones
    #[arg(long, value_name = "FILE|-")]
    pub(crate) keys: Option<String>,

    /// Keep the cluster running at the end, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

const PARTITIONS_HELP: &str = "\
Examples:
  clusterkit partitions
  clusterkit partitions --map              nodes x partitions, as a picture
  clusterkit partitions --node node-2      what node-2 holds
  clusterkit partitions --state moving     ok, moving, under_replicated, no_primary or lost";

/// `partitions`.
#[derive(Debug, Args)]
pub(crate) struct PartitionsArgs {
    /// Draw a map of nodes and partitions
    #[arg(long)]
    pub(crate) map: bool,

    /// Only those that this node holds or is copying
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,

    /// Only those in this state
    #[arg(long, value_parser = ["ok", "moving", "under_replicated", "no_primary", "lost"])]
    pub(crate) state: Option<String>,
}

const LOCATE_HELP: &str = "\
The mapping is computed here, from the cluster's published hash_config: one request answers for
any number of keys.

Examples:
  clusterkit locate user:123
  clusterkit locate user:1 user:2 --json
  cat keys.txt | clusterkit locate -";

/// `locate`.
#[derive(Debug, Args)]
pub(crate) struct LocateArgs {
    /// The keys; none, or -, reads them from standard input, one a line
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

const DATA_HELP: &str = "\
Examples:
  clusterkit data set config/limit 100
  clusterkit data get config/limit
  clusterkit data list --prefix config/
  clusterkit data delete config/limit";

/// `data`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Print a value
    #[command(
        after_help = "Examples:\n  clusterkit data get config/limit\n  clusterkit data get config/limit --json   with the revision that wrote it"
    )]
    Get {
        /// The key
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
    },
    /// Write a value
    #[command(
        after_help = "Examples:\n  clusterkit data set config/limit 100\n  clusterkit data set motd - < motd.txt\n  clusterkit data set lock me --if-absent\n  clusterkit data set lock you --if-revision 42"
    )]
    Set {
        /// The key
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
        /// The value; - reads it from standard input
        value: String,
        /// Only if the key has no value
        #[arg(long, conflicts_with = "if_revision")]
        if_absent: bool,
        /// Only if the present value was written at this revision
        #[arg(long, value_name = "REVISION")]
        if_revision: Option<u64>,
    },
    /// Delete a value
    #[command(after_help = "Examples:\n  clusterkit data delete config/limit")]
    Delete {
        /// The key
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
    },
    /// List the keys
    #[command(after_help = "Examples:\n  clusterkit data list\n  clusterkit data list --prefix config/")]
    List {
        /// Only keys that begin so
        #[arg(long, default_value = "")]
        prefix: String,
    },
}

const BENCH_HELP: &str = "\
Writes go to keys below clusterkit-bench/ of the replicated store and are deleted again.

Examples:
  clusterkit bench
  clusterkit bench --clients 1,16,64 --duration 5s --value-size 1000
  clusterkit bench --spread --json          over all nodes, for a program";

/// `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// How many clients at once, in turn
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) clients: Vec<u16>,

    /// How long each measurement takes
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "DURATION")]
    pub(crate) duration: Duration,

    /// Bytes in each value that is written
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000), value_name = "BYTES")]
    pub(crate) value_size: u32,

    /// Spread the clients over all nodes instead of asking --addr alone
    #[arg(long)]
    pub(crate) spread: bool,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  clusterkit completions bash > ~/.local/share/bash-completion/completions/clusterkit
  clusterkit completions zsh > \"${fpath[1]}/_clusterkit\"
  clusterkit completions fish > ~/.config/fish/completions/clusterkit.fish";

fn duration(text: &str) -> Result<Duration, String> {
    match clusterkit::parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write it like 5s, 500ms or 1m30s".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command as Clap, CommandFactory};

    use super::*;

    /// Every command with its full name: `data set`.
    fn commands(command: &Clap, name: &str, all: &mut Vec<(String, Clap)>) {
        all.push((name.to_string(), command.clone()));
        for sub in command.get_subcommands() {
            commands(sub, &format!("{name} {}", sub.get_name()), all);
        }
    }

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_examples_of_that_command_and_fits() {
        let mut all = Vec::new();
        commands(&Cli::command(), "clusterkit", &mut all);
        assert!(all.len() >= 16, "{} commands", all.len());
        for (name, mut command) in all {
            let help = command.render_long_help().to_string();
            let (_, examples) = help
                .split_once("Examples:")
                .unwrap_or_else(|| panic!("{name} has no examples"));
            assert!(
                examples.contains(&name),
                "the examples of {name} do not show it:{examples}"
            );
            for example in examples.lines() {
                assert!(example.chars().count() <= 100, "too wide: {example:?}");
            }
        }
    }

    /// The lines under `Examples:` must be understood by the parser that prints them.
    #[test]
    fn every_example_parses() {
        let mut all = Vec::new();
        commands(&Cli::command(), "clusterkit", &mut all);
        let mut tried = 0;
        for (_, command) in all {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let (_, examples) = help.split_once("Examples:").unwrap();
            for line in examples
                .lines()
                .filter_map(|line| line.find("clusterkit").map(|at| &line[at..]))
            {
                let plain = line
                    .split(['|', '<', '>'])
                    .next()
                    .unwrap()
                    .split("   ")
                    .next()
                    .unwrap();
                parse(plain.trim()).unwrap_or_else(|error| panic!("{plain:?}: {error}"));
                tried += 1;
            }
        }
        assert!(tried > 30, "only {tried} examples found");
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        for line in [
            "clusterkit --addr h:1 --json nodes",
            "clusterkit nodes --addr h:1 --json",
        ] {
            let global = parse(line).unwrap().global;
            assert_eq!((global.addr.as_str(), global.json), ("h:1", true));
        }
        assert_eq!(
            parse("clusterkit status --timeout 250ms").unwrap().global.timeout,
            Duration::from_millis(250)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "clusterkit",
            "clusterkit frobnicate",
            "clusterkit status --timeout 0",
            "clusterkit status --timeout soon",
            "clusterkit demo --nodes 0",
            "clusterkit demo --partitions 65537",
            "clusterkit partitions --state fine",
            "clusterkit remove",
            "clusterkit promote",
            "clusterkit maintenance",
            "clusterkit rebalance --status --dry-run",
            "clusterkit health --ready --settled",
            "clusterkit data set k",
            "clusterkit data set k v --if-absent --if-revision 3",
            "clusterkit bench --clients 0",
            "clusterkit completions tcsh",
            "clusterkit serve --node-idd x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_demo_has_the_documented_defaults() {
        let Command::Demo(args) = parse("clusterkit demo").unwrap().command else {
            panic!("not the demo");
        };
        assert_eq!(
            (args.nodes, args.partitions, args.rf, args.keep),
            (10, 64, 3, false)
        );
        assert_eq!(args.keys, None);
    }
}
