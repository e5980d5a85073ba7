//! One run of one seed.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Once, PoisonError};
use std::time::{Duration, Instant};

use clusterkit::env;
use clusterkit::sim::{observe, observe_sent, simulate};

use crate::application::PLANNED;
use crate::client;
use crate::invariants::{self, Claim, Violation};
use crate::liveness;
use crate::nemesis;
use crate::plan::Plan;
use crate::trace::{self, FNV, fnv};
use crate::world::{World, spawn};

/// How long forming the cluster may take.
const FORM: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub plan: Plan,
    /// What did not hold, if something did not.
    pub violation: Option<Violation>,
    /// What happened.
    pub trace: Vec<String>,
    /// Equal for two runs that were the same in every line.
    pub hash: u64,
    /// Simulated seconds.
    pub simulated: f64,
    /// How long it took.
    pub took: Duration,
    /// Writes by what came of them: done, refused, nothing written, unknown.
    pub writes: [u64; 4],
    /// Messages that the network carried.
    pub messages: u64,
    /// How often something was seen that is not promised yet.
    pub unpromised: u64,
}

thread_local! {
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Panics inside a run are noted instead of printed: tasks catch them, and would hide them.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let noted = PANICS.with(|panics| match panics.borrow_mut().as_mut() {
                Some(panics) => {
                    let text = info.to_string();
                    if !text.contains(PLANNED) {
                        panics.push(text.replace('\n', " "));
                    }
                    true
                }
                None => false,
            });
            if !noted {
                usual(info);
            }
        }));
    });
}

fn a_panic() -> Option<String> {
    PANICS.with(|panics| {
        panics
            .borrow()
            .as_ref()
            .and_then(|panics| panics.first().cloned())
    })
}

/// Runs what a seed stands for.
pub fn run(plan: &Plan) -> Outcome {
    note_panics();
    let began = Instant::now();
    PANICS.with(|panics| *panics.borrow_mut() = Some(Vec::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(|| simulate(plan.seed, whole(plan.clone()))));
    observe(None);
    observe_sent(None);
    let panicked = a_panic();
    PANICS.with(|panics| *panics.borrow_mut() = None);
    let mut outcome = result.unwrap_or_else(|_| Outcome {
        plan: plan.clone(),
        violation: None,
        trace: Vec::new(),
        hash: 0,
        simulated: 0.0,
        took: Duration::ZERO,
        writes: [0; 4],
        messages: 0,
        unpromised: 0,
    });
    if outcome.violation.is_none()
        && let Some(what) = panicked
    {
        outcome.violation = Some(Violation {
            claim: Claim::NoPanic,
            what,
            at: outcome.simulated,
        });
    }
    outcome.took = began.elapsed();
    outcome
}

async fn whole(plan: Plan) -> Outcome {
    let world = World::new(plan);
    let seen = world.clone();
    observe(Some(Box::new(move |applied| invariants::applied(&seen, applied))));
    let sender = world.clone();
    observe_sent(Some(Box::new(move |bytes| sender.checks().durable.sent(bytes))));
    let watched = world.clone();
    spawn(async move {
        // Between two batches only time changes what a node answers.
        while watched.violation().is_none() {
            let step = if watched.is_calm() { 20 } else { 2 };
            env::sleep(Duration::from_millis(step)).await;
            invariants::sample(&watched);
            if let Some(what) = a_panic() {
                watched.violated(Claim::NoPanic, what);
            }
        }
    });
    let book = form(&world).await;
    if let Some(book) = &book {
        nemesis::start(&world);
        // Either way it is over.
        let _ = env::timeout(world.plan.safety, world.failure()).await;
        if world.violation().is_none() {
            liveness::calm(&world);
            // What clients began before still ends, and counts.
            env::sleep(Duration::from_secs(10)).await;
            liveness::check(&world, book).await;
        }
    }
    let simulated = trace::seconds();
    world.end();
    observe(None);
    observe_sent(None);
    let (mut writes, mut acknowledged) = ([0; 4], 0);
    if let Some(book) = &book {
        writes = book.lock().unwrap_or_else(PoisonError::into_inner).counts;
        acknowledged = world.checks().durable.count();
    }
    let messages = world.network.stats().sent;
    world.trace.add(format_args!(
        "the end: writes {writes:?}, {acknowledged} acknowledged in the ledger, {messages} messages"
    ));
    let trace = world.trace.take();
    Outcome {
        plan: world.plan.clone(),
        violation: world.violation(),
        hash: trace.iter().fold(FNV, |hash, line| fnv(line.as_bytes(), hash)),
        trace,
        simulated,
        took: Duration::ZERO,
        writes,
        messages,
        unpromised: world.unpromised.load(std::sync::atomic::Ordering::Relaxed),
    }
}

/// The nodes find each other, and clients begin.
async fn form(world: &World) -> Option<client::SharedBook> {
    for i in 0..world.count() {
        world.boot(i, true);
    }
    let mut steps = FORM.as_millis() / 50;
    while world.ready().len() < world.count() {
        if steps == 0 {
            world.violated(Claim::Converges, "the cluster did not form".to_owned());
            return None;
        }
        steps -= 1;
        env::sleep(Duration::from_millis(50)).await;
    }
    world.checks().leader_stays.formed();
    world.trace.add(format_args!("formed"));
    Some(client::start(world))
}
