use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::env::{self, Instant};

/// How long a test waits for anything, in real time.
const REAL_TIMEOUT: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

/// A clock with its driver, and one process.
struct Driven {
    clock: Arc<TestClock>,
    process: TestProcess,
    handle: tokio::runtime::Handle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Driven {
    fn start() -> Self {
        let clock = TestClock::new();
        let (idle, awake, driver) = (clock.clone(), clock.clone(), ClockDriver::new(clock.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || idle.idle())
            .on_thread_unpark(move || awake.awake())
            .build()
            .unwrap();
        Driven {
            process: TestProcess::new(clock.clone()),
            clock,
            handle: runtime.handle().clone(),
            thread: Some(std::thread::spawn(move || runtime.block_on(driver))),
        }
    }

    /// Runs a future as a task of the process.
    fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Receiver<T> {
        let (done, is_done) = channel();
        let task = self.process.task(Box::pin(future));
        self.handle.spawn(async move {
            let _ = done.send(task.await);
        });
        is_done
    }

    fn advance(&self, hold: &ClockHold, time: Duration) -> bool {
        hold.carry_out(ClockOrder {
            until: Some(Instant::from_nanos(self.clock.now()) + time),
            jumps: usize::MAX,
        })
    }

    fn settle(&self, hold: &ClockHold) {
        assert!(hold.carry_out(ClockOrder {
            until: None,
            jumps: 0
        }));
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.clock.end();
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn an_order_goes_from_timer_to_timer_and_none_is_late() {
    let driven = Driven::start();
    let hold = driven.clock.hold();
    let fired = Arc::new(Mutex::new(Vec::new()));
    for (name, waits) in [("a", vec![30, 30, 30]), ("b", vec![50]), ("c", vec![90])] {
        let fired = fired.clone();
        drop(driven.spawn(async move {
            for wait in waits {
                let due = Instant::now() + wait * MS;
                env::sleep(wait * MS).await;
                assert_eq!(Instant::now(), due);
                fired.lock().push((name, Instant::now()));
            }
        }));
    }
    driven.settle(&hold);
    let start = Instant::from_nanos(driven.clock.now());
    assert!(driven.advance(&hold, 89 * MS));
    assert_eq!(driven.clock.now(), (start + 89 * MS).nanos());
    let at = |name, millis| (name, start + millis * MS);
    assert_eq!(*fired.lock(), [at("a", 30), at("b", 50), at("a", 60)]);
    assert!(driven.advance(&hold, MS));
    // Timers of one moment fire in the order in which they were set.
    assert_eq!(fired.lock()[3..], [at("c", 90), at("a", 90)]);
    // Nothing is left to wait for: only an order with an end moves the clock.
    let now = driven.clock.now();
    assert!(hold.carry_out(ClockOrder {
        until: None,
        jumps: 5
    }));
    assert_eq!(driven.clock.now(), now);
}

#[test]
fn the_clock_waits_for_a_driver_that_is_busy() {
    let driven = Driven::start();
    let before = driven.clock.now();
    let late = driven.spawn(async {
        let due = Instant::now() + MS;
        // A machine that is busy: the thread does not run.
        std::thread::sleep(100 * MS);
        let computed = Instant::now();
        env::sleep_until(due).await;
        (due, computed, Instant::now())
    });
    let (due, computed, woken) = late.recv_timeout(REAL_TIMEOUT).unwrap();
    assert!(computed < due, "computing takes no time");
    assert_eq!(woken, due, "no timer is late");
    assert!(driven.clock.now() >= before);
}

#[test]
fn the_clock_passes_with_real_time() {
    let driven = Driven::start();
    let began = std::time::Instant::now();
    let slept = driven.spawn(async { env::sleep(20 * MS).await });
    slept.recv_timeout(REAL_TIMEOUT).unwrap();
    assert!(began.elapsed() >= 20 * MS);
}

#[test]
fn a_held_clock_stands_still() {
    let driven = Driven::start();
    let hold = driven.clock.hold();
    let second = driven.clock.hold();
    let now = driven.clock.now();
    let slept = driven.spawn(async { env::sleep(MS).await });
    assert!(slept.recv_timeout(50 * MS).is_err());
    drop(hold);
    assert!(slept.recv_timeout(50 * MS).is_err());
    assert_eq!(driven.clock.now(), now);
    drop(second);
    slept.recv_timeout(REAL_TIMEOUT).unwrap();
}

#[test]
fn a_paused_process_goes_on_where_it_stood_and_in_order() {
    let driven = Driven::start();
    let hold = driven.clock.hold();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for number in 0..3 {
        let seen = seen.clone();
        drop(driven.spawn(async move {
            env::sleep(10 * MS).await;
            seen.lock().push(number);
        }));
    }
    driven.settle(&hold);
    driven.process.pause();
    assert!(driven.advance(&hold, 50 * MS));
    assert_eq!(*seen.lock(), [] as [i32; 0]);
    driven.process.resume();
    driven.settle(&hold);
    assert_eq!(*seen.lock(), [0, 1, 2]);
    driven.process.kill();
    driven.process.pause();
    assert!(driven.process.is_killed() && !driven.process.is_paused());
}

#[test]
fn what_waits_when_the_clock_ends_finds_that_its_time_has_passed() {
    let driven = Driven::start();
    let process = driven.process.clone();
    let waiting = std::thread::spawn(move || {
        let _entered = process.enter();
        let deadline = Instant::now() + Duration::from_secs(3600);
        while Instant::now() < deadline {
            env::block_on(env::sleep(deadline.since(Instant::now())));
        }
    });
    let hold = driven.clock.hold();
    drop(driven);
    waiting.join().unwrap();
    assert!(!hold.carry_out(ClockOrder {
        until: None,
        jumps: 1
    }));
}

#[test]
fn an_order_waits_for_a_call_that_is_about_to_go_on() {
    let driven = Driven::start();
    let hold = driven.clock.hold();
    let process = driven.process.clone();
    // A call in many steps, each of which takes no time: the clock must not pass its deadline in between.
    let call = std::thread::spawn(move || {
        let call = Call::new(Some(process.clone()), async {
            let deadline = Instant::now() + 100 * MS;
            let began = Instant::now();
            for _ in 0..50 {
                env::sleep(MS).await;
                std::thread::sleep(MS / 2);
            }
            (Instant::now() - began, Instant::now() < deadline)
        });
        env::block_on(call)
    });
    while !call.is_finished() {
        assert!(driven.advance(&hold, 10 * MS));
    }
    assert_eq!(call.join().unwrap(), (50 * MS, true));
    assert_eq!(driven.clock.runnable_calls.load(Ordering::SeqCst), 0);
    // One that is given up does not hold the clock for ever.
    let mut call = Box::pin(Call::new(
        Some(driven.process.clone()),
        std::future::pending::<()>(),
    ));
    let waker = futures_util::task::noop_waker();
    assert!(
        call.as_mut()
            .poll(&mut std::task::Context::from_waker(&waker))
            .is_pending()
    );
    drop(call);
    assert_eq!(driven.clock.runnable_calls.load(Ordering::SeqCst), 0);
}

#[test]
fn an_order_waits_for_hooks_and_not_for_ever() {
    let driven = Driven::start();
    let hold = driven.clock.hold();
    let activity = Arc::new(Mutex::new((true, None)));
    let (seen, retry) = (
        activity.clone(),
        Instant::from_nanos(driven.clock.now()) + 20 * MS,
    );
    driven.process.watch_hooks(move || {
        let (running, next_retry) = *seen.lock();
        HookActivity {
            ready: false,
            running: if running { vec![7] } else { Vec::new() },
            next_retry,
        }
    });
    let began = std::time::Instant::now();
    assert!(driven.advance(&hold, 10 * MS));
    // It runs all the time: that is a hook that blocks.
    assert!(began.elapsed() >= Duration::from_secs(1));
    let began = std::time::Instant::now();
    assert!(driven.advance(&hold, MS));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "it was waited for already"
    );
    // The clock does not pass the moment at which a call is due again.
    *activity.lock() = (false, Some(retry));
    let moved = std::thread::scope(|scope| {
        let moving = scope.spawn(|| driven.advance(&hold, Duration::from_secs(60)));
        while driven.clock.now() < retry.nanos() {
            std::thread::yield_now();
        }
        assert_eq!(driven.clock.now(), retry.nanos());
        *activity.lock() = (false, None);
        moving.join().unwrap()
    });
    assert!(moved);
    // A paused process calls no hooks, and so holds no clock.
    *activity.lock() = (true, None);
    driven.process.pause();
    let began = std::time::Instant::now();
    assert!(driven.advance(&hold, MS));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn other_threads_have_the_clock_of_the_system() {
    let driven = Driven::start();
    let _hold = driven.clock.hold();
    assert!(current().is_none() && nanos().is_none() && wall_now().is_none());
    let before = Instant::now();
    {
        let _entered = driven.process.enter();
        assert_eq!(Instant::now().nanos(), driven.clock.now());
        let inherited = env::spawn_thread("test", || nanos().is_some()).unwrap();
        assert!(inherited.join().unwrap());
    }
    assert!(Instant::now() >= before);
    assert!(
        !env::spawn_thread("test", || nanos().is_some())
            .unwrap()
            .join()
            .unwrap()
    );
}
