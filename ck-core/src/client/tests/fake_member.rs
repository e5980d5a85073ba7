//! A member that answers what a test tells it to, over real connections to 127.0.0.1.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::json;

use crate::model::{
    ClusterConfig, CopyState, Node, NodeId, NodeStatus, Partition, PartitionCopy, Timestamp, Topology,
};
use crate::routing::ClusterView;

/// What it does with a request.
#[derive(Clone)]
pub(super) enum Behaviour {
    /// Answers as a node does, long polls included.
    Member,
    /// Sends these bytes and closes the connection.
    Raw(Vec<u8>),
    /// Sends these bytes at once, whatever it is asked to wait for.
    AtOnce(Vec<u8>),
    /// Sends these bytes at once, and then one more each time, for as long as the other end listens.
    Trickle(Vec<u8>, Duration),
    /// Sends these bytes, and then repeats the others for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// Answers nothing, and keeps the connection open.
    Silent,
    /// Closes the connection.
    Close,
}

/// A request that it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FakeRequest {
    /// The number of its connection, from 1.
    pub(super) connection: usize,
    pub(super) target: String,
    pub(super) known_tag: Option<String>,
    /// All of it.
    pub(super) head: String,
}

struct State {
    topology: Topology,
    revision: u64,
    is_leader_known: bool,
    behaviour: Behaviour,
    requests: Vec<FakeRequest>,
    connections: usize,
}

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    is_stopped: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// A member that a test controls. It is gone when this is dropped.
pub(super) struct FakeMember {
    addr: SocketAddr,
    inner: Arc<Inner>,
    accepting: Option<JoinHandle<()>>,
}

/// A cluster with these members, each an id and an address, that share four partitions; `epoch` tells versions apart.
pub(in crate::client) fn topology(members: &[(&str, &str)], epoch: u64) -> Topology {
    let node = |(id, ip): &(&str, &str)| {
        let node = Node {
            ip: (*ip).to_owned(),
            status: NodeStatus::Active,
            ..Node::sample(id)
        };
        (NodeId::from(*id), Arc::new(node))
    };
    let partition = |number: u32| {
        let mut ids: Vec<&str> = members.iter().map(|(id, _)| *id).collect();
        let primary = ids[number as usize % ids.len()].into();
        ids.sort_unstable();
        Arc::new(Partition {
            number,
            epoch,
            primary: Some(primary),
            copies: ids
                .iter()
                .map(|id| PartitionCopy::new((*id).into(), CopyState::Synced, 0))
                .collect(),
            target: None,
            released: None,
            granted: 0,
            idle_since: 0,
        })
    };
    Topology {
        cluster_id: "c-1".to_owned(),
        config: ClusterConfig {
            cluster_name: "orders".to_owned(),
            partition_count: 4,
            replication_factor: 2,
            ..ClusterConfig::default()
        },
        nodes: members.iter().map(node).collect(),
        partitions: (0..4).map(partition).collect(),
        leader: members.first().map(|(id, _)| (*id).into()),
        leader_epoch: 1,
        leader_term: 0,
        elected_at: Timestamp::default(),
        maintenance: None,
        stretch: 0,
    }
}

/// The body of `GET /cluster`, as a node writes it.
pub(in crate::client) fn body(
    topology: &Topology,
    revision: u64,
    is_leader_known: bool,
) -> serde_json::Value {
    let mut cluster = ClusterView::new(Arc::new(topology.clone()), revision, "").cluster(None);
    if !is_leader_known {
        cluster.leader = "".into();
    }
    json!({
        "hash_config": {
            "algorithm": "md5",
            "encoding": "big_endian_uint32",
            "modulo": topology.config.partition_count,
            "format": "partition-%d",
        },
        "revision": revision,
        "cluster": cluster,
    })
}

/// An answer with this status and body.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl FakeMember {
    /// A member of a cluster of its own, at revision 10.
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let topology = topology(&[("a", &addr.to_string())], 10);
        FakeMember::on(listener, topology, 10)
    }

    /// Listens on a listener of the test's own.
    pub(super) fn on(listener: TcpListener, topology: Topology, revision: u64) -> Self {
        let addr = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            state: Mutex::new(State {
                topology,
                revision,
                is_leader_known: true,
                behaviour: Behaviour::Member,
                requests: Vec::new(),
                connections: 0,
            }),
            changed: Condvar::new(),
            is_stopped: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let accepted = inner.clone();
        let accepting = std::thread::spawn(move || accept(&listener, &accepted));
        FakeMember {
            addr,
            inner,
            accepting: Some(accepting),
        }
    }

    pub(super) fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// Changes what it answers; polls look again.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.inner.state.lock());
        self.inner.changed.notify_all();
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.change(|state| state.behaviour = behaviour);
    }

    /// Has it answer this revision, which its partitions have as their epoch.
    pub(super) fn advance_to(&self, revision: u64) {
        self.change(|state| {
            state.revision = revision;
            let members: Vec<(String, String)> = state
                .topology
                .nodes
                .values()
                .map(|node| (node.id.to_string(), node.ip.clone()))
                .collect();
            let members: Vec<(&str, &str)> = members
                .iter()
                .map(|(id, ip)| (id.as_str(), ip.as_str()))
                .collect();
            state.topology.partitions = topology(&members, revision).partitions;
        });
    }

    pub(super) fn set_topology(&self, topology: Topology, revision: u64) {
        self.change(|state| {
            state.topology = topology;
            state.revision = revision;
        });
    }

    pub(super) fn set_leader_known(&self, is_known: bool) {
        self.change(|state| state.is_leader_known = is_known);
    }

    pub(super) fn requests(&self) -> Vec<FakeRequest> {
        self.inner.state.lock().requests.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.inner.state.lock().connections
    }

    /// Ends it, as a process that is killed: its connections are closed, and its address refuses others.
    pub(super) fn kill(mut self) -> SocketAddr {
        self.end();
        self.addr
    }

    fn end(&mut self) {
        self.inner.is_stopped.store(true, Ordering::SeqCst);
        self.inner.changed.notify_all();
        // Wakes the accept loop.
        drop(TcpStream::connect(self.addr));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        for stream in self.inner.streams.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for FakeMember {
    fn drop(&mut self) {
        self.end();
    }
}

fn accept(listener: &TcpListener, inner: &Arc<Inner>) {
    while let Ok((stream, _)) = listener.accept() {
        if inner.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        inner.streams.lock().push(stream.try_clone().unwrap());
        let number = {
            let mut state = inner.state.lock();
            state.connections += 1;
            state.connections
        };
        let inner = inner.clone();
        std::thread::spawn(move || serve(&stream, number, &inner));
    }
}

/// Serves one connection until either end closes it.
fn serve(mut stream: &TcpStream, connection: usize, inner: &Inner) {
    while let Some(head) = read_head(stream) {
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let known_tag = header("if-none-match");
        let mut state = inner.state.lock();
        state.requests.push(FakeRequest {
            connection,
            target: target.clone(),
            known_tag: known_tag.clone(),
            head: head.clone(),
        });
        let param = |name: &str| -> Option<u64> {
            let params = target.split_once('?')?.1.split('&');
            params
                .filter_map(|param| param.split_once('='))
                .find(|(known, _)| *known == name)?
                .1
                .parse()
                .ok()
        };
        let deadline = Instant::now() + Duration::from_millis(param("timeout").unwrap_or(0));
        let wanted = param("wait").map(|wait| wait + 1).or(param("revision"));
        let is_reached = |state: &State| wanted.is_none_or(|wanted| state.revision >= wanted);
        while !is_reached(&state)
            && matches!(state.behaviour, Behaviour::Member)
            && !inner.is_stopped.load(Ordering::SeqCst)
        {
            if inner.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let behaviour = state.behaviour.clone();
        let bytes = match behaviour {
            Behaviour::Member if param("revision").is_some() && !is_reached(&state) => answer(
                "504 Gateway Timeout",
                "",
                r#"{"error":{"code":"TIMEOUT","message":"the revision is not applied here yet"}}"#,
            ),
            Behaviour::Member => as_member(&state, known_tag.as_deref()),
            Behaviour::AtOnce(bytes) => bytes,
            Behaviour::Raw(bytes) => {
                drop(state);
                let _ = stream.write_all(&bytes);
                break;
            }
            Behaviour::Trickle(bytes, pause) => {
                drop(state);
                let mut written = stream.write_all(&bytes);
                while written.is_ok() && !inner.is_stopped.load(Ordering::SeqCst) {
                    std::thread::sleep(pause);
                    written = stream.write_all(b" ");
                }
                break;
            }
            Behaviour::Endless(first, again) => {
                drop(state);
                let mut written = stream.write_all(&first);
                while written.is_ok() && !inner.is_stopped.load(Ordering::SeqCst) {
                    written = stream.write_all(&again);
                }
                break;
            }
            Behaviour::Silent => {
                while matches!(state.behaviour, Behaviour::Silent) && !inner.is_stopped.load(Ordering::SeqCst)
                {
                    inner.changed.wait(&mut state);
                }
                break;
            }
            Behaviour::Close => break,
        };
        drop(state);
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn as_member(state: &State, known_tag: Option<&str>) -> Vec<u8> {
    let stale = if state.is_leader_known { "" } else { "-stale" };
    let tag = format!("\"{}{stale}\"", state.revision);
    let headers = format!(
        "etag: {tag}\r\nx-clusterkit-known-leader: {}\r\n",
        state.is_leader_known
    );
    if known_tag == Some(&tag) {
        return format!("HTTP/1.1 304 Not Modified\r\n{headers}\r\n").into_bytes();
    }
    let body = body(&state.topology, state.revision, state.is_leader_known);
    answer("200 OK", &headers, &body.to_string())
}

fn read_head(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
