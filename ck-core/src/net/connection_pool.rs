//! The connections of one transport: one per address and lane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::Lane;
use super::pool_slot::{Dial, PoolSlot};
use crate::env;
use crate::env::runtime::HomeRuntime;
use crate::error::{Error, ErrorCode, Result};

/// Number of addresses at which those without a connection are removed. Members are few, but seed addresses, former
/// addresses of pods, and typing errors accumulate.
const MAX_ADDRESSES: usize = 1024;

/// Keeps connections and makes calls over them.
///
/// Connections are dialled when first needed, in the background: a call that is given up does not stop a
/// dial that other calls, or its own retry, will use.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    dialler: Arc<dyn Dial>,
    home: HomeRuntime,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    addresses: BTreeMap<String, AddressSlots>,
    closed: bool,
}

/// The slots of one address, one per lane, in the order of [`Lane::ALL`].
type AddressSlots = [Arc<PoolSlot>; 4];

impl std::fmt::Debug for PoolState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.addresses.keys()).finish()
    }
}

impl ConnectionPool {
    pub(super) fn new(dialler: Arc<dyn Dial>) -> Self {
        ConnectionPool {
            dialler,
            home: HomeRuntime::current(),
            state: Mutex::default(),
        }
    }

    /// Number of open connections.
    pub(super) fn connections(&self) -> usize {
        let pool = self.state.lock();
        let slots = pool.addresses.values().flatten();
        slots.filter(|slot| slot.is_connected()).count()
    }

    fn slot(&self, addr: &str, lane: Lane) -> Result<Arc<PoolSlot>> {
        let mut pool = self.state.lock();
        if pool.closed {
            return Err(stopped());
        }
        if let Some(slots) = pool.addresses.get(addr) {
            return Ok(slots[lane as usize].clone());
        }
        if pool.addresses.len() >= MAX_ADDRESSES {
            pool.addresses
                .retain(|_, slots| slots.iter().any(|slot| slot.is_connected()));
        }
        let slots = Lane::ALL.map(|lane| Arc::new(PoolSlot::new(addr, lane, self.home.clone())));
        let slot = slots[lane as usize].clone();
        pool.addresses.insert(addr.to_owned(), slots);
        Ok(slot)
    }

    /// Makes a connection for later calls: [`Transport::connect`](super::Transport::connect).
    pub(super) fn connect(&self, addr: &str, lane: Lane, timeout: Duration) -> BoxFuture<'_, Result<()>> {
        let slot = match self.slot(addr, lane) {
            Ok(link) => link,
            Err(error) => return std::future::ready(Err(error.unsent())).boxed(),
        };
        let connect = async move {
            match env::timeout(timeout, slot.connection(&self.dialler)).await {
                Ok(connection) => connection.map(drop).map_err(Error::unsent),
                Err(_) => {
                    let message = format!("{}: no connection within {timeout:?}", slot.label);
                    Err(Error::new(ErrorCode::Timeout, message).unsent())
                }
            }
        };
        connect.boxed()
    }

    /// One call: [`Transport::call`](super::Transport::call).
    pub(super) fn call(
        &self,
        addr: &str,
        lane: Lane,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes>> {
        let fits = self.dialler.limits().check_request(&request);
        let slot = match fits.and_then(|()| self.slot(addr, lane)) {
            Ok(link) => link,
            Err(error) => return std::future::ready(Err(error.unsent())).boxed(),
        };
        let call = async move {
            let mut sent = false;
            let calling = async {
                let connection = slot.connection(&self.dialler).await.map_err(Error::unsent)?;
                #[cfg(feature = "sim")]
                let observed = (lane == Lane::Request).then(|| request.clone());
                let on_sent = || {
                    sent = true;
                    #[cfg(feature = "sim")]
                    observed
                        .iter()
                        .for_each(|request| super::sim::report_sent(request));
                };
                connection.call(request, on_sent).await
            };
            let outcome = env::timeout(timeout, calling).await;
            match outcome {
                Ok(result) => result.map_err(|error| error.context(&slot.label)),
                Err(_) => {
                    let message = format!("{}: no answer within {timeout:?}", slot.label);
                    let error = Error::new(ErrorCode::Timeout, message);
                    Err(if sent { error } else { error.unsent() })
                }
            }
        };
        call.boxed()
    }

    /// Closes every connection. Later calls fail.
    pub(super) fn close(&self) {
        let addresses = {
            let mut pool = self.state.lock();
            pool.closed = true;
            std::mem::take(&mut pool.addresses)
        };
        for slot in addresses.values().flatten() {
            slot.close();
        }
    }
}

impl Drop for ConnectionPool {
    fn drop(&mut self) {
        self.close();
    }
}

pub(super) fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the peer network is closed")
}
