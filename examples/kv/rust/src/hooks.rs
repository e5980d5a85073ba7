//! What ClusterKit's events start, and a look from time to time at what no event is about.

use std::sync::{Arc, Weak};
use std::time::Duration;

use clusterkit::model::PartitionChangeEvent;
use clusterkit::prelude::*;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::replication::Kv;

/// How often a server looks after copies that no event is about.
const TEND_PERIOD: Duration = Duration::from_millis(500);

/// Registers the hook. ClusterKit holds it, and it holds neither the server nor the node.
pub(crate) fn register(kv: &Arc<Kv>) -> clusterkit::Result<()> {
    let (weak, runtime) = (Arc::downgrade(kv), Handle::current());
    let events = EventFilter::only(EventType::PartitionChange)
        .and(EventType::NodeLeave)
        .and(EventType::NodeRejoin);
    let hook = Hook::from_async(move |event| {
        let handled = runtime.spawn(on_event(weak.clone(), event));
        async move { handled.await.map_err(|error| error.to_string())? }
    });
    kv.node.register_hook(events, hook).map(drop)
}

async fn on_event(kv: Weak<Kv>, event: Arc<Event>) -> Result<(), String> {
    let kv = kv.upgrade().ok_or("the server has stopped")?;
    match &event.kind {
        EventKind::PartitionChange(change) if change.node_id == *kv.node.my_node_id() => {
            // A node that is to stop waits for its hooks, and a copy may take long.
            let mut stopping = kv.stopping.subscribe();
            tokio::select! {
                done = kv.on_partition_change(change) => done,
                _ = stopping.wait_for(|stopping| *stopping) => Err("the server is about to stop".to_owned()),
            }
        }
        // Connections to where it was are of no use. Of this node's own return there is nothing to clear: a copy that is
        // made anew is compared with what is here, and what the primary does not have goes.
        EventKind::NodeLeave(leave) => {
            kv.peers.close(&leave.node.id);
            Ok(())
        }
        EventKind::NodeRejoin(rejoin) => {
            kv.peers.close(&rejoin.node.id);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Looks, until the server is gone, for what this node leads and has not taken over, and for copies that are not whole.
pub(crate) async fn tend(kv: Weak<Kv>) {
    loop {
        sleep(TEND_PERIOD).await;
        let Some(kv) = kv.upgrade() else {
            return;
        };
        for number in 0..kv.node.view().partition_count() {
            match kv.node.primary_epoch(number) {
                Ok(epoch) if kv.epoch_served(number).is_none() => kv.start_takeover(number, epoch),
                Ok(_) => {}
                Err(_) => kv.copy_unfinished(number).await,
            }
        }
    }
}

impl Kv {
    async fn on_partition_change(self: &Arc<Self>, change: &PartitionChangeEvent) -> Result<(), String> {
        let number = change.number;
        match change.change {
            // Success means that the data is here: a partition that nobody has is new.
            RoleChange::GainedReplica if change.copy_from_nodes.is_empty() => {
                let partition = self.partition(number);
                let _copying = partition.copying.lock().await;
                self.change(move |copies| copies.set_whole(number, true))
                    .await
                    .map(drop)
            }
            RoleChange::GainedReplica => self.copy(number, &change.copy_from_nodes).await,
            // Not waited for: clients' calls wait until it is done.
            RoleChange::GainedPrimary => {
                self.start_takeover(number, change.epoch);
                Ok(())
            }
            RoleChange::LostCopy => {
                let partition = self.partition(number);
                let _copying = partition.copying.lock().await;
                Ok(self.store.run(move |copies| copies.clear(number)).await?)
            }
            _ => Ok(()),
        }
    }
}
