//! Every connection of one transport: one per address and lane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::Lane;
use super::link::{Dial, Link};
use crate::env;
use crate::env::runtime::Home;
use crate::error::{Error, ErrorCode, Result};

/// Addresses to remember before those without a connection are forgotten. Members are few; seeds, pods that
/// moved and typing errors come and go.
const MAX_ADDRESSES: usize = 1024;

/// Calls over connections that are kept.
///
/// Connections are dialled when first needed, in the background: a call that is given up does not stop a
/// dial that others, or its own retry, will use.
#[derive(Debug)]
pub(super) struct Pool {
    dialler: Arc<dyn Dial>,
    home: Home,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    addresses: BTreeMap<String, Address>,
    closed: bool,
}

/// The links to one address, one per lane, in the order of [`Lane::ALL`].
type Address = [Arc<Link>; 4];

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.addresses.keys()).finish()
    }
}

impl Pool {
    pub(super) fn new(dialler: Arc<dyn Dial>) -> Self {
        Pool {
            dialler,
            home: Home::here(),
            links: Mutex::default(),
        }
    }

    /// How many connections stand at this moment.
    pub(super) fn connections(&self) -> usize {
        let pool = self.links.lock();
        let links = pool.addresses.values().flatten();
        links.filter(|link| link.is_connected()).count()
    }

    fn link(&self, addr: &str, lane: Lane) -> Result<Arc<Link>> {
        let mut pool = self.links.lock();
        if pool.closed {
            return Err(stopped());
        }
        if let Some(address) = pool.addresses.get(addr) {
            return Ok(address[lane as usize].clone());
        }
        if pool.addresses.len() >= MAX_ADDRESSES {
            pool.addresses
                .retain(|_, address| address.iter().any(|link| link.is_connected()));
        }
        let address = Lane::ALL.map(|lane| Arc::new(Link::new(addr, lane, self.home.clone())));
        let link = address[lane as usize].clone();
        pool.addresses.insert(addr.to_owned(), address);
        Ok(link)
    }

    /// A connection for calls: [`Transport::reach`](super::Transport::reach).
    pub(super) fn reach(&self, addr: &str, lane: Lane, timeout: Duration) -> BoxFuture<'_, Result<()>> {
        let link = match self.link(addr, lane) {
            Ok(link) => link,
            Err(error) => return std::future::ready(Err(error.unsent())).boxed(),
        };
        let reach = async move {
            match env::timeout(timeout, link.connection(&self.dialler)).await {
                Ok(connection) => connection.map(drop).map_err(Error::unsent),
                Err(_) => {
                    let message = format!("{}: no connection within {timeout:?}", link.hint);
                    Err(Error::new(ErrorCode::Timeout, message).unsent())
                }
            }
        };
        reach.boxed()
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
        let link = match fits.and_then(|()| self.link(addr, lane)) {
            Ok(link) => link,
            Err(error) => return std::future::ready(Err(error.unsent())).boxed(),
        };
        let call = async move {
            let mut sent = false;
            let asking = async {
                let connection = link.connection(&self.dialler).await.map_err(Error::unsent)?;
                #[cfg(feature = "sim")]
                let shown = (lane == Lane::Request).then(|| request.clone());
                let note = || {
                    sent = true;
                    #[cfg(feature = "sim")]
                    shown.iter().for_each(|request| super::sim::show_sent(request));
                };
                connection.call(request, note).await
            };
            let outcome = env::timeout(timeout, asking).await;
            match outcome {
                Ok(result) => result.map_err(|error| error.context(&link.hint)),
                Err(_) => {
                    let message = format!("{}: no answer within {timeout:?}", link.hint);
                    let error = Error::new(ErrorCode::Timeout, message);
                    Err(if sent { error } else { error.unsent() })
                }
            }
        };
        call.boxed()
    }

    /// Closes every connection, and makes no more.
    pub(super) fn close(&self) {
        let addresses = {
            let mut pool = self.links.lock();
            pool.closed = true;
            std::mem::take(&mut pool.addresses)
        };
        for link in addresses.values().flatten() {
            link.close();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

pub(super) fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the peer network is closed")
}
