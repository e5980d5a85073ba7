//! The listener of a node on the simulated network: peers only, no REST API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::net::Handler;
use crate::net::sim::SimNetwork;
use crate::node::{Close, Listen, Listening, Node};
use crate::options::Options;

/// The listener of one process of a node.
#[derive(Debug)]
pub(super) struct SimListen {
    network: SimNetwork,
    addr: String,
    /// The address that others dial: a name of `addr`, or `addr` itself.
    advertised: String,
    closings: Arc<AtomicUsize>,
}

impl SimListen {
    /// The listener of a node with these options. It counts in `closings` how often it is closed.
    pub(super) fn new(network: &SimNetwork, options: &Options, closings: Arc<AtomicUsize>) -> Self {
        let addr = options.http_addr.clone();
        SimListen {
            network: network.clone(),
            advertised: options.advertise_addr.clone().unwrap_or_else(|| addr.clone()),
            addr,
            closings,
        }
    }
}

#[derive(Debug)]
struct SimDoors {
    network: SimNetwork,
    addr: String,
    closings: Arc<AtomicUsize>,
}

impl Close for SimDoors {
    fn close(&self) -> BoxFuture<'_, ()> {
        self.closings.fetch_add(1, Ordering::SeqCst);
        async { self.network.unserve(&self.addr) }.boxed()
    }
}

impl Listen for SimListen {
    fn listen(&self, _: Arc<Node>, handler: Handler) -> BoxFuture<'_, Result<Listening>> {
        async move {
            self.network.serve(&self.addr, handler);
            let doors = SimDoors {
                network: self.network.clone(),
                addr: self.addr.clone(),
                closings: self.closings.clone(),
            };
            Ok(Listening {
                http_addr: self.advertised.clone(),
                peer_addr: self.advertised.clone(),
                close: Box::new(doors),
            })
        }
        .boxed()
    }
}
