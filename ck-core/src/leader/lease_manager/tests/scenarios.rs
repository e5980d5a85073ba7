//! Scenarios of leases as scripts (`testdata/leases`): what the leader grants, and what the members make of it.

use std::collections::BTreeMap;

use super::super::*;
use crate::env::testing::ManualClock;
use crate::membership::Lease;
use crate::scenarios::{duration, run_scripts};

type Output = Result<String, Box<dyn std::error::Error>>;

#[test]
fn scenarios() {
    run_scripts("leases", Scene::new);
}

/// What a script may say.
#[derive(goldenscript::Command)]
enum LeaseCommand {
    /// Time passes.
    #[command(name = "advance")]
    Advance { time: humantime::Duration },
    /// The settings of the cluster.
    #[command(name = "config")]
    Config {
        #[arg(key = "lease-ttl")]
        lease_ttl: humantime::Duration,
        #[arg(key = "failure-timeout")]
        failure_timeout: humantime::Duration,
    },
    /// A process of a member runs; it has applied the log up to this revision.
    #[command(name = "process")]
    Process {
        node: String,
        #[arg(key)]
        incarnation: u64,
        #[arg(key)]
        applied: u64,
    },
    /// The leader applies a change of members or partitions: leases name this revision from now on.
    #[command(name = "commit")]
    Commit { revision: u64 },
    /// A member applies the log up to this revision.
    #[command(name = "apply")]
    Apply { node: String, revision: u64 },

    /// The node leads from now on: the same one as before.
    #[command(name = "begin-term")]
    BeginTerm {
        #[arg(key)]
        epoch: u64,
    },
    /// The node leads no more, or not for now.
    #[command(name = "end-term")]
    EndTerm,
    /// Another node leads from now on, which knows of no lease.
    #[command(name = "new-leader")]
    NewLeader {
        #[arg(key)]
        epoch: u64,
    },
    /// The new leader heard of the leader before it as long ago as that.
    #[command(name = "previous-leader")]
    PreviousLeader {
        node: String,
        #[arg(key)]
        silent: humantime::Duration,
        /// The longest silence that counts.
        #[arg(key)]
        patience: humantime::Duration,
    },

    /// A member sends a heartbeat, which reaches the leader after `delay`; the answer grants a lease, unless it is lost.
    #[command(name = "heartbeat")]
    Heartbeat {
        node: String,
        #[arg(key)]
        delay: Option<humantime::Duration>,
        #[arg(key = "answer-lost", optional)]
        answer_lost: bool,
        /// Another process than the one that runs.
        #[arg(key)]
        incarnation: Option<u64>,
    },
    /// Prints what the member believes of its lease.
    #[command(name = "lease")]
    Lease { node: String },
    /// The member gives its leases back.
    #[command(name = "give-back")]
    GiveBack { node: String },
    /// The leader grants the member no lease until that is cancelled.
    #[command(name = "revoke")]
    Revoke {
        node: String,
        #[arg(key)]
        epoch: u64,
    },
    /// The change that the leases were revoked for did not happen.
    #[command(name = "cancel-revocation")]
    CancelRevocation { node: String },
    /// Whether the member may still act in a role that was released at a revision.
    #[command(name = "leased")]
    Leased {
        node: String,
        #[arg(key = "released-at")]
        released_at: u64,
    },
    /// The first revision that no lease of the member names: in roles given from there on it never acted.
    #[command(name = "unleased-from")]
    UnleasedFrom {
        node: String,
        #[arg(key)]
        epoch: u64,
    },
    /// The failure detector looks at the member.
    #[command(name = "try-expire")]
    TryExpire {
        node: String,
        #[arg(key)]
        epoch: u64,
    },
    /// The leader hears of the member in another way than by its heartbeat.
    #[command(name = "record-contact")]
    RecordContact { node: String },
    /// The leader itself was paused.
    #[command(name = "reset-contacts")]
    ResetContacts,
    /// The timers of the leader were late by so much.
    #[command(name = "discount-silence")]
    DiscountSilence { time: humantime::Duration },
}

/// A leader and members, on one clock.
struct Scene {
    clock: ManualClock,
    config: ClusterConfig,
    leader: LeaseManager,
    /// The last change of members or partitions that the leader has applied.
    revision: u64,
    members: BTreeMap<String, Member>,
}

/// A process of a member.
struct Member {
    incarnation: u64,
    applied: u64,
    lease: Lease,
}

impl goldenscript::Runner for Scene {
    type Command = LeaseCommand;

    fn run(&mut self, command: &LeaseCommand, _: &goldenscript::Context) -> Output {
        self.carry_out(command)
    }
}

impl Scene {
    fn new() -> Self {
        Scene {
            clock: ManualClock::new(),
            config: ClusterConfig::default(),
            leader: LeaseManager::default(),
            revision: 0,
            members: BTreeMap::new(),
        }
    }

    fn member(&mut self, node: &str) -> Result<&mut Member, String> {
        self.members
            .get_mut(node)
            .ok_or_else(|| format!("{node} does not run"))
    }

    fn incarnation(&mut self, node: &str) -> Result<u64, String> {
        self.member(node).map(|member| member.incarnation)
    }

    /// A moment, as the time from the beginning of the script.
    fn time(&self, moment: Instant) -> String {
        duration(self.clock.since_start(moment))
    }

    fn carry_out(&mut self, command: &LeaseCommand) -> Output {
        use LeaseCommand as C;
        let now = Instant::now();
        match command {
            C::Advance { time } => {
                self.clock.advance(**time);
                return Ok(format!("at {}", self.time(Instant::now())));
            }
            C::Config {
                lease_ttl,
                failure_timeout,
            } => {
                self.config.lease_ttl_ms = crate::model::whole_millis(**lease_ttl);
                self.config.failure_timeout_ms = crate::model::whole_millis(**failure_timeout);
            }
            C::Process {
                node,
                incarnation,
                applied,
            } => {
                let member = Member {
                    incarnation: *incarnation,
                    applied: *applied,
                    lease: Lease::default(),
                };
                self.members.insert(node.clone(), member);
            }
            C::Commit { revision } => self.revision = *revision,
            C::Apply { node, revision } => {
                let member = self.member(node)?;
                member.applied = *revision;
                member.lease.applied(*revision);
                return self.lease(node);
            }
            C::BeginTerm { epoch } => self.leader.begin_term(*epoch, self.revision),
            C::EndTerm => self.leader.end_term(),
            C::NewLeader { epoch } => {
                self.leader = LeaseManager::default();
                self.leader.begin_term(*epoch, self.revision);
            }
            C::PreviousLeader {
                node,
                silent,
                patience,
            } => {
                let incarnation = self.incarnation(node)?;
                let heard = now - **silent;
                self.leader
                    .seed_previous_leader(&node.as_str().into(), incarnation, heard, **patience);
            }
            C::Heartbeat {
                node,
                delay,
                answer_lost,
                incarnation,
            } => {
                return self.heartbeat(
                    node,
                    delay.map_or(Duration::ZERO, |delay| *delay),
                    *answer_lost,
                    *incarnation,
                );
            }
            C::Lease { node } => return self.lease(node),
            C::GiveBack { node } => {
                self.member(node)?.lease.give_back();
                return self.lease(node);
            }
            C::Revoke { node, epoch } => {
                let incarnation = self.incarnation(node)?;
                let ended = self
                    .leader
                    .revoke(*epoch, &node.as_str().into(), incarnation, &self.config);
                let ended = ended.ok_or("the node does not lead in this epoch")?;
                return Ok(format!(
                    "leader: {node} holds no lease from {} on",
                    self.time(ended)
                ));
            }
            C::CancelRevocation { node } => {
                let incarnation = self.incarnation(node)?;
                self.leader.cancel_revocation(node, incarnation);
            }
            C::Leased { node, released_at } => {
                let incarnation = self.incarnation(node)?;
                return Ok(
                    match self.leader.leased(node, incarnation, *released_at, &self.config) {
                        Leased::No => format!("leader: {node} does not act in it any more"),
                        Leased::Until(ends) => {
                            format!("leader: {node} may act in it until {}", self.time(ends))
                        }
                    },
                );
            }
            C::UnleasedFrom { node, epoch } => {
                let incarnation = self.incarnation(node)?;
                let from = self.leader.unleased_from(*epoch, node, incarnation);
                let from = from.ok_or("the leader does not know")?;
                return Ok(format!(
                    "leader: no lease of {node} names revision {from} or a later one"
                ));
            }
            C::TryExpire { node, epoch } => {
                let incarnation = self.incarnation(node)?;
                let expired =
                    self.leader
                        .try_expire(*epoch, &node.as_str().into(), incarnation, &self.config);
                return Ok(match expired {
                    Ok(()) => format!("leader: {node} is expired"),
                    Err(again) => format!(
                        "leader: {node} is not expired, look again at {}",
                        self.time(again)
                    ),
                });
            }
            C::RecordContact { node } => {
                let incarnation = self.incarnation(node)?;
                self.leader.record_contact(&node.as_str().into(), incarnation);
            }
            C::ResetContacts => self.leader.reset_contacts(),
            C::DiscountSilence { time } => self.leader.discount_silence(**time),
        }
        Ok(String::new())
    }

    fn heartbeat(&mut self, node: &str, delay: Duration, answer_lost: bool, of: Option<u64>) -> Output {
        let asked = Instant::now();
        self.clock.advance(delay);
        let (config, revision) = (self.config.clone(), self.revision);
        let member = self.member(node)?;
        let (incarnation, applied) = (of.unwrap_or(member.incarnation), member.applied);
        let granted = self
            .leader
            .grant(&node.into(), incarnation, applied, revision, &config);
        if !granted {
            return Ok(format!("leader: grants {node} no lease"));
        }
        let state = self.leader.state();
        let lease = state.members[node].leases.last().ok_or("no lease was recorded")?;
        let ends = self.time(lease.ends);
        let line = format!("leader: grants {node} a lease that names revision {revision}, over by {ends}\n");
        drop(state);
        if !answer_lost {
            // As a member does: from when it asked, and not from when it was answered.
            let member = self.member(node)?;
            member
                .lease
                .granted(asked, asked + config.lease_ttl(), revision, applied);
        }
        Ok(line + &self.lease(node)?)
    }

    fn lease(&mut self, node: &str) -> Output {
        let lease = &self.member(node)?.lease;
        if !lease.holds() {
            return Ok(format!("{node}: has no lease\n"));
        }
        let (until, names) = (lease.until(), lease.names());
        Ok(format!(
            "{node}: may act until {}, in roles given up to revision {names}\n",
            self.time(until)
        ))
    }
}
