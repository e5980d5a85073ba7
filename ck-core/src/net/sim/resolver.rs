//! Lookups of names on the simulated network.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{ResolverMode, SimNetworkInner};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::resolver_cache::Lookup;

/// How long a lookup takes.
const LOOKUP_DELAY: Duration = Duration::from_millis(1);
/// How long a hanging lookup takes until it fails.
const HUNG_LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// Looks names up in the simulated network.
pub(super) struct SimLookup {
    pub(super) network: Arc<SimNetworkInner>,
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
            env::sleep(LOOKUP_DELAY).await;
            let (resolver, found) = {
                let state = network.state.lock();
                (state.resolver, state.names.get(&name).cloned())
            };
            let failed = |why: &str| Error::new(ErrorCode::Unreachable, why.to_owned());
            match resolver {
                ResolverMode::Answers => found
                    .map(|address| vec![address])
                    .ok_or_else(|| failed("there is no such name")),
                ResolverMode::Fails => Err(failed("no answer from the name server")),
                ResolverMode::Hangs => {
                    env::sleep(HUNG_LOOKUP_TIMEOUT).await;
                    Err(failed("no answer from the name server"))
                }
            }
        }
        .boxed()
    }
}
