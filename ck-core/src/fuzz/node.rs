//! A simulated node that leads a cluster of one: takes calls and requests of strangers, then must still work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http_body_util::{BodyExt, Limited};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::Input;
use crate::env::disk::{Disk, MemDisk};
use crate::env::{self, Instant};
use crate::error::{ErrorCode, Result};
use crate::http::{Access, HttpLimits, RequestCounters, router};
use crate::membership::{Identity, IdentityFile};
use crate::model::{ClusterConfig, whole_millis};
use crate::net::sim::SimNetwork;
use crate::net::{Keyring, Lane, Security};
use crate::options::Options;
use crate::raft::fuzz as consensus;
use crate::rpc::{MemberCall, MemberRequest, Service, decode};
use crate::sim::{SimNode, SimSpec, simulate};
use crate::state::Expect;

const ME: &str = "node-1";
const ADDR: &str = "10.0.0.1:7000";
const STRANGER: &str = "10.0.0.99:7000";
/// The same in every run, so that the calls in the corpus are accepted.
const CLUSTER: &str = "the-cluster";
/// The most simulated time that any step may take. Some calls cause elections, and pledges and grants have to end
/// first.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
const SEED: u64 = 1;

/// A bit in the service byte of an input: the call is adapted to the log first.
const FIT: u8 = 0x80;

/// The input is a sequence of calls, each a service byte and a body. Whatever the node receives, it must be able to
/// write afterwards, and after a restart, unless a call that may do so removed it from its cluster.
pub(crate) fn peer(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut calls = Vec::new();
    while !input.is_empty() {
        let service = input.u8();
        let body = input.part();
        calls.push([&[service], body].concat());
    }
    simulate(SEED, async {
        let disk = Arc::new(MemDisk::new());
        let network = SimNetwork::new(SEED);
        let node = start(&network, &disk).await;
        let node = node.unwrap_or_else(|error| unreachable!("{error}"));
        let stranger = network.transport(STRANGER);
        for call in &mut calls {
            fit(call, &node);
            // A call that cannot be decoded is answered, too.
            let answer = stranger
                .call(ADDR, Lane::Log, call.clone().into(), STEP_TIMEOUT)
                .await;
            assert!(answer.is_ok() || may_take_long(call), "{answer:?}");
        }
        let excused = calls.iter().any(|call| may_put_it_out(call));
        let wrote = write(&node, "after").await;
        let is_out = is_out(&node);
        assert!(
            wrote.is_ok() || excused && is_out,
            "{wrote:?}, {}",
            node.raft_state()
        );
        let stopped = node.stop().await;
        assert!(stopped.is_ok(), "{stopped:?}");
        match start(&network, &disk).await {
            Ok(again) => {
                let wrote_again = write(&again, "after a restart").await;
                let kept = again.data("after").is_some();
                assert!(
                    wrote.is_err() || wrote_again.is_ok() && kept || excused && self::is_out(&again),
                    "{wrote_again:?}, {kept}, {}",
                    again.raft_state()
                );
            }
            Err(error) => assert!(excused && error.code() != ErrorCode::Internal, "{error}"),
        }
    });
}

/// Adapts a call to the log of the node if its [`FIT`] bit is set.
fn fit(call: &mut Vec<u8>, node: &SimNode) {
    let Some(service) = call.first_mut().filter(|service| **service & FIT != 0) else {
        return;
    };
    *service &= !FIT;
    let Some((Service::Raft, body)) = Service::open(call) else {
        return;
    };
    if let Some(fitting) = node.tip().and_then(|tip| consensus::fit(body, tip)) {
        *call = Service::Raft.envelope(&fitting).to_vec();
    }
}

/// Sends HTTP requests to the node, one after the other. Each must be answered, and none with an internal error. A node that
/// is secured must say nothing to them but that it is there, and do nothing.
pub(crate) fn ask(requests: Vec<(Request, Vec<u8>)>, is_secured: bool) {
    simulate(SEED, async {
        let node = start(&SimNetwork::new(SEED), &Arc::new(MemDisk::new())).await;
        let node = node.unwrap_or_else(|error| unreachable!("{error}"));
        let limits = HttpLimits {
            browser_hosts: vec!["node.example".to_owned()],
            ..HttpLimits::default()
        };
        let access = match is_secured {
            true => Access::new(&Options::new(ME, ADDR), secured(), Arc::default()),
            false => Access::default(),
        };
        let service = TowerToHyperService::new(router(
            node.api(),
            limits,
            Arc::<RequestCounters>::default(),
            Arc::new(access),
            None,
        ));
        let before = node.topology();
        for (request, _) in requests {
            let shown = format!("{} {}", request.method(), request.uri());
            let is_open = matches!(request.uri().path(), "/health" | "/ready" | "/");
            let answered =
                env::timeout(2 * STEP_TIMEOUT, node.sim_process().wrap(service.call(request))).await;
            let Ok(Ok(response)) = answered else {
                unreachable!("{shown}: no answer");
            };
            let status = response.status();
            assert!(status.as_u16() != 500, "{shown}: {status}");
            // A redirect and the like say nothing of the cluster either.
            assert!(
                !is_secured || is_open || !status.is_success(),
                "{shown}: {status}"
            );
            let body: Body = response.into_body();
            let body = Limited::new(body, 16 << 20).collect().await;
            let Ok(body) = body else {
                unreachable!("{shown}: the answer breaks off");
            };
            let body = body.to_bytes();
            if (status.is_client_error() || status.is_server_error()) && !body.is_empty() {
                let error = serde_json::from_slice::<serde_json::Value>(&body);
                let code = error.as_ref().ok().and_then(|body| body.pointer("/error/code"));
                assert!(code.is_some(), "{shown}: {status} {error:?}");
            }
        }
        if is_secured {
            assert_eq!(node.topology(), before, "a stranger has changed it");
            assert!(node.data("k").is_none(), "a stranger has written");
        }
    });
}

/// Security with a secret that is in no input.
fn secured() -> Security {
    let keyring = Keyring::new(
        &Options::default().cluster_name,
        "of-a-node-that-is-fuzzed-0123456789ABCDEFGHIJ",
    );
    keyring.map_or_else(
        |error| unreachable!("{error}"),
        |keyring| Security::with_keyring(keyring, false),
    )
}

/// Starts a process of the node. It bootstraps the cluster if there is none on the disk.
async fn start(network: &SimNetwork, disk: &Arc<MemDisk>) -> Result<SimNode> {
    let mut options = Options::new(ME, ADDR);
    options.data_dir = "/data".to_owned();
    options.partition_count = Some(2);
    options.replication_factor = Some(1);
    options.join_timeout = STEP_TIMEOUT;
    found(&options, disk)?;
    let node = SimNode::new(SimSpec {
        options,
        disk: disk.clone(),
        network: network.clone(),
        snapshots: (200, 50),
        drift_ppm: 0,
    })?;
    node.start().await?;
    Ok(node)
}

/// Stores what a bootstrapping node stores before it bootstraps, with a fixed cluster id instead of a random one.
fn found(options: &Options, disk: &Arc<MemDisk>) -> Result<()> {
    let dir = Path::new(&options.data_dir);
    disk.create_dir_all(dir)?;
    let file = IdentityFile::new(disk.clone(), dir);
    if file.load()?.is_some() {
        return Ok(());
    }
    let mut identity = Identity::new(CLUSTER.into(), options.cluster_name.clone(), ME.into(), 1);
    identity.founding = Some(ClusterConfig {
        cluster_name: options.cluster_name.clone(),
        partition_count: options.bootstrap_partition_count(),
        replication_factor: options.bootstrap_replication_factor(),
        lease_ttl_ms: whole_millis(options.effective_lease_ttl()),
        failure_timeout_ms: whole_millis(options.failure_timeout()),
        election_timeout_ms: whole_millis(options.timing.values().election_max),
    });
    file.store(&identity)
}

/// Writes as soon as the node can. A node that was reported as stopping or failed, or that does not lead at the moment,
/// recovers first.
async fn write(node: &SimNode, key: &str) -> Result<u64> {
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        let written = node
            .set_data(key.to_owned(), "value".into(), Expect::Any, STEP_TIMEOUT)
            .await;
        if written.is_ok() || Instant::now() >= deadline || node.refusal().is_some() {
            return written;
        }
        env::sleep(Duration::from_millis(50)).await;
    }
}

/// True if the node is no member, or is not the only voter.
fn is_out(node: &SimNode) -> bool {
    let is_member = node.topology().nodes.contains_key(ME);
    let votes_alone = node
        .raft_members()
        .is_some_and(|members| members.voters.into_iter().eq([1]));
    node.refusal().is_some() || !is_member || !votes_alone
}

/// True for calls that may remove the node from its cluster: entries and snapshots of a leader, and the order of an
/// operator.
fn may_put_it_out(call: &[u8]) -> bool {
    match Service::open(call) {
        Some((Service::Raft, body)) => consensus::may_change_members(body),
        Some((Service::Member, body)) => decode::<MemberRequest>(body, "a call").is_ok_and(|request| {
            matches!(request.call, MemberCall::Remove { node, .. } | MemberCall::Leave { node, .. } if &*node == ME)
        }),
        _ => false,
    }
}

/// True for calls that are answered only after another node has answered, or once the node leads again.
fn may_take_long(call: &[u8]) -> bool {
    matches!(Service::open(call), Some((Service::Forward | Service::Member, _)))
}

/// Examples of every call, as a sender that knows the protocol would make it.
#[cfg(test)]
pub(crate) fn examples() -> Vec<super::Example> {
    use crate::model::NodeHealthState;
    use crate::rpc::encode;
    use crate::rpc::{JoinRequest, SyncReport};
    use crate::state::{Command, NodeSpec, Proposal};

    let member = |call: MemberCall| {
        let request = MemberRequest {
            cluster: CLUSTER.to_owned(),
            forwarded: true,
            call,
            from: None,
            epoch: 1,
        };
        Service::Member.envelope(&encode(&request).unwrap())
    };
    let me = crate::model::NodeId::from(ME);
    let spec = NodeSpec {
        id: "node-9".into(),
        name: "n".to_owned(),
        ip: STRANGER.to_owned(),
        port: 7000,
        peer_addr: STRANGER.to_owned(),
        services: std::collections::BTreeMap::from([("kv".to_owned(), ":9080".to_owned())]),
        zone: Some("z".to_owned()),
        weight: 100,
        labels: std::collections::BTreeMap::new(),
        process: 5,
        raft_id: None,
    };
    let join = JoinRequest {
        spec,
        cluster_name: "clusterkit-cluster".to_owned(),
        cluster_id: Some(CLUSTER.to_owned()),
        partition_count: Some(2),
        replication_factor: Some(1),
        lease_ttl_ms: None,
        failure_timeout_ms: None,
        election_timeout_ms: Some(300),
    };
    let sync = SyncReport {
        node: me.clone(),
        incarnation: 2,
        revision: 5,
        health: NodeHealthState::Healthy,
        health_reason: "r".to_owned(),
        copies: Vec::new(),
        delay_ms: 1,
    };
    let orders = [
        MemberCall::Rebalance,
        MemberCall::CreatePartitions,
        MemberCall::StepDown {
            to: Some("node-2".into()),
            cooldown_ms: Some(1000),
        },
        MemberCall::Maintenance {
            reason: Some("r".to_owned()),
        },
        MemberCall::Recover {
            number: 0,
            from: me.clone(),
            force: true,
        },
    ];
    let says = [
        MemberCall::Ping,
        MemberCall::Sync(sync),
        MemberCall::GiveBack {
            node: me.clone(),
            incarnation: 2,
        },
        MemberCall::Stop {
            node: me.clone(),
            incarnation: 2,
        },
        MemberCall::Failed {
            node: me.clone(),
            incarnation: 2,
        },
        MemberCall::RebalanceStatus,
        MemberCall::LastSeen,
        MemberCall::Promise {
            founder: "node-2".into(),
            expect: 3,
        },
    ];
    let goes = [
        MemberCall::Remove {
            node: me.clone(),
            force: true,
            incarnation: None,
        },
        MemberCall::Leave {
            node: me,
            incarnation: 2,
        },
    ];
    let set = |session, seq| {
        encode(&Proposal {
            session,
            seq,
            low: 0,
            epoch: None,
            at: crate::model::Timestamp::default(),
            command: Command::SetData {
                key: "k".to_owned(),
                value: "v".into(),
                expect: Expect::Any,
            },
        })
        .unwrap()
    };
    let proposals = [set(0, 0), set(2, 7)];
    let forwarded = consensus::forwarded_calls(CLUSTER, &proposals);
    let raft = consensus::raft_calls(CLUSTER, &proposals[0]);
    let input = |calls: &[bytes::Bytes]| {
        let mut input = Vec::new();
        for call in calls {
            let (service, body) = call.split_first().unwrap();
            // Only Raft RPCs are adapted; the bit has no effect on other calls.
            input.push(*service | FIT);
            super::put_part(&mut input, body);
        }
        input
    };
    let members = |calls: &[MemberCall]| calls.iter().cloned().map(member).collect::<Vec<_>>();
    let mut examples = vec![
        ("unknown", input(&[bytes::Bytes::from_static(b"\x09what")])),
        ("orders", input(&members(&orders))),
        ("says", input(&members(&says))),
        ("join", input(&members(&[MemberCall::Join(Box::new(join))]))),
        ("goes", input(&members(&goes))),
        ("forwarded", input(&forwarded)),
    ];
    examples.extend(raft.into_iter().map(|(name, calls)| (name, input(&calls))));
    examples
}
