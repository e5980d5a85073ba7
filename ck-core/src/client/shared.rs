//! What the handles of a client, its task and its calls share: the view, the addresses, and how contact is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::addresses::Addresses;
use super::answer::{ClusterAnswer, shortened};
use super::changes::ChangeDispatcher;
use super::options::ClientOptions;
use super::status::ClientStatus;
use super::tls::TlsFiles;
use crate::env::{self, ChangeNotifier, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::logger::Logger;
use crate::net::Connector;
use crate::options::LogLevel;
use crate::routing::{ClusterView, SharedView, ViewGuard};

/// The state of a client.
///
/// Invariants: the view's cluster never changes once it is known, and its revision never falls, whichever members
/// answer, and in whichever order.
pub(super) struct Shared {
    pub(super) options: ClientOptions,
    pub(super) connector: Connector,
    /// `None` where no TLS is spoken.
    pub(super) tls: Option<TlsFiles>,
    pub(super) logger: Logger,
    pub(super) changes: ChangeDispatcher,
    view: SharedView,
    /// Held while an answer becomes the view: the task and a call may have one each.
    accept_turn: Mutex<()>,
    addresses: Mutex<Addresses>,
    contact: Mutex<Contact>,
    /// A newer view, or the end.
    changed: ChangeNotifier,
    /// An address has answered a call: it may be followed.
    answered: ChangeNotifier,
    closed: AtomicBool,
    /// True when the task has ended.
    task_ended: AtomicBool,
}

/// How contact with the cluster is.
#[derive(Debug, Default)]
struct Contact {
    /// The address that is followed, and whether it knows a leader.
    followed: Option<(String, bool)>,
    last_contact: Option<Instant>,
    last_error: Option<Error>,
}

impl Shared {
    /// # Errors
    /// `INVALID_OPTION` for files of TLS that cannot be used.
    pub(super) fn new(options: ClientOptions) -> Result<Self> {
        let tls = TlsFiles::new(&options)?;
        let logger = Logger::keeping_first();
        logger.set_level(options.log_level);
        Ok(Shared {
            tls,
            connector: Connector::new(options.connect_timeout),
            addresses: Mutex::new(Addresses::new(&options)),
            logger,
            // A client has no node id. No member has the empty one (`ClusterAnswer::parse`), so every question about this
            // node's own part is answered with none.
            view: SharedView::new(ClusterView::new(Arc::default(), 0, "")),
            options,
            changes: ChangeDispatcher::default(),
            accept_turn: Mutex::default(),
            contact: Mutex::default(),
            changed: ChangeNotifier::default(),
            answered: ChangeNotifier::default(),
            closed: AtomicBool::new(false),
            task_ended: AtomicBool::new(false),
        })
    }

    /// The newest view.
    pub(super) fn view(&self) -> ViewGuard {
        self.view.load()
    }

    /// The revision of the newest view; 0 before the first answer.
    pub(super) fn revision(&self) -> u64 {
        self.view.load().revision()
    }

    /// Makes an answer the view, unless the view is as new. An older one changes nothing.
    ///
    /// # Errors
    /// `WRONG_CLUSTER` for an answer of another cluster than is followed, or than the options name.
    pub(super) fn accept(&self, answer: ClusterAnswer) -> Result<()> {
        if let Some(name) = &self.options.cluster_name
            && name != answer.cluster_name()
        {
            let message = format!(
                "the cluster there is called {:?}, and {name:?} is to be followed",
                shortened(answer.cluster_name())
            );
            return Err(Error::new(ErrorCode::WrongCluster, message));
        }
        {
            let _turn = self.accept_turn.lock();
            let view = self.view.load();
            let known = &*view.topology().cluster_id;
            if !known.is_empty() && known != answer.cluster_id() {
                let message = format!(
                    "the cluster there is {:?} with the id {}, and the one with the id {} is followed; a new client \
                     follows the other",
                    shortened(answer.cluster_name()),
                    shortened(answer.cluster_id()),
                    shortened(known)
                );
                return Err(Error::new(ErrorCode::WrongCluster, message));
            }
            let revision = answer.revision();
            if !known.is_empty() && revision <= view.revision() {
                return Ok(());
            }
            let topology = answer.into_topology(view.topology());
            let next = view.updated(&topology, revision);
            self.view.store(next);
        }
        if self.options.member_addrs {
            // Of the newest view, whoever stored it.
            let view = self.view.load();
            self.addresses.lock().learn(view.nodes());
        }
        self.changed.notify();
        Ok(())
    }

    // ---- waiting -------------------------------------------------------------------------------------------

    /// Number of changes so far, for [`Shared::change_after`].
    pub(super) fn changes_seen(&self) -> u64 {
        self.changed.count()
    }

    /// Waits for a newer view, or the end, after so many changes.
    pub(super) async fn change_after(&self, seen: u64) {
        self.changed.after(seen).await;
    }

    /// Waits until the view has `revision`; returns the one that it has.
    ///
    /// # Errors
    /// `STOPPED` when the client is closed first.
    pub(super) async fn reach(&self, revision: u64) -> Result<u64> {
        loop {
            let seen = self.changes_seen();
            let reached = self.revision();
            if reached >= revision {
                return Ok(reached);
            }
            self.refuse_closed()?;
            self.change_after(seen).await;
        }
    }

    // ---- the end -------------------------------------------------------------------------------------------

    /// Ends the task and everything that waits. Waits for nothing.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify();
        self.answered.notify();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// # Errors
    /// `STOPPED` once the client is closed.
    pub(super) fn refuse_closed(&self) -> Result<()> {
        match self.is_closed() {
            true => Err(Error::new(ErrorCode::Stopped, "the client is closed")),
            false => Ok(()),
        }
    }

    /// Has everything that waits for a change look again.
    pub(super) fn wake_waiters(&self) {
        self.changed.notify();
    }

    /// Notes that the task has ended.
    pub(super) fn note_task_end(&self) {
        self.task_ended.store(true, Ordering::Release);
        self.wake_waiters();
    }

    /// Completes when the task has ended.
    pub(super) async fn task_end(&self) {
        loop {
            let seen = self.changes_seen();
            if self.task_ended.load(Ordering::Acquire) {
                return;
            }
            self.change_after(seen).await;
        }
    }

    /// Completes when the client is closed.
    pub(super) async fn closed(&self) {
        loop {
            let seen = self.changes_seen();
            if self.is_closed() {
                return;
            }
            self.change_after(seen).await;
        }
    }

    // ---- addresses and contact -----------------------------------------------------------------------------

    /// The addresses to try now, the most promising first; with `all` also those that have failed a moment ago.
    pub(super) fn candidates(&self, all: bool) -> Vec<String> {
        self.addresses.lock().candidates(Instant::now(), all)
    }

    /// The time until an address other than `except` is to be tried; `None` where there is none.
    pub(super) fn next_due(&self, except: Option<&str>) -> Option<Duration> {
        self.addresses.lock().next_due(Instant::now(), except)
    }

    /// Number of answers so far, for [`Shared::pause`].
    pub(super) fn answers_seen(&self) -> u64 {
        self.answered.count()
    }

    /// Waits for `pause`, or until there are more answers than `seen`: an address has answered a call meanwhile.
    pub(super) async fn pause(&self, pause: Duration, seen: u64) {
        let _ = env::timeout(pause, self.answered.after(seen)).await;
    }

    /// Notes an answer of the cluster that is followed.
    pub(super) fn note_answer(&self, addr: &str, is_leader_known: bool) {
        if is_leader_known {
            self.addresses.lock().note_answer(addr);
            self.contact.lock().last_contact = Some(Instant::now());
            self.answered.notify();
        }
    }

    /// Notes that an address does not answer as it should, and tells people where that is news.
    pub(super) fn note_failure(&self, addr: &str, error: &Error) {
        let is_news = self.addresses.lock().note_failure(addr, error, Instant::now());
        self.note_error(error.clone().context(addr));
        if is_news {
            let level = match error.code() {
                // Nothing mends these but a person.
                ErrorCode::WrongCluster
                | ErrorCode::Version
                | ErrorCode::TooLarge
                | ErrorCode::Unauthenticated => LogLevel::Warn,
                _ => LogLevel::Debug,
            };
            self.logger
                .write(level, format_args!("{addr} is passed over: {error}"));
        }
    }

    /// Notes what failed last.
    pub(super) fn note_error(&self, error: Error) {
        self.contact.lock().last_error = Some(error);
    }

    /// Notes which member is followed, and whether it knows a leader; `None` while none is.
    pub(super) fn note_followed(&self, followed: Option<(&str, bool)>) {
        let followed = followed.map(|(addr, is_leader_known)| (addr.to_owned(), is_leader_known));
        self.contact.lock().followed = followed;
    }

    pub(super) fn status(&self) -> ClientStatus {
        let view = self.view.load();
        let (followed, last_contact, last_error) = {
            let contact = self.contact.lock();
            let age = contact.last_contact.map(Instant::elapsed);
            (contact.followed.clone(), age, contact.last_error.clone())
        };
        let longest = self.options.poll_timeout + self.options.request_timeout;
        let is_led = followed
            .as_ref()
            .is_some_and(|(_, is_leader_known)| *is_leader_known);
        ClientStatus {
            connected: followed.map(|(addr, _)| addr),
            cluster_id: view.topology().cluster_id.clone(),
            cluster_name: view.topology().config.cluster_name.clone(),
            revision: view.revision(),
            is_stale: !is_led || last_contact.is_none_or(|age| age > longest),
            last_contact,
            last_error,
            is_closed: self.is_closed(),
            addrs: self.addresses.lock().status(),
        }
    }
}
