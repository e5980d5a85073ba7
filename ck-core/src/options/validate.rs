//! Checks that need more than one option, and the bounds of fields that code has set directly.

use super::duration::format_duration;
use super::spec::OptionDefault;
use super::{Options, table};
use crate::error::{Error, ErrorCode, Result};

impl Options {
    /// Checks every option against its bounds, and the options against each other. A start does this first.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] for the first problem: the message names the options, their values and what would
    /// be right.
    pub fn validate(&self) -> Result<()> {
        self.check_each()?;
        self.check_timing()?;
        self.check_leases()?;
        self.check_addresses()?;
        self.check_security()
    }

    fn check_security(&self) -> Result<()> {
        if self.cluster_secret.is_some() && self.cluster_secret_file.is_some() {
            return Err(contradiction(
                "cluster_secret and cluster_secret_file are both set; set one of them",
            ));
        }
        let tls = [
            ("tls.cert", &self.tls.cert),
            ("tls.key", &self.tls.key),
            ("tls.ca", &self.tls.ca),
        ];
        let (set, missing): (Vec<_>, Vec<_>) = tls.iter().partition(|(_, path)| path.is_some());
        if let (Some((set, _)), Some((missing, _))) = (set.first(), missing.first()) {
            return Err(contradiction(format!(
                "{set} is set and {missing} is not; tls.cert, tls.key and tls.ca go together"
            )));
        }
        if self.security_rollout && !self.is_secured() {
            return Err(contradiction(
                "security_rollout is true, and there is neither cluster_secret, cluster_secret_file nor tls.cert that could \
                 be rolled out",
            ));
        }
        if self.insecure && self.is_secured() {
            return Err(contradiction(
                "insecure is true, and there is a cluster_secret or tls.cert; leave insecure out, or set security_rollout \
                 while the members are given it one after the other",
            ));
        }
        Ok(())
    }

    /// True where whoever connects has to prove something: a secret or certificates are set.
    pub(crate) fn is_secured(&self) -> bool {
        self.cluster_secret.is_some() || self.cluster_secret_file.is_some() || self.tls.cert.is_some()
    }

    /// Checks a field that code has set as `set` would: its text form must read back as the same value.
    fn check_each(&self) -> Result<()> {
        for spec in table() {
            let text = (spec.access.get)(self);
            if text.is_empty() && spec.default == OptionDefault::Required {
                let message = format!("option {} is required: {}", spec.name, spec.kind.expected());
                return Err(Error::new(ErrorCode::InvalidOption, message));
            }
            let mut again = self.clone();
            (spec.access.set)(&mut again, &spec.kind, &text)
                .map_err(|problem| spec.invalid(spec.name, &text, &problem))?;
            if again != *self {
                let problem = format!(
                    "reads back as another value; it has to be {}",
                    spec.kind.expected()
                );
                return Err(spec.invalid(spec.name, &text, &problem));
            }
        }
        Ok(())
    }

    fn check_timing(&self) -> Result<()> {
        let timing = self.timing.values();
        let [heartbeat, min, max] =
            [timing.heartbeat, timing.election_min, timing.election_max].map(format_duration);
        if timing.heartbeat.saturating_mul(2) >= timing.election_min {
            return Err(contradiction(format!(
                "timing.heartbeat ({heartbeat}) must be less than half of timing.election_min ({min}), so that one \
                 lost heartbeat starts no election"
            )));
        }
        if timing.election_min >= timing.election_max {
            return Err(contradiction(format!(
                "timing.election_min ({min}) must be less than timing.election_max ({max}), so that voters do not \
                 all stand at once"
            )));
        }
        Ok(())
    }

    /// Options that are not set adapt to those that are ([`Options::effective_lease_ttl`] and others), so only values
    /// that were set, or the timing of elections, can contradict each other here.
    fn check_leases(&self) -> Result<()> {
        let lease = self.effective_lease_ttl();
        let failure = self.failure_timeout();
        let sync = self.effective_sync_interval();
        let timeout = self.effective_health_timeout();
        let [
            lease_text,
            failure_text,
            sync_text,
            floor_text,
            margin_text,
            timeout_text,
        ] = [
            lease,
            failure,
            sync,
            self.lease_ttl_floor(),
            self.lease_margin(),
            timeout,
        ]
        .map(format_duration);
        if self.lease_ttl.is_some() && sync.saturating_mul(3) > lease {
            return Err(contradiction(format!(
                "sync_interval ({sync_text}) must be at most a third of lease_ttl ({lease_text}), so that one lost \
                 renewal costs no lease"
            )));
        }
        if sync.saturating_mul(2) > failure {
            return Err(contradiction(format!(
                "sync_interval ({sync_text}) must be at most half of health_check.interval x \
                 health_check.failure_threshold ({failure_text}), so that one lost sync fails no node"
            )));
        }
        if lease < self.lease_ttl_floor() {
            let source = match self.lease_ttl {
                Some(_) => String::new(),
                None => format!(
                    ", three quarters of health_check.interval x health_check.failure_threshold, {failure_text},"
                ),
            };
            return Err(contradiction(format!(
                "lease_ttl ({lease_text}){source} must be at least 2 x timing.election_max + sync_interval \
                 ({floor_text}), so that a change of leader interrupts no primary; raise it, or take a quicker timing"
            )));
        }
        if failure <= lease.saturating_add(self.lease_margin()) {
            return Err(contradiction(format!(
                "health_check.interval x health_check.failure_threshold ({failure_text}) must exceed lease_ttl \
                 ({lease_text}) by more than a tenth ({margin_text}), or two nodes could be primary at once; raise \
                 health_check.interval, or lower sync_interval or lease_ttl"
            )));
        }
        if timeout > failure {
            return Err(contradiction(format!(
                "health_check.timeout ({timeout_text}) must be at most health_check.interval x \
                 health_check.failure_threshold ({failure_text})"
            )));
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<()> {
        let http = self.http_listen()?;
        if let Some(raft) = self.raft_listen()?
            && raft == http
            && raft.port() != 0
        {
            return Err(contradiction(format!(
                "raft_addr and http_addr are both {:?}; give raft_addr another port, or leave it out and peers share \
                 http_addr",
                self.http_addr
            )));
        }
        if let (Some(bootstrap), Some(expect)) = (self.bootstrap, self.bootstrap_expect) {
            return Err(contradiction(format!(
                "bootstrap is {bootstrap} and bootstrap_expect is {expect}; set one of them: bootstrap_expect on all nodes \
                 alike, or bootstrap on one node"
            )));
        }
        if let Some(expect) = self.bootstrap_expect.filter(|expect| *expect > 1)
            && self.join_addrs.is_empty()
        {
            return Err(contradiction(format!(
                "bootstrap_expect is {expect} and join_addrs is empty; the nodes find each other by join_addrs: give all of \
                 them the same list, this node's own address included"
            )));
        }
        // A node that may neither bootstrap a cluster nor join one, and has nothing on disk, can never start.
        if self.bootstrap == Some(false) && self.join_addrs.is_empty() && self.data_dir.is_empty() {
            return Err(contradiction(
                "bootstrap is false, join_addrs is empty and data_dir is empty (in memory): the node can belong to no \
                 cluster; give it join_addrs or let it bootstrap",
            ));
        }
        Ok(())
    }
}

fn contradiction(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidOption, message)
}
