//! A node's REST API for tests: blocking, and every call has a deadline.

use std::io::ErrorKind;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use clusterkit::model::{Cluster, ConsensusStats, LeaderInfo, Node};
use clusterkit::net::{Keyring, Role, Token};
use clusterkit::{Error, ErrorCode, Options, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request, StatusCode, header};

/// The maximum size of an answer: many times the `/cluster` of the largest cluster without its data.
const MAX_ANSWER: u64 = 256 << 20;

/// A client of one node.
#[derive(Debug)]
pub struct Api {
    addr: String,
    timeout: Duration,
    agent: Agent,
}

/// A complete answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The whole cluster as one node answered it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The answer as it came, to be compared byte for byte.
    pub body: Bytes,
    /// What it says.
    pub cluster: Cluster,
    /// The node knew of no leader: it is what was so when it last heard of one.
    pub stale: bool,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] when it is not the expected JSON: the node is another program, or another version.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let status = self.status;
            let message = format!("the answer (status {status}) is not as expected: {error}");
            Error::new(ErrorCode::Internal, message)
        })
    }

    /// The revision in the ETag.
    pub fn etag(&self) -> Option<u64> {
        let tag = self.headers.get(header::ETAG)?.to_str().ok()?;
        tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }

    /// The answer if its status is 2xx or 3xx, otherwise the error that it carries.
    ///
    /// # Errors
    /// The node's own error. [`ErrorCode::Internal`] with the status when the body is not an error of ClusterKit.
    pub fn into_ok(self) -> Result<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: Error,
        }
        if self.status.is_success() || self.status.is_redirection() {
            return Ok(self);
        }
        Err(match self.json::<Body>() {
            Ok(Body { error }) => error,
            Err(_) => {
                let message = format!("status {}: {:?}", self.status, self.body);
                Error::new(ErrorCode::Internal, message)
            }
        })
    }
}

/// The secret of the clusters that have one.
pub(crate) const SECRET: &str = "hY3kPq8vWz1RtN5cXs7DfGj2LmB9aQeU4oKiT6yHwEn";

/// The header that shows a token of a cluster with [`SECRET`] and the default name.
fn authorization() -> &'static str {
    static AUTHORIZATION: LazyLock<String> = LazyLock::new(|| {
        let keyring = Keyring::new(&Options::default().cluster_name, SECRET).unwrap();
        format!(
            "Bearer {}",
            Token::make(&keyring, Role::Operate, "tests", None).unwrap()
        )
    });
    &AUTHORIZATION
}

impl Api {
    /// A client of the node at `addr`, with a deadline of 15 s: longer than the node's own, so that the node can
    /// say what it waited for.
    pub fn new(addr: &str) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Api {
            addr: addr.to_owned(),
            timeout: Duration::from_secs(15),
            agent: Agent::new_with_config(config),
        }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Any request, sent once; the answer whatever its status.
    ///
    /// # Errors
    /// [`ErrorCode::Unreachable`] when nobody listens or the name has no address: nothing has happened at the node.
    /// [`ErrorCode::Timeout`] when no answer came for any other reason: the node may have executed the request.
    /// [`ErrorCode::InvalidArgument`] when there is no such request. [`ErrorCode::TooLarge`] when the answer exceeds
    /// 256 MiB.
    pub fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.exchange(method, path, headers, &body.into())
            .map_err(|error| self.failure(&error))
    }

    fn exchange(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::result::Result<Answer, ureq::Error> {
        let uri = format!("http://{}{path}", self.addr);
        // Nodes without a secret do not look at it.
        let mut builder = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, authorization());
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = self.agent.configure_request(builder.body(body)?);
        let (head, body) = self
            .agent
            .run(request.timeout_global(Some(self.timeout)).build())?
            .into_parts();
        let body = body.into_with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.into(),
        })
    }

    fn failure(&self, error: &ureq::Error) -> Error {
        let code = match error {
            ureq::Error::HostNotFound => ErrorCode::Unreachable,
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => ErrorCode::Unreachable,
            ureq::Error::Http(_) => ErrorCode::InvalidArgument,
            ureq::Error::BodyExceedsLimit(_) => ErrorCode::TooLarge,
            _ => ErrorCode::Timeout,
        };
        Error::new(code, format!("{}: {error}", self.addr))
    }

    /// GET; anything but success is an error.
    ///
    /// # Errors
    /// The node's, or none came.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.request(&Method::GET, path, &[], "")?.into_ok()
    }

    /// The status that a GET is answered with.
    ///
    /// # Errors
    /// When no answer came.
    pub fn status(&self, path: &str) -> Result<u16> {
        Ok(self.request(&Method::GET, path, &[], "")?.status.as_u16())
    }

    /// The whole cluster as this node has it, with its data.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn cluster(&self) -> Result<Snapshot> {
        #[derive(Deserialize)]
        struct Body {
            cluster: Cluster,
            #[serde(default)]
            stale: bool,
        }
        let answer = self.get("/cluster?include=custom_data")?;
        let Body { cluster, stale } = answer.json()?;
        Ok(Snapshot {
            body: answer.body,
            cluster,
            stale,
        })
    }

    /// The members as this node has them; without the data, so small and quick.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn nodes(&self) -> Result<Vec<Node>> {
        #[derive(Deserialize)]
        struct Body {
            nodes: Vec<Node>,
        }
        Ok(self.get("/nodes?limit=1000")?.json::<Body>()?.nodes)
    }

    /// Who leads, as far as this node knows.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn leader(&self) -> Result<LeaderInfo> {
        self.get("/consensus/leader")?.json()
    }

    /// Raft's numbers on this node.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn stats(&self) -> Result<ConsensusStats> {
        self.get("/consensus/stats")?.json()
    }

    /// Writes a value, whatever was there; the revision of the write.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<u64> {
        self.put_if(key, value, &[])
    }

    /// Writes a value if the one that is there is of revision `expected`; with `None`, if there is none.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where it is another; as [`Api::get`].
    pub fn compare_and_put(&self, key: &str, value: impl Into<Bytes>, expected: Option<u64>) -> Result<u64> {
        match expected {
            Some(revision) => self.put_if(key, value, &[("if-match", &format!("\"{revision}\""))]),
            None => self.put_if(key, value, &[("if-none-match", "*")]),
        }
    }

    fn put_if(&self, key: &str, value: impl Into<Bytes>, headers: &[(&str, &str)]) -> Result<u64> {
        #[derive(Deserialize)]
        struct Body {
            revision: u64,
        }
        let answer = self.request(&Method::PUT, &data_path(key), headers, value)?;
        Ok(answer.into_ok()?.json::<Body>()?.revision)
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn delete(&self, key: &str) -> Result<()> {
        let answer = self.request(&Method::DELETE, &data_path(key), &[], "")?;
        answer.into_ok().map(drop)
    }

    /// A value and the revision of its last write, as this node has it; with `at_least`, once it has applied that
    /// revision.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn value(&self, key: &str, at_least: u64) -> Result<Option<(Bytes, u64)>> {
        match self.get(&format!("{}?revision={at_least}", data_path(key))) {
            Ok(answer) => Ok(Some((answer.body.clone(), answer.etag().unwrap()))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The path of a key's value.
fn data_path(key: &str) -> String {
    format!("/data/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests;
