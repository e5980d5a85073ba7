//! HTTP to one node: a deadline for every request, a bound on every answer, and an error that says whether the node may
//! have heard the request.
//!
//! `ureq` speaks HTTP. `dialer` makes the connections, and `tls_transport` speaks TLS on them, which is the core's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clusterkit::Secret;
use clusterkit::net::ClientTls;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use ureq::http::{self, HeaderMap, HeaderValue, Uri, header};
use ureq::{Agent, AsSendBody, Body};

use crate::credentials::Credentials;
use crate::error::{CliError, Result};

mod dialer;
mod tls_transport;

use dialer::{Dialer, NoResolver, NotConnected};

/// The maximum size of an answer's body: the whole replicated store as JSON, and room.
const MAX_BODY: u64 = 512 << 20;
/// The maximum size of an answer's head.
const MAX_HEAD: usize = 16 << 10;

/// How much longer than the time that a node is given its answer may take to come.
pub(crate) const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// The longest time that a node lets itself be given for one answer.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// One request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    /// `GET`, `PUT` ...
    pub(crate) method: &'a str,
    /// Path and query, escaped.
    pub(crate) path: &'a str,
    /// A header and its value.
    pub(crate) header: Option<(&'a str, &'a str)>,
    /// The body.
    pub(crate) body: Option<&'a [u8]>,
    /// True when sending it twice does no harm.
    pub(crate) repeatable: bool,
    /// True when the node may have to wait before it can answer: it is told for how long, and answered a little later.
    pub(crate) waits: bool,
}

impl Request<'_> {
    /// True for what changes something: where its answer is lost, nobody knows whether it did.
    pub(crate) fn changes(&self) -> bool {
        self.method != "GET"
    }
}

/// A node's answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The revision in the ETag.
    pub(crate) etag: Option<u64>,
    /// For how many milliseconds the node had not heard of a leader.
    pub(crate) last_contact: Option<u64>,
    /// The body as it came.
    pub(crate) body: Vec<u8>,
}

/// Talks to one node.
#[derive(Debug)]
pub(crate) struct Client {
    addr: String,
    /// What requests are addressed to: `addr` as a part of a URI.
    authority: String,
    timeout: Duration,
    max_body: u64,
    agent: Agent,
    /// The header with the token that is shown.
    authorization: Option<HeaderValue>,
    /// True when the last request needed a new connection.
    dialled: Arc<AtomicBool>,
}

impl Client {
    /// A client of the node at `addr`: `host:port`, `:port` for this machine, with or without `http://`.
    /// With `tls` it may have `https://` instead. Nothing is dialled yet.
    pub(crate) fn new(
        addr: &str,
        timeout: Duration,
        tls: Option<ClientTls>,
        credentials: &Credentials,
    ) -> Result<Self> {
        let plain = addr.trim().trim_end_matches('/');
        if plain.starts_with("https://") && tls.is_none() {
            return Err(CliError::Usage(format!(
                "{addr:?} asks for TLS, and nothing says by what the node is known: set --ca"
            )));
        }
        let scheme = if tls.is_some() { "https://" } else { "http://" };
        let plain = plain.strip_prefix(scheme).unwrap_or(plain);
        let host_and_port = match plain.strip_prefix(':') {
            Some(port) => format!("127.0.0.1:{port}"),
            None => plain.to_owned(),
        };
        let Some(authority) = authority(&host_and_port) else {
            return Err(CliError::Usage(format!(
                "{addr:?} is not the address of a node; write host:port"
            )));
        };
        let config = Agent::config_builder()
            // The address is a node's. What the environment names as a proxy is for other traffic.
            .proxy(None)
            // A node never redirects: whoever does is none, and must not send an order elsewhere.
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("")
            .accept("")
            .max_response_header_size(MAX_HEAD)
            .build();
        let dialled = Arc::new(AtomicBool::new(false));
        let dialer = Dialer::new(&host_and_port, tls, Arc::clone(&dialled));
        Ok(Client {
            addr: host_and_port,
            authority,
            timeout,
            max_body: MAX_BODY,
            authorization: credentials.token.as_ref().map(bearer).transpose()?,
            agent: Agent::with_parts(config, dialer, NoResolver),
            dialled,
        })
    }

    /// Where it talks to.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Sends a request and reads the answer, whatever its status, within the client's timeout. A node that may have to
    /// wait is given that time, and its answer a little more: who hangs up first never hears why.
    pub(crate) fn request(&mut self, request: Request<'_>) -> Result<Response> {
        if !request.waits {
            return self.request_within(self.timeout, request);
        }
        let asked = self.timeout.min(LONGEST_ASKED);
        let separator = if request.path.contains('?') { '&' } else { '?' };
        let path = format!(
            "{}{separator}timeout={}ms",
            request.path,
            asked.as_millis().max(1)
        );
        let request = Request {
            path: &path,
            ..request
        };
        self.request_within(self.timeout + ANSWER_GRACE, request)
    }

    /// The same within `timeout`.
    ///
    /// A kept connection may have been closed by the node in the meantime, and then nobody knows whether the
    /// request was heard: what must not happen twice is sent on a new connection, and only once.
    pub(crate) fn request_within(&mut self, timeout: Duration, request: Request<'_>) -> Result<Response> {
        let deadline = Instant::now() + timeout;
        let first = self.exchange(timeout, request, request.repeatable);
        let is_repeated = request.repeatable
            && !self.dialled.load(Ordering::Relaxed)
            && first
                .as_ref()
                .is_err_and(|error| !matches!(error, ureq::Error::Timeout(_)));
        let outcome = if is_repeated {
            let left = deadline.saturating_duration_since(Instant::now());
            self.exchange(left, request, false)
        } else {
            first
        };
        outcome.map_err(|error| self.failure(&error, request, is_repeated))
    }

    /// Sends a request once and reads its answer, on a kept connection if it may and there is one.
    fn exchange(
        &self,
        timeout: Duration,
        request: Request<'_>,
        may_be_kept: bool,
    ) -> std::result::Result<Response, ureq::Error> {
        self.dialled.store(false, Ordering::Relaxed);
        let uri = format!("http://{}{}", self.authority, request.path);
        let mut builder = http::Request::builder().method(request.method).uri(uri);
        if let Some((name, value)) = request.header {
            builder = builder.header(name, value);
        }
        if let Some(authorization) = &self.authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        let answer = match request.body {
            Some(body) => self.run(builder.body(body)?, timeout, may_be_kept)?,
            None => self.run(builder.body(())?, timeout, may_be_kept)?,
        };
        let (head, body) = answer.into_parts();
        Ok(Response {
            status: head.status.as_u16(),
            etag: number(&head.headers, header::ETAG.as_str()),
            last_contact: number(&head.headers, "x-clusterkit-last-contact"),
            body: body.into_with_config().limit(self.max_body).read_to_vec()?,
        })
    }

    fn run(
        &self,
        request: http::Request<impl AsSendBody>,
        timeout: Duration,
        may_be_kept: bool,
    ) -> std::result::Result<http::Response<Body>, ureq::Error> {
        let mut settings = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout));
        if !may_be_kept {
            // No kept connection is that young.
            settings = settings.max_idle_age(Duration::ZERO);
        }
        self.agent.run(settings.build())
    }

    /// The error of a request without an answer. `was_sent` says that an earlier attempt may have reached the node.
    fn failure(&self, error: &ureq::Error, request: Request<'_>, was_sent: bool) -> CliError {
        let never_sent = matches!(error, ureq::Error::Other(error) if error.is::<NotConnected>());
        let why = format!("cannot reach a node at {}: {}", self.addr, reason(error));
        match error {
            // It was never sent, to nobody: what it was made of is too long for a request.
            ureq::Error::Http(error) => CliError::Usage(format!("that cannot be asked over HTTP: {error}")),
            _ if request.changes() && (was_sent || !never_sent) => {
                CliError::Unknown(format!("{why}; it may or may not have happened"))
            }
            _ => CliError::Unreachable(why),
        }
    }
}

/// The header that shows a token.
fn bearer(token: &Secret) -> Result<HeaderValue> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
    let mut value =
        value.map_err(|_| CliError::Usage("the token, which is not shown, is no text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `addr` as the authority of a URI; `None` when it is no `host:port`.
fn authority(addr: &str) -> Option<String> {
    // The zone of an IPv6 address (`[fe80::1%2]:8080`) is a name of this machine's own: it is dialled, and not told.
    let authority = match (addr.split_once('%'), addr.split_once(']')) {
        (Some((ip, _)), Some((_, port))) => format!("{ip}]{port}"),
        _ => addr.to_owned(),
    };
    let uri: Uri = format!("http://{authority}/").parse().ok()?;
    // Anything else in it, such as a user's name or a path, would be taken for a part of the URI.
    let is_whole = uri.path() == "/" && uri.query().is_none() && !authority.contains('@');
    let has_port = uri.port_u16().is_some_and(|port| port != 0);
    (is_whole && has_port).then_some(authority)
}

/// The number in a header, which may be in quotation marks.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let value = headers.get(name)?.to_str().ok()?;
    value.trim_matches('"').parse().ok()
}

/// Why there is no answer, for people.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "the name has no address".to_owned(),
        ureq::Error::Io(error) => match (ClientTls::explain(error), error.kind()) {
            (Some(said), _) => said.message().to_owned(),
            (None, std::io::ErrorKind::ConnectionRefused) => "nobody listens there".to_owned(),
            (None, std::io::ErrorKind::UnexpectedEof) => "it closed the connection".to_owned(),
            (None, _) => error.to_string(),
        },
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            format!("it does not speak HTTP: {error}")
        }
        ureq::Error::BodyExceedsLimit(_) => "its answer is too long".to_owned(),
        ureq::Error::Other(other) => match other.downcast_ref::<NotConnected>() {
            Some(NotConnected(error)) => reason(error),
            None => other.to_string(),
        },
        error => error.to_string(),
    }
}

/// All characters but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` as one segment of a path or a value in a query.
pub(crate) fn escape(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests;
