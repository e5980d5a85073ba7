//! `health`: whether a node is alive, is ready, or is in a cluster in which nothing is under way.

use std::time::{Duration, Instant};

use clusterkit::ErrorCode;
use serde_json::{Value, json};

use super::secrets::own_token;
use crate::api::Api;
use crate::args::{Global, HealthArgs};
use crate::credentials::Credentials;
use crate::error::{CliError, Result};
use crate::layout::Layout;
use crate::output::{Out, plural};

/// How often it is asked again.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How much longer than the whole wait a token counts that is made for it.
const TOKEN_MARGIN: Duration = Duration::from_secs(300);

/// Asks until the answer is yes for long enough, or the time is over.
pub(crate) fn run(args: &HealthArgs, global: &Global, out: &mut Out) -> Result<()> {
    let hold = args.hold.unwrap_or_default();
    let wait = args.wait.unwrap_or_default().max(hold);
    let deadline = Instant::now() + wait;
    let mut api = api(args, global, wait)?;
    let mut since = None;
    loop {
        let failure = match look(args, &mut api) {
            Ok(answer) => {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() >= hold {
                    return out.answer(&answer, args.word());
                }
                refused("it has not been so for long enough")
            }
            Err(error) => {
                since = None;
                error
            }
        };
        if is_final(&failure) || Instant::now() >= deadline {
            return Err(failure);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// `/health` and `/ready` are for everybody. For what only readers may see a token is made where none was given, and the
/// environment has the secret, as it does beside a node.
fn api(args: &HealthArgs, global: &Global, wait: Duration) -> Result<Api> {
    if !args.settled || global.credentials.token.is_some() {
        return Api::of(global);
    }
    let token = own_token("health", wait + TOKEN_MARGIN)?;
    Api::showing(&Credentials { token }, global)
}

/// The answer, where it is yes; what is missing as an error, where it is no.
fn look(args: &HealthArgs, api: &mut Api) -> Result<Value> {
    if args.settled {
        return settled(api);
    }
    let path = if args.ready { "/ready" } else { "/health" };
    let (is_well, answer) = api.probe(path)?;
    if is_well {
        return Ok(answer);
    }
    let why = answer["message"].as_str().filter(|message| !message.is_empty());
    let why = why.map(|message| format!(": {message}")).unwrap_or_default();
    Err(refused(format!("the node is not {}{why}", args.word())))
}

fn settled(api: &mut Api) -> Result<Value> {
    let answer = api.cluster()?;
    if answer.stale {
        return Err(refused(format!("no leader is known, {}", answer.as_of())));
    }
    let layout = Layout::new(&answer.cluster);
    let (unsettled, partitions) = (layout.unsettled(), layout.partitions.len());
    if partitions == 0 {
        return Err(refused("there are no partitions yet"));
    }
    if unsettled > 0 {
        let what = plural(unsettled, "partition");
        return Err(refused(format!(
            "{what} of {partitions} without all copies, or on the move"
        )));
    }
    Ok(json!({ "settled": true, "partitions": partitions, "revision": answer.revision }))
}

/// True for what asking again does not change. A node that has left serves nobody, and nothing is waited for.
fn is_final(error: &CliError) -> bool {
    let lasting = [ErrorCode::Unauthenticated, ErrorCode::Removed];
    match error {
        CliError::Usage(_) => true,
        CliError::Failed { code, .. } => lasting.iter().any(|last| code == last.name()),
        _ => false,
    }
}

fn refused(message: impl Into<String>) -> CliError {
    CliError::failed(ErrorCode::Refused, message)
}
