//! Names on the simulated network.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Resolver, Shared};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::names::Lookup;

/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(1);

/// Asks the network's resolver.
pub(super) struct SimLookup {
    pub(super) network: Arc<Shared>,
}

impl std::fmt::Debug for SimLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimLookup").finish_non_exhaustive()
    }
}

impl Lookup<String> for SimLookup {
    fn look_up(&self, name: String) -> BoxFuture<'static, Result<Vec<String>>> {
        let network = self.network.clone();
        async move {
            env::sleep(ANSWER).await;
            let (resolver, found) = {
                let world = network.world.lock();
                (world.resolver, world.names.get(&name).cloned())
            };
            let failed = |why: &str| Error::new(ErrorCode::Unreachable, why.to_owned());
            match resolver {
                Resolver::Answers => found
                    .map(|address| vec![address])
                    .ok_or_else(|| failed("there is no such name")),
                Resolver::Fails => Err(failed("no answer from the name server")),
                Resolver::Hangs => {
                    env::sleep(HANG).await;
                    Err(failed("no answer from the name server"))
                }
            }
        }
        .boxed()
    }
}

/// How long one that hangs takes until it gives up.
const HANG: Duration = Duration::from_secs(30);
