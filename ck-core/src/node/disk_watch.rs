//! Detects a disk that hangs instead of failing, so that it shows in the node's health and no other node has to wait
//! for it.
//!
//! A write that does not return reports no error: a controller resets, storage behind a network is unreachable, a file
//! system was frozen. The write may go on after seconds or never. A leader with such a disk would go on committing,
//! because the other voters have what it sends. But it keeps in memory everything that its own disk has not taken, and
//! whatever needs that disk waits. So the leader hands leadership over. A follower is shown as degraded.

use std::sync::Arc;
use std::time::Duration;

use super::context::NodeContext;
use super::own_health::OwnHealth;
use crate::env::{self, Instant};

/// How often the disk is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The shortest time between the beginnings of two attempts to hand leadership over.
const HAND_OVER_INTERVAL: Duration = Duration::from_secs(2);

/// Watches the disk of the data directory.
pub(super) struct DiskWatch {
    pub(super) context: Arc<NodeContext>,
    pub(super) health: Arc<OwnHealth>,
}

impl DiskWatch {
    /// Watches the disk for as long as the node runs.
    pub(super) async fn run(self) {
        let context = &self.context;
        let mut hung_since = None;
        let mut not_before = Instant::now();
        loop {
            env::sleep(CHECK_INTERVAL).await;
            let now = Instant::now();
            match (context.disk_silence(), hung_since) {
                (Some(silence), None) => {
                    hung_since = Some(now - silence);
                    if let Some(complaint) = context.disk_unhealthy_reason() {
                        context.logger.warn(format_args!("{complaint}"));
                    }
                    self.health.changed().notify();
                }
                (None, Some(since)) => {
                    hung_since = None;
                    context.logger.info(format_args!(
                        "the disk of data_dir {} answers again; it did not for about {:.1?}",
                        context.data_dir.path.display(),
                        now.since(since)
                    ));
                    self.health.changed().notify();
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
            let leading = context.raft.get().filter(|parts| parts.leadership.is_leader());
            if let Some(parts) = leading.filter(|_| hung_since.is_some() && now >= not_before) {
                not_before = now + HAND_OVER_INTERVAL;
                match parts.leader.transfer.step_down(None, None).await {
                    Ok(_) => context.logger.warn(format_args!(
                        "this node handed leadership over, because its disk does not answer"
                    )),
                    // The attempt is repeated later. Where no other voter can lead, this node keeps leading.
                    Err(error) => context.logger.warn(format_args!(
                        "the disk does not answer, and leadership cannot be handed over: {error}"
                    )),
                }
            }
        }
    }
}
