//! `remove`, `maintenance`, and who leads: what an administrator orders.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;
use crate::args::{DemoteArgs, MaintenanceCommand, PromoteArgs, RemoveArgs, StepDownArgs};
use crate::client::escape;
use crate::error::{CliError, Result};
use crate::output::{Out, Tone};

/// Removes a member, after asking where a human is there to answer.
pub(crate) fn remove(args: &RemoveArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    if !args.yes {
        let question = format!("Remove {} from the cluster for good?", args.node);
        confirm(&question, "removing a node for good")?;
    }
    let answer = api.remove(&args.node)?;
    if out.json {
        return out.json(&answer);
    }
    let removed = out.styles.paint(Tone::Good, &args.node);
    out.line(format!(
        "removed {removed}; its copies are made anew on the other nodes"
    ))
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
                    let line = format!("on, {by}: {}", maintenance.reason);
                    out.line(out.styles.paint(Tone::Warn, &line))
                }
                None => out.line("off"),
            }
        }
    }
}

/// Has the leader give leadership up.
pub(crate) fn step_down(args: &StepDownArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    hand_over(args.to.as_deref(), args.cooldown, api, out)
}

/// Has a node lead.
pub(crate) fn promote(args: &PromoteArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    hand_over(Some(&args.node), None, api, out)
}

/// Has the leader give leadership up, and not lead again for a while.
pub(crate) fn demote(args: &DemoteArgs, api: &mut Api, out: &mut Out) -> Result<()> {
    hand_over(None, Some(args.cooldown), api, out)
}

fn hand_over(to: Option<&str>, cooldown: Option<Duration>, api: &mut Api, out: &mut Out) -> Result<()> {
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
    let line = format!("{} leads", out.styles.paint(Tone::Good, leader));
    out.answer(&answer, &line)
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
            ck_core::ErrorCode::Refused,
            "nothing was changed".to_owned(),
        )),
    }
}
