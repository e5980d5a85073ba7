//! The task of a client: it finds a member that answers, follows it by long polls, and finds another when it fails.

use std::sync::Arc;
use std::time::Duration;

use super::addresses::{backoff, jittered};
use super::answer::shortened;
use super::member::{Member, Query};
use super::round::ask_around;
use super::shared::Shared;
use crate::env::{self, Instant};
use crate::error::Error;

/// The longest pause between two answers, however much one costs.
const MAX_UPDATE_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause after polls that were answered too early.
const MAX_EARLY_PAUSE: Duration = Duration::from_secs(1);
/// The shortest poll of a member that has lost contact with the leader.
const MIN_POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The task's own state.
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// The connection that is followed. It may be to a member that has lost contact with the leader, while there is no
    /// better one: as soon as a leader is there again, its revision rises.
    member: Option<Member>,
    /// Not polled before this moment.
    next_poll: Instant,
    /// Polls in a row that were answered early and brought nothing.
    early: u32,
    /// True when people have been told that nobody answers.
    is_outage_told: bool,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Follower {
            shared,
            member: None,
            next_poll: Instant::now(),
            early: 0,
            is_outage_told: false,
        }
    }

    /// Follows until the client is closed.
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        tokio::select! {
            biased;
            () = shared.closed() => {}
            () = self.follow() => {}
        }
        shared.note_followed(None);
    }

    async fn follow(&mut self) {
        loop {
            let seen = self.shared.answers_seen();
            if self.member.as_ref().is_none_or(|member| !member.is_leader_known) {
                self.look_for_better().await;
            }
            match self.member.take() {
                Some(member) => self.poll(member).await,
                None => {
                    // Never without a pause, whatever the addresses say of themselves.
                    let pause = self.shared.next_due(None).unwrap_or(MAX_EARLY_PAUSE);
                    self.shared
                        .pause(pause.max(self.shared.options.retry_min / 2), seen)
                        .await;
                }
            }
        }
    }

    /// Asks the addresses that are due, and takes a member that knows a leader, or else the best that there is.
    async fn look_for_better(&mut self) {
        let mut addrs = self.shared.candidates(false);
        if let Some(member) = &self.member {
            addrs.retain(|addr| *addr != member.addr);
        }
        if addrs.is_empty() {
            return;
        }
        let found = ask_around(&self.shared, addrs, Query::Now).await;
        if let Some(member) = found.led {
            self.adopt(member);
            return;
        }
        if self.member.is_none() {
            if !self.is_outage_told {
                self.is_outage_told = true;
                let error = found.error();
                self.shared
                    .logger
                    .warn(format_args!("no member answers that knows a leader: {error}"));
            }
            if let Some(member) = found.cut_off {
                self.adopt(member);
            }
        }
    }

    fn adopt(&mut self, member: Member) {
        let shared = &self.shared;
        shared.note_followed(Some((&member.addr, member.is_leader_known)));
        let what = match member.is_leader_known {
            true => "",
            false => ", which has lost contact with the leader",
        };
        let view = shared.view();
        shared.logger.info(format_args!(
            "follows the cluster {:?} (id {}) through {}{what}, at revision {}",
            shortened(&view.topology().config.cluster_name),
            shortened(&view.topology().cluster_id),
            member.addr,
            view.revision(),
        ));
        self.is_outage_told &= !member.is_leader_known;
        self.pace(member.cost, true, Duration::ZERO);
        self.member = Some(member);
    }

    /// One poll of the member that is followed. It is followed no longer where that fails.
    async fn poll(&mut self, mut member: Member) {
        env::sleep_until(self.next_poll).await;
        let timeout = match member.is_leader_known {
            true => self.shared.options.poll_timeout,
            // As soon as another address is due, that one is asked.
            false => {
                let next = self.shared.next_due(Some(&member.addr));
                let longest = self.shared.options.poll_timeout.max(MIN_POLL_TIMEOUT);
                next.unwrap_or(longest).clamp(MIN_POLL_TIMEOUT, longest)
            }
        };
        let (began, before) = (Instant::now(), member.revision);
        match member.poll(&self.shared, timeout).await {
            Ok(()) => {
                let is_early = began.elapsed() < timeout / 2;
                match (member.revision > before, is_early) {
                    (true, _) => self.pace(member.cost, true, Duration::ZERO),
                    (false, true) => {
                        let first = self.shared.options.retry_min;
                        let pause = backoff(first, MAX_EARLY_PAUSE.max(first), self.early);
                        self.early = self.early.saturating_add(1);
                        self.pace(member.cost, false, jittered(pause));
                    }
                    (false, false) => self.pace(member.cost, false, Duration::ZERO),
                }
                self.shared
                    .note_followed(Some((&member.addr, member.is_leader_known)));
                self.is_outage_told &= !member.is_leader_known;
                self.member = Some(member);
            }
            Err(error) => self.lose(&member, &error),
        }
    }

    fn lose(&self, member: &Member, error: &Error) {
        self.shared.note_followed(None);
        self.shared.note_failure(&member.addr, error);
        self.shared
            .logger
            .info(format_args!("no longer follows {}: {error}", member.addr));
    }

    /// Says when the next poll may begin: a cluster that changes all the time, or is so large that each answer is work,
    /// is not asked all the time.
    fn pace(&mut self, cost: Duration, is_new: bool, pause: Duration) {
        let between = match is_new {
            true => {
                self.early = 0;
                let proportional = cost.saturating_mul(2).min(MAX_UPDATE_PAUSE);
                proportional.max(self.shared.options.update_interval)
            }
            false => pause,
        };
        self.next_poll = Instant::now() + between;
    }
}
