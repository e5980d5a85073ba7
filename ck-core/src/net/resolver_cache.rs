//! A cache of names and the addresses that they resolve to, which keeps stale addresses for when the resolver fails.
//!
//! A resolver may fail or hang just when a connection is needed. So the last answer for each name is kept, and used while
//! the resolver has no newer one (as RFC 8767 does, "serve-stale"). The lookup goes on in the background: one for each
//! name, for all callers that wait. A new answer replaces the kept one, because an address may belong to another machine
//! by then.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};

/// Maximum number of names; a further one replaces the name that was used longest ago.
const MAX_NAMES: usize = 1024;
/// Maximum number of addresses kept for one name.
const MAX_RECORDS_PER_NAME: usize = 64;
/// How long an answer is used without a new lookup.
const RECORD_TTL: Duration = Duration::from_secs(1);
/// How long a caller waits for the resolver before it gets stale addresses, if there are any.
const STALE_ADDRESS_GRACE: Duration = Duration::from_millis(100);

/// Looks names up.
pub(super) trait Lookup<R>: Send + Sync + Debug + 'static {
    /// The addresses of a name.
    fn look_up(&self, name: String) -> BoxFuture<'static, Result<Vec<R>>>;
}

/// The names that were looked up, with their addresses.
#[derive(Debug)]
pub(super) struct ResolverCache<R> {
    resolver: Arc<dyn Lookup<R>>,
    /// How long a caller waits for the resolver if there are no stale addresses.
    resolve_timeout: Duration,
    names: Mutex<BTreeMap<String, Arc<CachedName<R>>>>,
}

#[derive(Debug)]
struct CachedName<R> {
    records: Mutex<CachedRecords<R>>,
    /// Notified when a lookup has ended.
    lookup_ended: ChangeNotifier,
}

#[derive(Debug)]
struct CachedRecords<R> {
    /// The last answer; the address that worked last comes first.
    records: Vec<R>,
    /// When the last answer came.
    resolved_at: Option<Instant>,
    /// When the present lookup began, while there is one.
    lookup_since: Option<Instant>,
    /// The error of the last lookup, if it failed.
    last_error: Option<Error>,
    last_used: Instant,
}

/// Addresses to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedRecords<R> {
    pub(super) records: Vec<R>,
    /// True for addresses of an earlier answer, which may belong to other machines by now.
    pub(super) stale: bool,
}

impl<R: Clone + PartialEq + Debug + Send + Sync + 'static> ResolverCache<R> {
    pub(super) fn new(resolver: Arc<dyn Lookup<R>>, resolve_timeout: Duration) -> Self {
        ResolverCache {
            resolver,
            resolve_timeout,
            names: Mutex::default(),
        }
    }

    /// The addresses of `name`: the resolver's answer, or the last one while the resolver has none.
    ///
    /// # Errors
    /// `UNREACHABLE` when there is neither.
    pub(super) async fn resolve(&self, name: &str) -> Result<ResolvedRecords<R>> {
        let cached = self.cached(name);
        let deadline = Instant::now() + self.resolve_timeout;
        loop {
            let seen = cached.lookup_ended.count();
            let wait = {
                let mut state = cached.records.lock();
                let now = Instant::now();
                state.last_used = now;
                if let Some(resolved_at) = state.resolved_at
                    && now.since(resolved_at) < RECORD_TTL
                    && !planted!("forget-addresses")
                {
                    return Ok(state.to_resolved(false));
                }
                let lookup_since = state.lookup_since;
                if lookup_since.is_none() {
                    state.lookup_since = Some(now);
                    let lookup = self.resolver.look_up(name.to_owned());
                    env::spawn(cached.clone().run_lookup(lookup));
                }
                let is_known = !state.records.is_empty() && !planted!("forget-addresses");
                match (is_known, lookup_since) {
                    // The last lookup failed, or the present one hangs: there is nothing to wait for.
                    (true, _) if state.last_error.is_some() => return Ok(state.to_resolved(true)),
                    (true, Some(since)) if now.since(since) >= STALE_ADDRESS_GRACE => {
                        return Ok(state.to_resolved(true));
                    }
                    (true, Some(since)) => STALE_ADDRESS_GRACE.saturating_sub(now.since(since)),
                    (true, None) => STALE_ADDRESS_GRACE,
                    (false, _) => deadline.since(now),
                }
            };
            if wait.is_zero() {
                return Err(unresolved(name, "the resolver did not answer in time"));
            }
            if env::timeout(wait, cached.lookup_ended.after(seen)).await.is_ok() {
                let state = cached.records.lock();
                return match &state.last_error {
                    None if !state.records.is_empty() => Ok(state.to_resolved(false)),
                    Some(_) if !state.records.is_empty() && !planted!("forget-addresses") => {
                        Ok(state.to_resolved(true))
                    }
                    Some(error) => Err(unresolved(name, error.message())),
                    None => Err(unresolved(name, NO_ADDRESS)),
                };
            }
        }
    }

    /// Whether `name` resolves to `record`, among others; `None` while the resolver does not answer.
    pub(super) async fn resolves_to(&self, name: &str, record: &R) -> Option<bool> {
        let found = self.resolve(name).await.ok().filter(|found| !found.stale)?;
        Some(found.records.contains(record))
    }

    /// Notes that a connection to `record` succeeded: it is tried first from now on.
    pub(super) fn report_success(&self, name: &str, record: &R) {
        let Some(cached) = self.names.lock().get(name).cloned() else {
            return;
        };
        move_to_front(&mut cached.records.lock().records, record);
    }

    fn cached(&self, name: &str) -> Arc<CachedName<R>> {
        let mut names = self.names.lock();
        if let Some(cached) = names.get(name) {
            return cached.clone();
        }
        if names.len() >= MAX_NAMES {
            let oldest = names
                .iter()
                .min_by_key(|(_, cached)| cached.records.lock().last_used);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                names.remove(&name);
            }
        }
        let cached = Arc::new(CachedName {
            records: Mutex::new(CachedRecords {
                records: Vec::new(),
                resolved_at: None,
                lookup_since: None,
                last_error: None,
                last_used: Instant::now(),
            }),
            lookup_ended: ChangeNotifier::default(),
        });
        names.insert(name.to_owned(), cached.clone());
        cached
    }
}

impl<R: Clone> CachedRecords<R> {
    fn to_resolved(&self, stale: bool) -> ResolvedRecords<R> {
        ResolvedRecords {
            records: self.records.clone(),
            stale,
        }
    }
}

impl<R: Clone + PartialEq> CachedName<R> {
    /// Runs one lookup, for all callers that wait.
    async fn run_lookup(self: Arc<Self>, lookup: BoxFuture<'static, Result<Vec<R>>>) {
        let answer = lookup.await;
        {
            let mut state = self.records.lock();
            state.lookup_since = None;
            match answer {
                Ok(mut records) if !records.is_empty() => {
                    records.truncate(MAX_RECORDS_PER_NAME);
                    // The address that worked last stays the first, if the name still has it.
                    if let Some(first) = state.records.first() {
                        move_to_front(&mut records, first);
                    }
                    state.records = records;
                    state.resolved_at = Some(Instant::now());
                    state.last_error = None;
                }
                // An answer without any address counts as a failed lookup: the stale addresses are kept.
                Ok(_) => state.last_error = Some(Error::new(ErrorCode::Unreachable, NO_ADDRESS)),
                Err(error) => state.last_error = Some(error),
            }
        }
        self.lookup_ended.notify();
    }
}

fn move_to_front<R: PartialEq>(records: &mut [R], record: &R) {
    if let Some(index) = records.iter().position(|known| known == record)
        && let Some(before) = records.get_mut(..=index)
    {
        before.rotate_right(1);
    }
}

const NO_ADDRESS: &str = "the name has no address";

fn unresolved(name: &str, why: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("{name}: {why}"))
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::env::runtime::simulate;

    /// Answers with `answer`; hangs while there is none.
    #[derive(Debug, Default)]
    struct ScriptedResolver {
        answer: Mutex<Option<Result<Vec<u8>>>>,
        lookups: AtomicUsize,
    }

    impl Lookup<u8> for ScriptedResolver {
        fn look_up(&self, _: String) -> BoxFuture<'static, Result<Vec<u8>>> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            match self.answer.lock().clone() {
                Some(answer) => Box::pin(std::future::ready(answer)),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    fn new_cache() -> (Arc<ScriptedResolver>, ResolverCache<u8>) {
        let resolver = Arc::new(ScriptedResolver::default());
        let cache = ResolverCache::new(resolver.clone(), Duration::from_secs(2));
        (resolver, cache)
    }

    fn down() -> Result<Vec<u8>> {
        Err(Error::new(
            ErrorCode::Unreachable,
            "no answer from the name server",
        ))
    }

    #[test]
    fn the_last_answer_is_used_while_the_resolver_fails() {
        simulate(1, used_while_the_resolver_fails());
    }

    async fn used_while_the_resolver_fails() {
        let (resolver, cache) = new_cache();
        *resolver.answer.lock() = Some(Ok(vec![1, 2]));
        assert_eq!(cache.resolve("a").await.unwrap().records, [1, 2]);
        cache.report_success("a", &2);
        *resolver.answer.lock() = Some(down());
        env::sleep(RECORD_TTL * 2).await;
        for _ in 0..3 {
            let found = cache.resolve("a").await.unwrap();
            assert_eq!((found.records, found.stale), (vec![2, 1], true));
        }
        // A name that was never resolved has no stale address.
        let error = cache.resolve("b").await.unwrap_err();
        assert!(error.message().contains("name server"), "{error}");
        // A new answer replaces the stale addresses.
        *resolver.answer.lock() = Some(Ok(vec![3]));
        cache.resolve("a").await.unwrap();
        env::sleep(Duration::from_millis(1)).await;
        let found = cache.resolve("a").await.unwrap();
        assert_eq!((found.records, found.stale), (vec![3], false));
    }

    #[test]
    fn a_hanging_resolver_does_not_delay_a_name_with_a_known_address() {
        simulate(1, known_name_is_not_delayed());
    }

    async fn known_name_is_not_delayed() {
        let (resolver, cache) = new_cache();
        *resolver.answer.lock() = Some(Ok(vec![1]));
        cache.resolve("a").await.unwrap();
        *resolver.answer.lock() = None;
        env::sleep(RECORD_TTL * 2).await;
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(cache.resolve("a").await.unwrap().records, [1]);
        }
        // Only the first call has waited, and there is no more than one lookup at a time.
        assert!(
            began.elapsed() <= STALE_ADDRESS_GRACE * 2,
            "it took {:?}",
            began.elapsed()
        );
        assert_eq!(resolver.lookups.load(Ordering::Relaxed), 2);
        let began = Instant::now();
        cache.resolve("b").await.unwrap_err();
        assert!(began.elapsed() <= Duration::from_secs(3));
    }
}
