//! `remove`, `maintenance`, and who leads: what an administrator orders.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use clusterkit::ErrorCode;
use serde_json::{Value, json};

use crate::api::Api;
use crate::args::{
    DemoteArgs, Global, MaintenanceCommand, PromoteArgs, RecoverArgs, RemoveArgs, StepDownArgs,
};
use crate::client::escape;
use crate::error::{CliError, Result};
use crate::output::{Out, Tone, printable};

/// How often it is looked again whether who took over leads.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the new leader itself has to answer, before others are asked about it.
const REACH: Duration = Duration::from_secs(1);

/// Removes a member, after asking where a human is there to answer.
pub(crate) fn remove(args: &RemoveArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    if !args.yes {
        let question = format!("Remove {} from the cluster for good?", args.node);
        confirm(&question, "removing a node for good")?;
    }
    let answer = api.remove(&args.node, args.force)?;
    if out.json {
        return out.json(&answer);
    }
    let removed = out.styles.paint(Tone::Good, &args.node);
    out.line(format!(
        "removed {removed}; its copies are made anew on the other nodes"
    ))
}

/// Accepts what a node has of a partition as its data.
pub(crate) fn recover(args: &RecoverArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    if !args.yes {
        let question = format!(
            "Take what {} has as the data of {}? What it missed is lost.",
            args.from, args.partition
        );
        confirm(&question, "accepting a copy")?;
    }
    let force = if args.force { "&force=true" } else { "" };
    let path = format!(
        "/partitions/{}/recover?from={}{force}",
        escape(&args.partition),
        escape(&args.from)
    );
    let answer = api.order("POST", &path)?;
    let line = format!(
        "{} has what {} begins anew with",
        out.styles.paint(Tone::Good, &args.from),
        args.partition
    );
    out.answer(&answer, &line)
}

/// Begins, ends or shows maintenance.
pub(crate) fn maintenance(command: &MaintenanceCommand, api: &mut Api, out: &mut Out) -> Result<()> {
    match command {
        MaintenanceCommand::On { reason } => {
            let path = match reason {
                Some(reason) => format!("/maintenance?reason={}", escape(reason)),
                None => "/maintenance".to_owned(),
            };
            let answer = api.order("POST", &path)?;
            out.answer(
                &answer,
                "no moves are planned from now on; primaries still fail over",
            )
        }
        MaintenanceCommand::Off => {
            let answer = api.order("DELETE", "/maintenance")?;
            out.answer(&answer, "moves are planned again")
        }
        MaintenanceCommand::Status => {
            let maintenance = api.rebalance_status()?.maintenance;
            if out.json {
                return out.json(&json!({ "on": maintenance.is_some(), "maintenance": maintenance }));
            }
            match maintenance {
                Some(maintenance) => {
                    let by = if maintenance.automatic {
                        "begun by the cluster itself"
                    } else {
                        "asked for"
                    };
                    let line = format!("on, {by}: {}", printable(&maintenance.reason));
                    out.line(out.styles.paint(Tone::Warn, &line))
                }
                None => out.line("off"),
            }
        }
    }
}

/// Has the leader give leadership up.
pub(crate) fn step_down(args: &StepDownArgs, global: &Global, out: &mut Out) -> Result<()> {
    hand_over(args.to.as_deref(), args.cooldown, global, out)
}

/// Has a node lead.
pub(crate) fn promote(args: &PromoteArgs, global: &Global, out: &mut Out) -> Result<()> {
    hand_over(Some(&args.node), None, global, out)
}

/// Has the leader give leadership up, and not lead again for a while.
pub(crate) fn demote(args: &DemoteArgs, global: &Global, out: &mut Out) -> Result<()> {
    hand_over(None, Some(args.cooldown), global, out)
}

fn hand_over(to: Option<&str>, cooldown: Option<Duration>, global: &Global, out: &mut Out) -> Result<()> {
    let mut api = Api::of(global)?;
    let target = to;
    let to = to.map(|node| format!("to={}", escape(node)));
    let cooldown = cooldown.map(|time| format!("cooldown={}", time.as_millis()));
    let query: Vec<String> = to.into_iter().chain(cooldown).collect();
    let path = if query.is_empty() {
        "/step-down".to_owned()
    } else {
        format!("/step-down?{}", query.join("&"))
    };
    let answer = api.order("POST", &path)?;
    let leader = answer.get("leader").and_then(Value::as_str).unwrap_or_default();
    match target {
        _ if leader.is_empty() => return Err(CliError::bad_answer("nobody is said to lead")),
        Some(target) if leader != target => return Err(does_not_lead(target, leader)),
        _ => {}
    }
    must_lead(leader, &mut api, global)?;
    let line = format!("{} leads", out.styles.paint(Tone::Good, leader));
    out.answer(&answer, &line)
}

/// Returns once `leader` itself says that it leads. Where it cannot be reached from here, what the asked node knows of it
/// has to do.
fn must_lead(leader: &str, api: &mut Api, global: &Global) -> Result<()> {
    let deadline = Instant::now() + global.timeout;
    let addr = api.cluster()?.node(leader).map(|node| node.ip.clone());
    let mut own = match addr {
        Some(addr) => Api::at(&addr, global.timeout.min(REACH), global).ok(),
        None => None,
    };
    loop {
        let health = own.as_mut().map(Api::health);
        let (leads, seen) = match health {
            Some(Ok(health)) => (health.health.is_leader && *health.health.node_id == *leader, None),
            // Not from here, or not ClusterKit: others are asked from now on.
            Some(Err(_)) | None => {
                own = None;
                match api.leader() {
                    Ok(info) => (*info.leader_id == *leader, Some(info.leader_id.to_string())),
                    Err(CliError::Failed { code, .. }) if code == ErrorCode::NoLeader.name() => (false, None),
                    Err(error) => return Err(error),
                }
            }
        };
        if leads {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(does_not_lead(leader, &seen.unwrap_or_default()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn does_not_lead(target: &str, leader: &str) -> CliError {
    let instead = match leader {
        "" => String::new(),
        leader if leader == target => String::new(),
        leader => format!(", but {leader}"),
    };
    CliError::failed(
        ErrorCode::Refused,
        format!(
            "{target} does not lead{instead}; the cluster was told to have it lead, see who does with `clusterkit leader`"
        ),
    )
}

/// Asks whether that is meant.
pub(super) fn confirm(question: &str, what: &str) -> Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let message = format!("{what} needs --yes where nobody can be asked");
        return Err(CliError::Usage(message));
    }
    let mut stderr = std::io::stderr();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(|error| CliError::io("standard error", &error))?;
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::io("standard input", &error))?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::failed(
            ErrorCode::Refused,
            "nothing was changed".to_owned(),
        )),
    }
}
