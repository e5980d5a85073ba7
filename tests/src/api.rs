//! A node's REST API for tests: blocking, and every call has a deadline.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use clusterkit::http::{Client, ClientResponse, encode_component};
use clusterkit::model::{Cluster, ConsensusStats, LeaderInfo, Node};
use clusterkit::{ErrorCode, Result};
use hyper::Method;
use serde::Deserialize;
use tokio::runtime::Runtime;

/// Where the clients of all tests in this process run.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    })
}

/// A client of one node.
#[derive(Debug)]
pub struct Api(Client);

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

impl Api {
    /// A client of the node at `addr`, with a deadline of 15 s: longer than the node's own, so that the node can
    /// say what it waited for.
    pub fn new(addr: &str) -> Self {
        Api(Client::new(addr).with_timeout(Duration::from_secs(15)))
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Api(self.0.with_timeout(timeout))
    }

    /// Any request; the answer whatever its status.
    ///
    /// # Errors
    /// When no answer came.
    pub fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<ClientResponse> {
        runtime().block_on(self.0.request(method.clone(), path, headers, body.into()))
    }

    /// GET; anything but success is an error.
    ///
    /// # Errors
    /// The node's, or none came.
    pub fn get(&self, path: &str) -> Result<ClientResponse> {
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
        let path = format!("/data/{}", encode_component(key));
        let answer = self.request(&Method::PUT, &path, headers, value)?;
        Ok(answer.into_ok()?.json::<Body>()?.revision)
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn delete(&self, key: &str) -> Result<()> {
        let path = format!("/data/{}", encode_component(key));
        self.request(&Method::DELETE, &path, &[], "")?.into_ok().map(drop)
    }

    /// A value and the revision of its last write, as this node has it; with `at_least`, once it has applied that
    /// revision.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn value(&self, key: &str, at_least: u64) -> Result<Option<(Bytes, u64)>> {
        let path = format!("/data/{}?revision={at_least}", encode_component(key));
        match self.get(&path) {
            Ok(answer) => Ok(Some((answer.body.clone(), answer.etag().unwrap()))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
