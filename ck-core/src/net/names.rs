//! Names and the addresses behind them, remembered.
//!
//! A resolver may fail, or hang, just when a connection is needed. So what it said last is kept for each name, and used
//! where it has no answer now; the question goes on in the background, one for each name, however many wait for it.
//! What it says now wins over what is remembered: an address may belong to another pod by then.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};

/// Names to remember before the one that was used longest ago is forgotten.
const MAX_NAMES: usize = 1024;
/// How many addresses of one name are kept.
const MAX_RECORDS: usize = 64;
/// What the resolver said so lately is not asked for again.
const FRESH: Duration = Duration::from_secs(1);
/// How long a resolver that has answered before is waited for, where there is something to fall back on.
const GRACE: Duration = Duration::from_millis(100);

/// Asks a resolver.
pub(super) trait Lookup<R>: Send + Sync + Debug + 'static {
    /// The addresses behind a name.
    fn look_up(&self, name: String) -> BoxFuture<'static, Result<Vec<R>>>;
}

/// What is known of names.
#[derive(Debug)]
pub(super) struct Names<R> {
    resolver: Arc<dyn Lookup<R>>,
    /// How long a resolver is waited for where nothing is remembered.
    patience: Duration,
    entries: Mutex<BTreeMap<String, Arc<Entry<R>>>>,
}

#[derive(Debug)]
struct Entry<R> {
    state: Mutex<State<R>>,
    /// A lookup has ended.
    ended: ChangeNotifier,
}

#[derive(Debug)]
struct State<R> {
    /// What was said last; the address that worked last comes first.
    records: Vec<R>,
    /// When that was said.
    said: Option<Instant>,
    /// Since when the resolver has been asked, while it is.
    asked: Option<Instant>,
    /// Why the last question had no answer.
    failure: Option<Error>,
    used: Instant,
}

/// Addresses to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records<R> {
    pub(super) records: Vec<R>,
    /// The resolver has not said so now: they may belong to somebody else.
    pub(super) remembered: bool,
}

impl<R: Clone + PartialEq + Debug + Send + Sync + 'static> Names<R> {
    pub(super) fn new(resolver: Arc<dyn Lookup<R>>, patience: Duration) -> Self {
        Names {
            resolver,
            patience,
            entries: Mutex::default(),
        }
    }

    /// The addresses behind `name`: what the resolver says, or what it said last where it has no answer now.
    ///
    /// # Errors
    /// `UNREACHABLE` where nothing is known.
    pub(super) async fn resolve(&self, name: &str) -> Result<Records<R>> {
        let entry = self.entry(name);
        let deadline = Instant::now() + self.patience;
        loop {
            let ended = entry.ended.count();
            let wait = {
                let mut state = entry.state.lock();
                let now = Instant::now();
                state.used = now;
                if let Some(said) = state.said
                    && now.since(said) < FRESH
                    && !planted!("forget-addresses")
                {
                    return Ok(state.records(false));
                }
                let asked = state.asked;
                if asked.is_none() {
                    state.asked = Some(now);
                    env::spawn(entry.clone().ask(self.resolver.look_up(name.to_owned())));
                }
                let known = !state.records.is_empty() && !planted!("forget-addresses");
                match (known, asked) {
                    // It failed a moment ago, or it hangs: there is nothing to wait for.
                    (true, _) if state.failure.is_some() => return Ok(state.records(true)),
                    (true, Some(since)) if now.since(since) >= GRACE => return Ok(state.records(true)),
                    (true, Some(since)) => GRACE.saturating_sub(now.since(since)),
                    (true, None) => GRACE,
                    (false, _) => deadline.since(now),
                }
            };
            if wait.is_zero() {
                return Err(unresolved(name, "the name is not resolved in time"));
            }
            if env::timeout(wait, entry.ended.after(ended)).await.is_ok() {
                let state = entry.state.lock();
                return match &state.failure {
                    None if !state.records.is_empty() => Ok(state.records(false)),
                    Some(_) if !state.records.is_empty() && !planted!("forget-addresses") => {
                        Ok(state.records(true))
                    }
                    Some(error) => Err(unresolved(name, error.message())),
                    None => Err(unresolved(name, "it has no address")),
                };
            }
        }
    }

    /// Whether `record` is one of the addresses behind `name`; `None` while the resolver does not say.
    pub(super) async fn leads_to(&self, name: &str, record: &R) -> Option<bool> {
        let found = self.resolve(name).await.ok().filter(|found| !found.remembered)?;
        Some(found.records.contains(record))
    }

    /// Notes that `record` turned out to be right.
    pub(super) fn worked(&self, name: &str, record: &R) {
        let Some(entry) = self.entries.lock().get(name).cloned() else {
            return;
        };
        let mut state = entry.state.lock();
        if let Some(place) = state.records.iter().position(|known| known == record)
            && let Some(first) = state.records.get_mut(..=place)
        {
            first.rotate_right(1);
        }
    }

    fn entry(&self, name: &str) -> Arc<Entry<R>> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(name) {
            return entry.clone();
        }
        if entries.len() >= MAX_NAMES {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.state.lock().used);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                entries.remove(&name);
            }
        }
        let entry = Arc::new(Entry {
            state: Mutex::new(State {
                records: Vec::new(),
                said: None,
                asked: None,
                failure: None,
                used: Instant::now(),
            }),
            ended: ChangeNotifier::default(),
        });
        entries.insert(name.to_owned(), entry.clone());
        entry
    }
}

impl<R: Clone> State<R> {
    fn records(&self, remembered: bool) -> Records<R> {
        Records {
            records: self.records.clone(),
            remembered,
        }
    }
}

impl<R: Clone + PartialEq> Entry<R> {
    /// One question, for all who wait.
    async fn ask(self: Arc<Self>, question: BoxFuture<'static, Result<Vec<R>>>) {
        let answer = question.await;
        {
            let mut state = self.state.lock();
            state.asked = None;
            match answer {
                Ok(mut records) if !records.is_empty() => {
                    records.truncate(MAX_RECORDS);
                    // The one that worked last stays the first, while it is one.
                    if let Some(first) = state.records.first()
                        && let Some(place) = records.iter().position(|record| record == first)
                        && let Some(before) = records.get_mut(..=place)
                    {
                        before.rotate_right(1);
                    }
                    state.records = records;
                    state.said = Some(Instant::now());
                    state.failure = None;
                }
                // A name that has lost its addresses is taken for a resolver that does not know better.
                Ok(_) => state.failure = Some(unresolved_now("it has no address")),
                Err(error) => state.failure = Some(error),
            }
        }
        self.ended.notify();
    }
}

fn unresolved_now(why: &str) -> Error {
    Error::new(ErrorCode::Unreachable, why)
}

fn unresolved(name: &str, why: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("{name}: {why}"))
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::env::runtime::simulate;

    /// Answers what it is told to; hangs where that is nothing.
    #[derive(Debug, Default)]
    struct Script {
        answer: Mutex<Option<Result<Vec<u8>>>>,
        asked: AtomicUsize,
    }

    impl Lookup<u8> for Script {
        fn look_up(&self, _: String) -> BoxFuture<'static, Result<Vec<u8>>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.answer.lock().clone() {
                Some(answer) => Box::pin(std::future::ready(answer)),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    fn names() -> (Arc<Script>, Names<u8>) {
        let script = Arc::new(Script::default());
        let names = Names::new(script.clone(), Duration::from_secs(2));
        (script, names)
    }

    fn down() -> Result<Vec<u8>> {
        Err(Error::new(
            ErrorCode::Unreachable,
            "no answer from the name server",
        ))
    }

    #[test]
    fn what_was_said_last_is_used_while_the_resolver_fails() {
        simulate(1, used_while_the_resolver_fails());
    }

    async fn used_while_the_resolver_fails() {
        let (script, names) = names();
        *script.answer.lock() = Some(Ok(vec![1, 2]));
        assert_eq!(names.resolve("a").await.unwrap().records, [1, 2]);
        names.worked("a", &2);
        *script.answer.lock() = Some(down());
        env::sleep(FRESH * 2).await;
        for _ in 0..3 {
            let found = names.resolve("a").await.unwrap();
            assert_eq!((found.records, found.remembered), (vec![2, 1], true));
        }
        // A name that was never known is not.
        let error = names.resolve("b").await.unwrap_err();
        assert!(error.message().contains("name server"), "{error}");
        // What it says once it is back wins.
        *script.answer.lock() = Some(Ok(vec![3]));
        names.resolve("a").await.unwrap();
        env::sleep(Duration::from_millis(1)).await;
        let found = names.resolve("a").await.unwrap();
        assert_eq!((found.records, found.remembered), (vec![3], false));
    }

    #[test]
    fn a_resolver_that_hangs_delays_nobody_who_knows_an_address() {
        simulate(1, nobody_is_delayed());
    }

    async fn nobody_is_delayed() {
        let (script, names) = names();
        *script.answer.lock() = Some(Ok(vec![1]));
        names.resolve("a").await.unwrap();
        *script.answer.lock() = None;
        env::sleep(FRESH * 2).await;
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(names.resolve("a").await.unwrap().records, [1]);
        }
        // Only the first has waited, and no more than one question is under way.
        assert!(began.elapsed() <= GRACE * 2, "it took {:?}", began.elapsed());
        assert_eq!(script.asked.load(Ordering::Relaxed), 2);
        let began = Instant::now();
        names.resolve("b").await.unwrap_err();
        assert!(began.elapsed() <= Duration::from_secs(3));
    }
}
