//! The listener of a node of a test cluster.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::env::test_cluster::TestProcess;
use crate::error::Result;
use crate::net::Handler;
use crate::net::memory::MemoryNetwork;
use crate::node::{Close, Listen, Listening, Node};

/// Serves peers in memory, and nobody else.
#[derive(Debug)]
pub(super) struct MemoryListen {
    pub(super) network: MemoryNetwork,
    pub(super) addr: String,
    pub(super) process: TestProcess,
}

#[derive(Debug)]
struct MemoryDoor {
    network: MemoryNetwork,
    addr: String,
}

impl Close for MemoryDoor {
    fn close(&self) -> BoxFuture<'_, ()> {
        async { self.network.unserve(&self.addr) }.boxed()
    }
}

impl Listen for MemoryListen {
    fn listen(&self, _: Arc<Node>, handler: Handler) -> BoxFuture<'_, Result<Listening>> {
        async move {
            self.network.serve(&self.addr, handler, self.process.clone());
            let door = MemoryDoor {
                network: self.network.clone(),
                addr: self.addr.clone(),
            };
            Ok(Listening {
                http_addr: self.addr.clone(),
                peer_addr: self.addr.clone(),
                close: Box::new(door),
            })
        }
        .boxed()
    }
}
