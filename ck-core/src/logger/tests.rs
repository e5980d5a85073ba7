//! Log callbacks that are slow, hang, panic, call back or are replaced.

use parking_lot::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::queue::MAX_MESSAGES;
use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A callback that returns from a message only when the test allows it, or after the test has dropped `allow`.
struct Stalled {
    logger: Arc<Logger>,
    entered: Receiver<String>,
    allow: Option<Sender<()>>,
    held: Arc<()>,
}

/// The callback of a [`Stalled`], the messages that it was called with, the permission to return, and what it holds.
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

impl Stalled {
    fn new() -> Self {
        let logger = Arc::new(Logger::default());
        let (callback, entered, allow, held) = stalled_callback();
        logger.set_callback(Some(callback));
        let allow = Some(allow);
        Stalled {
            logger,
            entered,
            allow,
            held,
        }
    }

    /// With a running call for the message "first".
    fn in_call() -> Self {
        let stalled = Stalled::new();
        stalled.logger.info(format_args!("first"));
        assert_eq!(stalled.entered.recv_timeout(LONG).unwrap(), "first");
        stalled
    }

    /// From now on the callback returns at once.
    fn go_on(&mut self) {
        self.allow = None;
    }

    fn next(&self) -> String {
        self.entered.recv_timeout(LONG).unwrap()
    }
}

/// Waits until only the test has `held`: the callback was dropped.
fn until_dropped(held: &Arc<()>) {
    let began = Instant::now();
    while Arc::strong_count(held) > 1 {
        assert!(began.elapsed() < LONG, "the callback was not dropped");
        std::thread::yield_now();
    }
}

#[test]
fn who_does_not_read_holds_nobody_up_and_hears_in_order_what_was_kept_and_how_much_was_not() {
    let mut stalled = Stalled::in_call();
    let written = MAX_MESSAGES * 3;
    for number in 0..written {
        stalled.logger.info(format_args!("{number}"));
    }
    assert_eq!(stalled.logger.dropped(), (written - MAX_MESSAGES) as u64);
    stalled.go_on();
    for number in 0..MAX_MESSAGES {
        assert_eq!(stalled.next(), number.to_string());
    }
    let gap = format!("{} messages dropped", written - MAX_MESSAGES);
    let told = stalled.next();
    assert!(told.starts_with(&gap), "{told}");
    stalled.logger.info(format_args!("later"));
    assert_eq!(stalled.next(), "later");
    stalled.logger.close_within(LONG);
    assert_eq!(Arc::strong_count(&stalled.held), 1);
}

#[test]
fn an_end_waits_for_a_reader_that_stands_still_no_longer_than_it_says() {
    let mut stalled = Stalled::in_call();
    stalled.logger.info(format_args!("second"));
    let moment = Duration::from_millis(1);
    stalled.logger.flush(moment);
    stalled.logger.close_within(moment);
    // The call still runs, so what the callback holds is alive; and the waiting message will not be delivered.
    assert_eq!(Arc::strong_count(&stalled.held), 2);
    assert_eq!(stalled.logger.dropped(), 1);
    stalled.go_on();
    until_dropped(&stalled.held);
    assert!(stalled.entered.try_recv().is_err(), "called after the end");
}

#[test]
fn an_end_waits_until_all_is_told() {
    let logger = Logger::default();
    let (told, hears) = channel();
    logger.set_callback(Some(Arc::new(move |_, text| told.send(text.to_owned()).unwrap())));
    let all: Vec<String> = (0..MAX_MESSAGES).map(|number| number.to_string()).collect();
    all.iter().for_each(|text| logger.info(format_args!("{text}")));
    logger.flush(LONG);
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), all);
    all.iter().for_each(|text| logger.info(format_args!("{text}")));
    logger.close_within(LONG);
    logger.info(format_args!("too late"));
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), all);
}

#[test]
fn whoever_replaces_a_reader_that_stands_still_hears_what_waited_for_it() {
    let mut stalled = Stalled::in_call();
    stalled.logger.info(format_args!("second"));
    let (told, hears) = channel();
    stalled
        .logger
        .set_callback(Some(Arc::new(move |_, text| told.send(text.to_owned()).unwrap())));
    assert_eq!(hears.recv_timeout(LONG).unwrap(), "second");
    // The first callback lives as long as its call.
    assert_eq!(Arc::strong_count(&stalled.held), 2);
    stalled.go_on();
    until_dropped(&stalled.held);
    stalled.logger.info(format_args!("third"));
    assert_eq!(hears.recv_timeout(LONG).unwrap(), "third");
    assert!(stalled.entered.try_recv().is_err());
    // Without a callback no message is dropped, so none is counted.
    stalled.logger.set_callback(None);
    stalled.logger.info(format_args!("fourth"));
    assert_eq!(hears.try_recv().ok(), None);
    assert_eq!(stalled.logger.dropped(), 0);
}

#[test]
fn one_that_is_replaced_between_two_calls_is_dropped_at_once() {
    let mut stalled = Stalled::in_call();
    stalled.go_on();
    stalled.logger.flush(LONG);
    let held = stalled.held.clone();
    stalled.logger.set_callback(None);
    drop(stalled);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_callback_that_panics_is_called_again() {
    let logger = Logger::default();
    let (told, hears) = channel();
    logger.set_callback(Some(Arc::new(move |_, text| {
        told.send(text.to_owned()).unwrap();
        // Uses `resume_unwind`, so that no panic hook prints.
        std::panic::resume_unwind(Box::new("a panic of the application"));
    })));
    for text in ["first", "second"] {
        logger.info(format_args!("{text}"));
        assert_eq!(hears.recv_timeout(LONG).unwrap(), text);
    }
    logger.close_within(LONG);
}

/// A value whose destructor writes to the log and replaces the callback, as the call does.
struct CallsBack(Arc<Logger>, Sender<&'static str>);

impl Drop for CallsBack {
    fn drop(&mut self) {
        self.0.info(format_args!("from a destructor"));
        self.0.set_callback(None);
        self.0.flush(LONG);
        self.0.close_within(LONG);
        let _ = self.1.send("dropped");
        std::panic::resume_unwind(Box::new("and panics"));
    }
}

#[test]
fn a_callback_and_its_destructor_may_call_back() {
    let logger = Arc::new(Logger::default());
    let (told, hears) = channel();
    let within = CallsBack(logger.clone(), told);
    logger.set_callback(Some(Arc::new(move |_, _| {
        let CallsBack(logger, told) = &within;
        logger.info(format_args!("from a call"));
        logger.flush(LONG);
        let _ = told.send("called");
        logger.set_callback(None);
        logger.close_within(LONG);
    })));
    logger.info(format_args!("first"));
    let heard: Vec<_> = std::iter::from_fn(|| hears.recv_timeout(LONG).ok()).collect();
    assert_eq!(heard, ["called", "dropped"]);
}

#[test]
fn a_log_that_is_dropped_tells_what_waits_and_ends() {
    let mut stalled = Stalled::in_call();
    stalled.logger.info(format_args!("second"));
    let entered = std::mem::replace(&mut stalled.entered, channel().1);
    let held = stalled.held.clone();
    stalled.go_on();
    drop(stalled);
    assert_eq!(entered.recv_timeout(LONG).unwrap(), "second");
    until_dropped(&held);
}

#[test]
fn messages_below_the_level_are_not_told() {
    let logger = Logger::default();
    let (told, hears) = channel();
    logger.set_callback(Some(Arc::new(move |level, text| {
        told.send((level, text.to_owned())).unwrap()
    })));
    logger.set_level(LogLevel::Warn);
    logger.info(format_args!("no"));
    logger.warn(format_args!("yes"));
    logger.close_within(LONG);
    let heard: Vec<_> = hears.iter().collect();
    assert_eq!(heard, [(LogLevel::Warn, "yes".to_owned())]);
}
