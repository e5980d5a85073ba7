//! One round of asking: several addresses, one after the other, and side by side where they are slow.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::member::{Member, Query};
use super::shared::Shared;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode};

/// How long one address may take before the next is asked besides it: longer than an answer takes from another continent.
const HEDGE_DELAY: Duration = Duration::from_millis(250);
/// How much longer a round waits for the addresses that it has asked, once a member has answered that has lost contact with
/// the leader: an election may end meanwhile, and that member hears of it.
const CUT_OFF_GRACE: Duration = Duration::from_millis(500);
/// The most addresses that are asked at a time.
const MAX_AT_ONCE: usize = 16;
/// How many addresses an error names, each with what it said.
const MAX_NAMED: usize = 4;

/// What a round has found.
#[derive(Default)]
pub(super) struct Found {
    /// A member that knows a leader: the round has ended with it.
    pub(super) led: Option<Member>,
    /// The most recent of the members that answered and have lost contact with the leader.
    pub(super) cut_off: Option<Member>,
    /// What the other addresses said.
    errors: Vec<(String, Error)>,
}

impl Found {
    /// Why no member that knows a leader was found, with what each address said.
    pub(super) fn error(&self) -> Error {
        let mut text = Vec::new();
        for (addr, error) in self.errors.iter().take(MAX_NAMED) {
            text.push(format!("{addr}: {error}"));
        }
        if self.errors.len() > MAX_NAMED {
            text.push(format!("and {} more", self.errors.len() - MAX_NAMED));
        }
        if let Some(member) = &self.cut_off {
            text.push(format!("{}: it has lost contact with the leader", member.addr));
        }
        // What a process said says more than that none was reached.
        let codes = self.errors.iter().map(|(_, error)| error.code());
        let cut_off = self.cut_off.iter().map(|_| ErrorCode::NoLeader);
        let codes: Vec<ErrorCode> = cut_off.chain(codes).collect();
        let said = |code: &&ErrorCode| !matches!(code, ErrorCode::Unreachable | ErrorCode::Timeout);
        let code = codes.iter().find(said).or(codes.first());
        match code {
            Some(code) => Error::new(*code, text.join("; ")),
            None => Error::new(ErrorCode::Unreachable, "there is no address to ask"),
        }
    }
}

/// Asks `addrs` in their order until a member answers that knows a leader. The next one is asked when one has failed, and
/// besides the others when none has answered for a while, so that silent addresses keep nobody waiting for long. Every
/// answer of this cluster becomes the view if it is newer, also one that is not the answer of the round.
pub(super) async fn ask_around(shared: &Arc<Shared>, addrs: Vec<String>, query: Query) -> Found {
    let mut waiting = addrs.into_iter();
    let mut running = FuturesUnordered::new();
    let mut is_exhausted = false;
    let mut found = Found::default();
    let mut grace_end = None;
    loop {
        if running.len() < MAX_AT_ONCE {
            match waiting.next() {
                Some(addr) => running.push(async move {
                    let asked = Member::ask(shared, addr.clone(), query).await;
                    (addr, asked)
                }),
                None => is_exhausted = true,
            }
        }
        let grace_left = grace_end.map_or(Duration::ZERO, |end: Instant| end.since(Instant::now()));
        tokio::select! {
            biased;
            Some((addr, asked)) = running.next() => match asked {
                Ok(member) if member.is_leader_known => {
                    found.led = Some(member);
                    return found;
                }
                Ok(member) => {
                    let error = Error::new(ErrorCode::NoLeader, "it has lost contact with the leader");
                    shared.note_failure(&addr, &error);
                    let known = found.cut_off.as_ref().map_or(0, |known| known.revision);
                    if found.cut_off.is_none() || member.revision > known {
                        found.cut_off = Some(member);
                    }
                    grace_end.get_or_insert_with(|| Instant::now() + CUT_OFF_GRACE);
                }
                Err(error) => {
                    if query.blames(&error) {
                        shared.note_failure(&addr, &error);
                    }
                    found.errors.push((addr, error));
                }
            },
            () = env::sleep(HEDGE_DELAY), if !is_exhausted => {}
            () = env::sleep(grace_left), if is_exhausted && !running.is_empty() && grace_end.is_some() => {
                return found;
            }
            else => return found,
        }
    }
}
