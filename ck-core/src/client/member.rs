//! A member that is asked: one connection to it, and what it answered last.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::answer::ClusterAnswer;
use super::http_connection::{HttpAnswer, HttpConnection, HttpRequest};
use super::shared::Shared;
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::model::whole_millis;
use crate::net::PeerStream;

/// Longer answers are read into the view by a thread that may block, because that takes time.
const MAX_INLINE_BYTES: usize = 64 << 10;

/// What a member is asked for on a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// What it has now.
    Now,
    /// What it has once it has applied a revision, within a time.
    AtLeast(u64, Duration),
    /// What it has once it has applied everything that was acknowledged before, within a time.
    Linearizable(Duration),
}

impl Query {
    fn target(self) -> String {
        match self {
            Query::Now => "/cluster".to_owned(),
            Query::AtLeast(revision, wait) => {
                format!("/cluster?revision={revision}&timeout={}", whole_millis(wait))
            }
            Query::Linearizable(wait) => {
                format!("/cluster?consistency=linearizable&timeout={}", whole_millis(wait))
            }
        }
    }

    fn wait(self) -> Duration {
        match self {
            Query::Now => Duration::ZERO,
            Query::AtLeast(_, wait) | Query::Linearizable(wait) => wait,
        }
    }

    /// True for an error that says something of the member, and not only of what it was asked for.
    pub(super) fn blames(self, error: &Error) -> bool {
        match self {
            Query::Now => true,
            Query::AtLeast(..) | Query::Linearizable(_) => matches!(
                error.code(),
                ErrorCode::Unreachable
                    | ErrorCode::WrongCluster
                    | ErrorCode::Version
                    | ErrorCode::TooLarge
                    | ErrorCode::Unauthenticated
            ),
        }
    }
}

/// A connection to a member of the cluster that is followed.
pub(super) struct Member {
    pub(super) addr: String,
    connection: HttpConnection,
    /// The tag of its last answer.
    tag: Option<HeaderValue>,
    /// The revision of its last answer.
    pub(super) revision: u64,
    /// False where it had lost contact with the leader when it answered last.
    pub(super) is_leader_known: bool,
    /// True when it has said that it closes the connection.
    closes: bool,
    /// How long it took to take over the last answer, from its first byte on.
    pub(super) cost: Duration,
}

impl Member {
    /// Connects to an address and asks. The whole answer is asked for, whatever is known already: the id of the cluster is
    /// in it, and a tag alone could be that of another cluster.
    ///
    /// # Errors
    /// Why this address is none to follow: those of [`Shared::accept`] and [`HttpConnection::get`], and `CONFLICT` when
    /// it is behind what this client has seen.
    pub(super) async fn ask(shared: &Arc<Shared>, addr: String, query: Query) -> Result<Self> {
        let socket = shared.connector.connect(&addr).await?;
        let stream: Box<dyn PeerStream> = match &shared.tls {
            Some(tls) => {
                let limit = shared.options.connect_timeout;
                let handshake = env::timeout(limit, tls.connect(socket, &addr)).await;
                handshake.unwrap_or_else(|_| {
                    let message = format!("no TLS handshake within {limit:?}");
                    Err(Error::new(ErrorCode::Timeout, message))
                })?
            }
            None => Box::new(socket),
        };
        let mut member = Member {
            connection: HttpConnection::new(stream, &addr, shared.options.token.as_ref()).await?,
            addr,
            tag: None,
            revision: 0,
            is_leader_known: false,
            closes: false,
            cost: Duration::ZERO,
        };
        member.request(shared, &query.target(), query.wait()).await?;
        Ok(member)
    }

    /// Asks for what comes after the present view, and waits for it for `timeout`: a long poll.
    ///
    /// # Errors
    /// As [`Member::ask`].
    pub(super) async fn poll(&mut self, shared: &Arc<Shared>, timeout: Duration) -> Result<()> {
        if self.closes {
            return Err(Error::new(ErrorCode::Unreachable, "it has closed the connection"));
        }
        let after = shared.revision();
        let target = format!("/cluster?wait={after}&timeout={}", whole_millis(timeout));
        self.request(shared, &target, timeout).await
    }

    async fn request(&mut self, shared: &Arc<Shared>, target: &str, wait: Duration) -> Result<()> {
        // What is seen while this is under way may be newer than the answer, and that is no fault of the member.
        let seen = shared.revision();
        let request = HttpRequest {
            target,
            known_tag: self.tag.as_ref(),
            wait,
            timeout: shared.options.request_timeout,
            max_body_bytes: shared.options.max_response_bytes as usize,
        };
        let answer = self.connection.get(&request).await?;
        let began = answer.began;
        self.take(shared, answer).await?;
        self.cost = began.elapsed();
        if self.revision < seen {
            let message = format!(
                "it is at revision {}, and this client has seen {seen}",
                self.revision
            );
            return Err(Error::new(ErrorCode::Conflict, message));
        }
        shared.note_answer(&self.addr, self.is_leader_known);
        Ok(())
    }

    async fn take(&mut self, shared: &Arc<Shared>, answer: HttpAnswer) -> Result<()> {
        self.closes = answer.closes;
        let Some(body) = answer.body else {
            self.is_leader_known = answer.is_leader_known;
            return Ok(());
        };
        let (revision, is_leader_known) = match body.len() {
            0..=MAX_INLINE_BYTES => accept(shared, &body)?,
            _ => {
                let shared = shared.clone();
                env::blocking(move || accept(&shared, &body)).await??
            }
        };
        self.tag = answer.tag;
        self.revision = revision;
        self.is_leader_known = is_leader_known;
        Ok(())
    }
}

/// Makes a body the view, if it is newer; its revision, and whether the member knows a leader.
fn accept(shared: &Shared, body: &[u8]) -> Result<(u64, bool)> {
    let answer = ClusterAnswer::parse(body)?;
    let said = (answer.revision(), answer.is_leader_known());
    shared.accept(answer)?;
    Ok(said)
}
