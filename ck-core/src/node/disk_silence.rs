//! Detects a disk that hangs instead of failing, so that it shows in the node's health and no other node has to wait
//! for it.
//!
//! A write that does not return reports no error: a controller resets, storage behind a network is unreachable, a file
//! system was frozen. The write may go on after seconds or never. A leader with such a disk would go on committing,
//! because the other voters have what it sends. But it keeps in memory everything that its own disk has not taken, and
//! whatever needs that disk waits. So the leader hands leadership over. A follower is shown as degraded.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::env::{self, Instant};
use crate::model::NodeHealthState;

/// How often the disk is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A disk that has not answered for this long hangs; or for [`HANGS_AFTER_ELECTIONS`] times the longest election
/// timeout, where that is longer. Busy disks take hundreds of milliseconds at times.
const HANGS_AFTER: Duration = Duration::from_secs(1);
const HANGS_AFTER_ELECTIONS: u32 = 3;
/// The shortest time between the beginnings of two attempts to hand leadership over.
const HAND_OVER_INTERVAL: Duration = Duration::from_secs(2);

impl Node {
    /// How long the disk has not answered, where that is so long that the disk hangs.
    pub(crate) fn disk_silence(&self) -> Option<Duration> {
        let silence = self.member.get()?.raft.disk_silence()?;
        let election = self.options.timing.values().election_max;
        let bound = HANGS_AFTER.max(election * HANGS_AFTER_ELECTIONS);
        (silence >= bound).then_some(silence)
    }

    /// The same as text for people.
    pub(super) fn disk_unhealthy_reason(&self) -> Option<String> {
        let silence = self.disk_silence()?;
        Some(format!(
            "the disk of data_dir {} has not answered for {}.{} s",
            self.dir.display(),
            silence.as_secs(),
            silence.subsec_millis() / 100
        ))
    }

    /// The health that this node reports: that of its application, but no better than degraded while the disk hangs.
    pub(super) fn present_health(&self) -> (NodeHealthState, String) {
        let said = self.own_health().clone();
        match said.0 {
            // The reason does not say for how long, because every heartbeat would then report a change.
            NodeHealthState::Healthy if self.disk_silence().is_some() => (
                NodeHealthState::Degraded,
                "the disk of its data_dir does not answer".to_owned(),
            ),
            _ => said,
        }
    }

    /// Watches the disk for as long as the node runs.
    pub(super) async fn watch_disk(self: Arc<Self>) {
        let mut hung_since = None;
        let mut not_before = Instant::now();
        loop {
            env::sleep(CHECK_INTERVAL).await;
            let now = Instant::now();
            match (self.disk_silence(), hung_since) {
                (Some(silence), None) => {
                    hung_since = Some(now - silence);
                    if let Some(complaint) = self.disk_unhealthy_reason() {
                        self.logger.warn(format_args!("{complaint}"));
                    }
                    self.own_health_changed.notify();
                }
                (None, Some(since)) => {
                    hung_since = None;
                    self.logger.info(format_args!(
                        "the disk of data_dir {} answers again; it did not for about {:.1?}",
                        self.dir.display(),
                        now.since(since)
                    ));
                    self.own_health_changed.notify();
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
            let leads = self
                .member
                .get()
                .is_some_and(|member| member.leadership.is_leader());
            if hung_since.is_some() && leads && now >= not_before {
                not_before = now + HAND_OVER_INTERVAL;
                match self.step_down_as_leader(None, None).await {
                    Ok(_) => self.logger.warn(format_args!(
                        "this node handed leadership over, because its disk does not answer"
                    )),
                    // The attempt is repeated later. Where no other voter can lead, this node keeps leading.
                    Err(error) => self.logger.warn(format_args!(
                        "the disk does not answer, and leadership cannot be handed over: {error}"
                    )),
                }
            }
        }
    }
}
