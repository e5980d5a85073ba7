//! A disk that hangs instead of failing: shown, and no reason for others to wait.
//!
//! A write that does not return says nothing: a controller that resets, storage over a network that is gone, a file system
//! that was frozen. It may go on after seconds or never. A leader with such a disk would go on committing, because the others
//! have what it sends; but it keeps everything that they have in memory, and whatever needs its own disk waits. So it hands
//! leadership over. A follower is shown as degraded.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::env::{self, Instant};
use crate::model::NodeHealthState;

/// How often it is looked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A disk that has not answered for so long hangs, or for as many of the longest election timeouts where that is more: disks
/// that are busy take hundreds of milliseconds at times.
const HANGS_AFTER: Duration = Duration::from_secs(1);
const HANGS_AFTER_ELECTIONS: u32 = 3;
/// The pause after an attempt to hand leadership over that came to nothing.
const HAND_OVER_INTERVAL: Duration = Duration::from_secs(2);

impl Node {
    /// For how long the disk has not answered, where that is so long that it hangs.
    pub(crate) fn disk_silence(&self) -> Option<Duration> {
        let silence = self.member.get()?.raft.disk_silence()?;
        let election = self.options.timing.values().election_max;
        let bound = HANGS_AFTER.max(election * HANGS_AFTER_ELECTIONS);
        (silence >= bound).then_some(silence)
    }

    /// The same for people.
    pub(super) fn disk_unhealthy_reason(&self) -> Option<String> {
        let silence = self.disk_silence()?;
        Some(format!(
            "the disk of data_dir {} has not answered for {}.{} s",
            self.dir.display(),
            silence.as_secs(),
            silence.subsec_millis() / 100
        ))
    }

    /// How this node is: as its application says, but not healthy while its disk hangs.
    pub(super) fn present_health(&self) -> (NodeHealthState, String) {
        let said = self.own_health().clone();
        match said.0 {
            // Without the time, which would be news with every sync.
            NodeHealthState::Healthy if self.disk_silence().is_some() => (
                NodeHealthState::Degraded,
                "the disk of its data_dir does not answer".to_owned(),
            ),
            _ => said,
        }
    }

    /// Watches the disk for as long as the node lives.
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
                    // It is tried again; where nobody else could lead it leads on.
                    Err(error) => self.logger.warn(format_args!(
                        "the disk does not answer, and leadership cannot be handed over: {error}"
                    )),
                }
            }
        }
    }
}
