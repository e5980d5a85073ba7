use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::env::test_cluster::{ClockDriver, ClockHold, ClockOrder, TestClock};
use crate::error::{ErrorCode, Result};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

/// A network of two, on a clock that only orders move.
struct Wired {
    clock: Arc<TestClock>,
    hold: ClockHold,
    handle: tokio::runtime::Handle,
    thread: Option<std::thread::JoinHandle<()>>,
    network: MemoryNetwork,
    caller: TestProcess,
    server: TestProcess,
}

impl Wired {
    fn new() -> Self {
        let clock = TestClock::new();
        let (idle, awake, driver) = (clock.clone(), clock.clone(), ClockDriver::new(clock.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || idle.idle())
            .on_thread_unpark(move || awake.awake())
            .build()
            .unwrap();
        let process = || TestProcess::new(clock.clone());
        Wired {
            hold: clock.hold(),
            network: MemoryNetwork::new(process(), 1),
            caller: process(),
            server: process(),
            clock: clock.clone(),
            handle: runtime.handle().clone(),
            thread: Some(std::thread::spawn(move || runtime.block_on(driver))),
        }
    }

    /// Serves "b" with a handler that notes what it is told, and answers it.
    fn serve(&self) -> Arc<Mutex<Vec<Bytes>>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = heard.clone();
        let handler: Handler = Arc::new(move |request, _| {
            noted.lock().push(request.clone());
            Box::pin(async move { request })
        });
        self.network.serve("b", handler, self.server.clone());
        heard
    }

    /// Begins a call of "b" from "a", and returns what becomes of it.
    fn begin(
        &self,
        transport: &Arc<dyn Transport>,
        lane: Lane,
        text: &'static str,
    ) -> Arc<Mutex<Option<Result<Bytes>>>> {
        let outcome = Arc::new(Mutex::new(None));
        let (kept, transport) = (outcome.clone(), transport.clone());
        let call = self.caller.task(Box::pin(async move {
            let answer = transport
                .call("b", lane, Bytes::from_static(text.as_bytes()), CALL_TIMEOUT)
                .await;
            *kept.lock() = Some(answer);
        }));
        self.handle.spawn(call);
        outcome
    }

    fn advance(&self, time: Duration) {
        let until = Some(Instant::from_nanos(self.clock.now()) + time);
        let jumps = if time.is_zero() { 0 } else { usize::MAX };
        assert!(self.hold.carry_out(ClockOrder { until, jumps }));
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.clock.end();
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_call_is_answered_at_once_and_one_to_nobody_is_refused() {
    let wired = Wired::new();
    let transport = wired.network.transport("a", wired.caller.clone());
    let refused = wired.begin(&transport, Lane::Request, "1");
    wired.advance(Duration::ZERO);
    let error = refused.lock().take().unwrap().unwrap_err();
    assert!(error.code() == ErrorCode::Unreachable && error.is_unsent());
    wired.serve();
    let before = wired.clock.now();
    let answered = wired.begin(&transport, Lane::Request, "2");
    wired.advance(Duration::ZERO);
    assert_eq!(&answered.lock().take().unwrap().unwrap()[..], b"2");
    assert_eq!(wired.clock.now(), before);
}

#[test]
fn what_crosses_a_cut_is_lost_and_noticed_after_a_silence() {
    let wired = Wired::new();
    let transport = wired.network.transport("a", wired.caller.clone());
    let heard = wired.serve();
    for (from, to, arrives) in [("a", "b", false), ("b", "a", true)] {
        wired.network.cut(from, to);
        let call = wired.begin(&transport, Lane::Request, "1");
        wired.advance(MAX_SILENCE - MS);
        assert!(call.lock().is_none());
        assert_eq!(heard.lock().len(), usize::from(arrives));
        wired.advance(MS);
        let error = call.lock().take().unwrap().unwrap_err();
        assert_eq!(
            (error.code(), error.is_unsent()),
            (ErrorCode::Unreachable, !arrives)
        );
        wired.network.restore(from, to);
    }
    wired.network.isolate("b");
    assert!(
        wired.network.is_cut("a", "b") && wired.network.is_cut("b", "c") && !wired.network.is_cut("b", "b")
    );
    wired.network.heal();
    assert!(!wired.network.is_cut("a", "b"));
}

#[test]
fn requests_on_the_log_lane_arrive_in_order_whatever_the_link() {
    let wired = Wired::new();
    let transport = wired.network.transport("a", wired.caller.clone());
    let heard = wired.serve();
    let conditions = |delay| LinkConditions { delay, loss: 0.0 };
    wired.network.set_link("a", "b", conditions(50 * MS));
    let slow = [
        wired.begin(&transport, Lane::Log, "1"),
        wired.begin(&transport, Lane::Control, "x"),
    ];
    wired.advance(Duration::ZERO);
    wired.network.set_link("a", "b", conditions(Duration::ZERO));
    let quick = [
        wired.begin(&transport, Lane::Log, "2"),
        wired.begin(&transport, Lane::Log, "3"),
    ];
    wired.advance(49 * MS);
    assert!(heard.lock().is_empty());
    wired.advance(MS);
    let log = || {
        heard
            .lock()
            .iter()
            .filter(|request| **request != "x")
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(log(), ["1", "2", "3"]);
    assert!(
        slow.iter()
            .chain(&quick)
            .all(|call| call.lock().take().unwrap().is_ok())
    );
    // What is lost is sent again, and comes late.
    wired.network.set_link(
        "a",
        "b",
        LinkConditions {
            delay: Duration::ZERO,
            loss: 1.0,
        },
    );
    let lossy = wired.begin(&transport, Lane::Log, "4");
    wired.advance(RETRANSMISSION * MAX_LOSSES - MS);
    assert!(lossy.lock().is_none());
    wired.advance(MS);
    assert!(lossy.lock().take().unwrap().is_ok());
}

#[test]
fn a_paused_server_answers_when_it_goes_on_and_one_that_ends_answers_nobody() {
    let wired = Wired::new();
    let transport = wired.network.transport("a", wired.caller.clone());
    let heard = wired.serve();
    wired.server.pause();
    let calls = [
        wired.begin(&transport, Lane::Log, "1"),
        wired.begin(&transport, Lane::Log, "2"),
    ];
    wired.advance(MAX_SILENCE - MS);
    assert!(heard.lock().is_empty() && calls.iter().all(|call| call.lock().is_none()));
    wired.server.resume();
    wired.advance(Duration::ZERO);
    assert_eq!(*heard.lock(), ["1", "2"]);
    assert!(calls.iter().all(|call| call.lock().take().unwrap().is_ok()));

    wired.server.pause();
    let call = wired.begin(&transport, Lane::Request, "too old");
    wired.advance(MAX_SILENCE);
    assert_eq!(
        call.lock().take().unwrap().unwrap_err().code(),
        ErrorCode::Unreachable
    );
    wired.server.resume();
    wired.advance(MAX_SILENCE);
    assert_eq!(heard.lock().len(), 2);

    wired.server.pause();
    let call = wired.begin(&transport, Lane::Request, "3");
    wired.advance(Duration::ZERO);
    wired.network.unserve("b");
    wired.advance(Duration::ZERO);
    assert_eq!(
        call.lock().take().unwrap().unwrap_err().code(),
        ErrorCode::Unreachable
    );
}

#[test]
fn a_process_that_is_paused_or_killed_or_closed_sends_nothing() {
    let wired = Wired::new();
    let transport = wired.network.transport("a", wired.caller.clone());
    let heard = wired.serve();
    let transport_of_call = transport.clone();
    let caller = wired.caller.clone();
    caller.pause();
    // As a call of the application does, which runs while its process is paused.
    let call = {
        let _entered = caller.enter();
        transport_of_call.call("b", Lane::Request, Bytes::from_static(b"1"), CALL_TIMEOUT)
    };
    let mut call = std::pin::pin!(env::test_cluster::InProcess::call(Some(caller.clone()), call));
    let waker = futures_util::task::noop_waker();
    let mut context = std::task::Context::from_waker(&waker);
    let _handle = wired.handle.enter();
    assert!(call.as_mut().poll(&mut context).is_pending());
    wired.advance(CALL_TIMEOUT / 2);
    assert!(heard.lock().is_empty());
    wired.advance(CALL_TIMEOUT);
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut context) else {
        panic!("it has timed out");
    };
    assert_eq!(error.code(), ErrorCode::Timeout);
    caller.resume();

    transport.close();
    let closed = wired.begin(&transport, Lane::Request, "2");
    wired.advance(Duration::ZERO);
    let error = closed.lock().take().unwrap().unwrap_err();
    assert!(error.code() == ErrorCode::Stopped && error.is_unsent());
    let transport = wired.network.transport("a", caller.clone());
    caller.kill();
    let killed = wired.begin(&transport, Lane::Request, "3");
    wired.advance(Duration::ZERO);
    assert_eq!(
        killed.lock().take().unwrap().unwrap_err().code(),
        ErrorCode::Stopped
    );
    assert!(heard.lock().is_empty());
}
