//! Log callbacks that are slow, hang, panic, call back or are replaced.

use parking_lot::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::message_queue::MAX_QUEUED_MESSAGES;
use super::*;

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A callback that returns from a message only when the test allows it, or after the test has dropped `allow`.
struct StalledCallback {
    logger: Arc<Logger>,
    entered: Receiver<String>,
    allow: Option<Sender<()>>,
    held: Arc<()>,
}

/// The callback of a [`StalledCallback`], the messages that it was called with, the permission to return, and what it holds.
fn stalled_callback() -> (LogCallback, Receiver<String>, Sender<()>, Arc<()>) {
    let ((enter, entered), (allow, allowed)) = (channel(), channel::<()>());
    let (held, allowed) = (Arc::new(()), Mutex::new(allowed));
    let mine = held.clone();
    let callback = move |_: LogLevel, text: &str| {
        let _held = &mine;
        drop(enter.send(text.to_owned()));
        let _ = allowed.lock().recv();
    };
    (Arc::new(callback), entered, allow, held)
}

impl StalledCallback {
    fn new() -> Self {
        let logger = Arc::new(Logger::default());
        let (callback, entered, allow, held) = stalled_callback();
        logger.set_callback(Some(callback));
        let allow = Some(allow);
        StalledCallback {
            logger,
            entered,
            allow,
            held,
        }
    }

    /// With a running call for the message "first".
    fn in_call() -> Self {
        let stalled = StalledCallback::new();
        stalled.logger.info(format_args!("first"));
        assert_eq!(stalled.entered.recv_timeout(TEST_TIMEOUT).unwrap(), "first");
        stalled
    }

    /// Lets the callback return at once from now on.
    fn unblock(&mut self) {
        self.allow = None;
    }

    fn next(&self) -> String {
        self.entered.recv_timeout(TEST_TIMEOUT).unwrap()
    }
}

/// Waits until only the test has `held`: the callback was dropped.
fn until_dropped(held: &Arc<()>) {
    let began = Instant::now();
    while Arc::strong_count(held) > 1 {
        assert!(began.elapsed() < TEST_TIMEOUT, "the callback was not dropped");
        std::thread::yield_now();
    }
}

#[test]
fn a_stalled_callback_delays_no_writer_and_gets_the_kept_messages_in_order_with_the_number_dropped() {
    let mut stalled = StalledCallback::in_call();
    let written = MAX_QUEUED_MESSAGES * 3;
    for number in 0..written {
        stalled.logger.info(format_args!("{number}"));
    }
    assert_eq!(stalled.logger.dropped(), (written - MAX_QUEUED_MESSAGES) as u64);
    stalled.unblock();
    for number in 0..MAX_QUEUED_MESSAGES {
        assert_eq!(stalled.next(), number.to_string());
    }
    let gap = format!("{} messages dropped", written - MAX_QUEUED_MESSAGES);
    let next = stalled.next();
    assert!(next.starts_with(&gap), "{next}");
    stalled.logger.info(format_args!("later"));
    assert_eq!(stalled.next(), "later");
    stalled.logger.close_within(TEST_TIMEOUT);
    assert_eq!(Arc::strong_count(&stalled.held), 1);
}

#[test]
fn closing_waits_for_a_stalled_callback_no_longer_than_its_timeout() {
    let mut stalled = StalledCallback::in_call();
    stalled.logger.info(format_args!("second"));
    let moment = Duration::from_millis(1);
    stalled.logger.flush(moment);
    stalled.logger.close_within(moment);
    // The call still runs, so what the callback holds is alive; and the waiting message will not be delivered.
    assert_eq!(Arc::strong_count(&stalled.held), 2);
    assert_eq!(stalled.logger.dropped(), 1);
    stalled.unblock();
    until_dropped(&stalled.held);
    assert!(stalled.entered.try_recv().is_err(), "called after the end");
}

#[test]
fn closing_waits_until_all_messages_are_delivered() {
    let logger = Logger::default();
    let (sender, delivered) = channel();
    logger.set_callback(Some(Arc::new(move |_, text| {
        sender.send(text.to_owned()).unwrap()
    })));
    let all: Vec<String> = (0..MAX_QUEUED_MESSAGES)
        .map(|number| number.to_string())
        .collect();
    all.iter().for_each(|text| logger.info(format_args!("{text}")));
    logger.flush(TEST_TIMEOUT);
    assert_eq!(delivered.try_iter().collect::<Vec<_>>(), all);
    all.iter().for_each(|text| logger.info(format_args!("{text}")));
    logger.close_within(TEST_TIMEOUT);
    logger.info(format_args!("too late"));
    assert_eq!(delivered.try_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_callback_that_replaces_a_stalled_one_gets_the_waiting_messages() {
    let mut stalled = StalledCallback::in_call();
    stalled.logger.info(format_args!("second"));
    let (sender, delivered) = channel();
    stalled.logger.set_callback(Some(Arc::new(move |_, text| {
        sender.send(text.to_owned()).unwrap()
    })));
    assert_eq!(delivered.recv_timeout(TEST_TIMEOUT).unwrap(), "second");
    // The first callback lives as long as its call.
    assert_eq!(Arc::strong_count(&stalled.held), 2);
    stalled.unblock();
    until_dropped(&stalled.held);
    stalled.logger.info(format_args!("third"));
    assert_eq!(delivered.recv_timeout(TEST_TIMEOUT).unwrap(), "third");
    assert!(stalled.entered.try_recv().is_err());
    // Without a callback no message is dropped, so none is counted.
    stalled.logger.set_callback(None);
    stalled.logger.info(format_args!("fourth"));
    assert_eq!(delivered.try_recv().ok(), None);
    assert_eq!(stalled.logger.dropped(), 0);
}

#[test]
fn a_callback_that_is_replaced_between_two_calls_is_dropped_at_once() {
    let mut stalled = StalledCallback::in_call();
    stalled.unblock();
    stalled.logger.flush(TEST_TIMEOUT);
    let held = stalled.held.clone();
    stalled.logger.set_callback(None);
    drop(stalled);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_callback_that_panics_is_called_again() {
    let logger = Logger::default();
    let (sender, delivered) = channel();
    logger.set_callback(Some(Arc::new(move |_, text| {
        sender.send(text.to_owned()).unwrap();
        // Uses `resume_unwind`, so that no panic hook prints.
        std::panic::resume_unwind(Box::new("a panic of the application"));
    })));
    for text in ["first", "second"] {
        logger.info(format_args!("{text}"));
        assert_eq!(delivered.recv_timeout(TEST_TIMEOUT).unwrap(), text);
    }
    logger.close_within(TEST_TIMEOUT);
}

/// A value whose destructor writes to the log and replaces the callback, as the call does.
struct CallsBack(Arc<Logger>, Sender<&'static str>);

impl Drop for CallsBack {
    fn drop(&mut self) {
        self.0.info(format_args!("from a destructor"));
        self.0.set_callback(None);
        self.0.flush(TEST_TIMEOUT);
        self.0.close_within(TEST_TIMEOUT);
        let _ = self.1.send("dropped");
        std::panic::resume_unwind(Box::new("and panics"));
    }
}

#[test]
fn a_callback_and_its_destructor_may_call_back() {
    let logger = Arc::new(Logger::default());
    let (sender, delivered) = channel();
    let within = CallsBack(logger.clone(), sender);
    logger.set_callback(Some(Arc::new(move |_, _| {
        let CallsBack(logger, sender) = &within;
        logger.info(format_args!("from a call"));
        logger.flush(TEST_TIMEOUT);
        let _ = sender.send("called");
        logger.set_callback(None);
        logger.close_within(TEST_TIMEOUT);
    })));
    logger.info(format_args!("first"));
    let received: Vec<_> = std::iter::from_fn(|| delivered.recv_timeout(TEST_TIMEOUT).ok()).collect();
    assert_eq!(received, ["called", "dropped"]);
}

#[test]
fn a_dropped_log_delivers_the_waiting_messages() {
    let mut stalled = StalledCallback::in_call();
    stalled.logger.info(format_args!("second"));
    let entered = std::mem::replace(&mut stalled.entered, channel().1);
    let held = stalled.held.clone();
    stalled.unblock();
    drop(stalled);
    assert_eq!(entered.recv_timeout(TEST_TIMEOUT).unwrap(), "second");
    until_dropped(&held);
}

#[test]
fn messages_below_the_level_are_not_delivered() {
    let logger = Logger::default();
    let (sender, delivered) = channel();
    logger.set_callback(Some(Arc::new(move |level, text| {
        sender.send((level, text.to_owned())).unwrap()
    })));
    logger.set_level(LogLevel::Warn);
    logger.info(format_args!("no"));
    logger.warn(format_args!("yes"));
    logger.close_within(TEST_TIMEOUT);
    let received: Vec<_> = delivered.iter().collect();
    assert_eq!(received, [(LogLevel::Warn, "yes".to_owned())]);
}

/// What begins to work before there can be a callback says its first words to the first one.
#[test]
fn the_first_messages_wait_for_the_first_callback() {
    let logger = Logger::keeping_first();
    for number in 0..MAX_EARLY_MESSAGES + 3 {
        logger.info(format_args!("early {number}"));
    }
    logger.write(LogLevel::Trace, format_args!("below the level"));
    logger.set_callback(None);
    let (told, heard) = channel();
    logger.set_callback(Some(Arc::new(move |_, text: &str| {
        drop(told.send(text.to_owned()))
    })));
    for number in 0..MAX_EARLY_MESSAGES {
        assert_eq!(
            heard.recv_timeout(TEST_TIMEOUT).unwrap(),
            format!("early {number}")
        );
    }
    logger.info(format_args!("late"));
    assert_eq!(heard.recv_timeout(TEST_TIMEOUT).unwrap(), "late");
    // Nothing waits any more.
    logger.set_callback(None);
    logger.info(format_args!("unheard"));
    let (told, heard) = channel();
    logger.set_callback(Some(Arc::new(move |_, text: &str| {
        drop(told.send(text.to_owned()))
    })));
    logger.info(format_args!("last"));
    assert_eq!(heard.recv_timeout(TEST_TIMEOUT).unwrap(), "last");
}
