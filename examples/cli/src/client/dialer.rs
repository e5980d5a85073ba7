//! How a connection to a node is made: by every address that its name has, the next one beside the others when they have
//! not answered for a moment. `ureq` alone tries one after the other, and gives most of the deadline to the first.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clusterkit::net::ClientTls;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, Either, NextTimeout, TcpConnector};

use super::tls_transport::TlsTransport;

/// How long one address of a name is waited for before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(50);

/// A connection over TCP.
pub(super) type Socket = <TcpConnector as Connector>::Out;

/// Makes the connections to one node.
#[derive(Debug)]
pub(super) struct Dialer {
    addr: String,
    /// `None` for plain HTTP.
    tls: Option<ClientTls>,
    /// Set when a connection is asked for: a request on a kept one does not come here.
    dialled: Arc<AtomicBool>,
}

/// The error of a request for which no connection could be made: the node has heard nothing of it.
#[derive(Debug)]
pub(super) struct NotConnected(pub(super) Error);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not connected: {}", self.0)
    }
}

impl std::error::Error for NotConnected {}

impl Dialer {
    /// Makes connections to `addr`, and sets `dialled` whenever it is asked for one.
    pub(super) fn new(addr: &str, tls: Option<ClientTls>, dialled: Arc<AtomicBool>) -> Self {
        Dialer {
            addr: addr.to_owned(),
            tls,
            dialled,
        }
    }
}

impl Connector for Dialer {
    type Out = Either<Socket, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        self.dialled.store(true, Ordering::Relaxed);
        let addrs = match self.addr.parse() {
            Ok(addr) => Ok(vec![addr]),
            Err(_) => resolve(details),
        };
        let dialled = addrs.and_then(|addrs| dial(addrs, details));
        let secured = dialled.and_then(|socket| match &self.tls {
            None => Ok(Either::A(socket)),
            Some(tls) => TlsTransport::connect(tls, socket, &self.addr, details).map(Either::B),
        });
        match secured {
            Ok(socket) => Ok(Some(socket)),
            Err(error) => Err(Error::Other(Box::new(NotConnected(error)))),
        }
    }
}

/// The addresses of the name in the URI. A lookup that takes too long is left behind with its thread.
fn resolve(details: &ConnectionDetails<'_>) -> Result<Vec<SocketAddr>, Error> {
    let resolver = DefaultResolver::default();
    Ok(resolver
        .resolve(details.uri, details.config, details.timeout)?
        .to_vec())
}

/// Tries the addresses until one takes the connection: the next one when one has failed, and beside the others when they
/// have not answered for a moment.
pub(super) fn dial(addrs: Vec<SocketAddr>, details: &ConnectionDetails<'_>) -> Result<Socket, Error> {
    let deadline = Instant::now() + *details.timeout.after;
    let mut waiting = addrs.into_iter();
    let mut next = waiting.next();
    let mut last = Error::HostNotFound;
    let (sender, outcomes) = channel();
    let mut running = 0_usize;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout(details.timeout.reason));
        }
        if let Some(addr) = next {
            try_one(addr, left, details, sender.clone());
            running += 1;
            next = waiting.next();
        } else if running == 0 {
            return Err(last);
        }
        let patience = if next.is_some() { STAGGER.min(left) } else { left };
        match outcomes.recv_timeout(patience) {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => {
                running -= 1;
                last = error;
            }
            // The next address, or the end of the time.
            Err(_) => {}
        }
    }
}

/// Tries one address in a thread of its own. Nobody waits for its outcome any more where another was faster.
fn try_one(
    addr: SocketAddr,
    left: Duration,
    details: &ConnectionDetails<'_>,
    sender: Sender<Result<Socket, Error>>,
) {
    let (uri, config) = (details.uri.clone(), details.config.clone());
    let (now, request_level) = (details.now, details.request_level);
    let timeout = NextTimeout {
        after: left.into(),
        ..details.timeout
    };
    let current_time = Arc::clone(&details.current_time);
    let run_connector = Arc::clone(&details.run_connector);
    let register_shutdown = Arc::clone(&details.register_shutdown);
    thread::spawn(move || {
        let mut addrs = NoResolver.empty();
        addrs.push(addr);
        let details = ConnectionDetails {
            uri: &uri,
            addrs,
            config: &config,
            request_level,
            resolver: &NoResolver,
            now,
            timeout,
            current_time,
            run_connector,
            register_shutdown,
        };
        let outcome = TcpConnector::default().connect(&details, None);
        drop(sender.send(outcome.and_then(|socket| socket.ok_or(Error::ConnectionFailed))));
    });
}

/// Looks up nothing: `ureq` would before every request, and a request on a kept connection needs no address.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}
