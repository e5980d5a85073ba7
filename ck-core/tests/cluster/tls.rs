//! Clusters that speak TLS, with certificates that are replaced while they run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clusterkit::net::{Keyring, Role, Token};
use clusterkit::{Client, ClientOptions, ClusterKit, ErrorCode, Expect, Options};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use tempfile::TempDir;

use super::security::Load;
use super::support::{TIMEOUT, TestNode, founder, join, options, settle, stop, until};

const SECRET: &str = "1f9d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff0";
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Authority { pem, issuer }
    }

    /// The certificate and the key of a node.
    fn issue(&self, node: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        let uri = format!("clusterkit://clusterkit-cluster/peer/{node}");
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// The files of a cluster, replaced as Kubernetes does: a link points to the folder that has what is valid.
struct Files {
    dir: TempDir,
    version: usize,
}

impl Files {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Files { dir, version: 0 }
    }

    fn path(&self, node: &str, file: &str) -> String {
        self.dir
            .path()
            .join("live")
            .join(format!("{node}.{file}"))
            .display()
            .to_string()
    }

    fn ca(&self) -> String {
        self.path("all", "ca")
    }

    /// Certificates from one authority, and those that are trusted.
    fn replace(&mut self, issuer: &Authority, trusted: &[&Authority]) {
        self.version += 1;
        let folder: PathBuf = self.dir.path().join(format!("version-{}", self.version));
        std::fs::create_dir(&folder).unwrap();
        for node in NODES {
            let (cert, key) = issuer.issue(node);
            std::fs::write(folder.join(format!("{node}.cert")), cert).unwrap();
            std::fs::write(folder.join(format!("{node}.key")), key).unwrap();
        }
        let ca: String = trusted.iter().map(|authority| authority.pem.as_str()).collect();
        std::fs::write(folder.join("all.ca"), ca).unwrap();
        let link = self.dir.path().join("next");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        std::fs::rename(link, self.dir.path().join("live")).unwrap();
    }

    /// Options with these files.
    fn secure(&self, mut options: Options) -> Options {
        options.tls.cert = Some(self.path(&options.node_id, "cert"));
        options.tls.key = Some(self.path(&options.node_id, "key"));
        options.tls.ca = Some(self.ca());
        options
    }

    /// A client of the cluster that trusts the authorities in a file.
    fn client(&self, nodes: &[TestNode], ca: &Path) -> ClientOptions {
        let mut options = ClientOptions::new(nodes.iter().map(TestNode::addr));
        options.cluster_name = Some("clusterkit-cluster".to_owned());
        options.tls_ca = Some(ca.display().to_string());
        // TLS says who the members are; what the client may do it shows by a token.
        let keyring = Keyring::new("clusterkit-cluster", SECRET).unwrap();
        options.token = Some(Token::make(&keyring, Role::Read, "test", None).unwrap().into());
        options
    }
}

/// Three nodes, each with these options.
fn start(prepare: impl Fn(Options) -> Options) -> Vec<TestNode> {
    let mut nodes = vec![TestNode::start(prepare(founder(NODES[0]))).unwrap()];
    for id in &NODES[1..] {
        nodes.push(join(prepare(options(id)), &nodes[..1]).unwrap());
    }
    settle(&nodes);
    nodes
}

/// A write that has to succeed.
fn write(kit: &ClusterKit, key: &str) {
    kit.set_custom_data(key, "v", Expect::Any, TIMEOUT).unwrap();
}

fn with_secret(mut options: Options) -> Options {
    options.set("cluster_secret", SECRET).unwrap();
    options
}

#[test]
fn a_cluster_forms_with_tls_alone_with_the_secret_alone_and_with_both() {
    let authority = Authority::new();
    let mut files = Files::new();
    files.replace(&authority, &[&authority]);
    let tls = |options| files.secure(options);
    let both = |options| files.secure(with_secret(options));
    let ways: [&dyn Fn(Options) -> Options; 3] = [&tls, &with_secret, &both];
    for (number, prepare) in ways.into_iter().enumerate() {
        let nodes = start(prepare);
        write(&nodes[1].kit, "k");
        until("the write everywhere", || {
            nodes.iter().all(|node| node.kit.custom_data("k").is_some())
        });
        // One that has no certificate, or not the secret, is not let in.
        let mut stranger = options("node-4");
        stranger.join_timeout = Duration::from_millis(500);
        let refused = join(stranger, &nodes[..1]).err().map(|error| error.code());
        assert!(refused.is_some(), "{number}");
        stop(nodes);
    }
}

#[test]
fn writes_go_on_while_every_certificate_and_the_authority_are_replaced() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut files = Files::new();
    files.replace(&old, &[&old]);
    let old_ca = files.dir.path().join("old.ca");
    std::fs::write(&old_ca, &old.pem).unwrap();
    let mut nodes = start(|options| files.secure(with_secret(options)));
    let client = Client::new(files.client(&nodes, Path::new(&files.ca()))).unwrap();
    client.wait_ready(TIMEOUT).unwrap();

    let reloads: Vec<Arc<AtomicUsize>> = nodes
        .iter()
        .map(|node| {
            let seen = Arc::new(AtomicUsize::new(0));
            let count = seen.clone();
            node.kit.on_log(Some(Arc::new(move |_, line: &str| {
                if line.contains("the certificate or the CA has changed") {
                    count.fetch_add(1, Ordering::AcqRel);
                }
            })));
            seen
        })
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let kits: Vec<_> = nodes.iter().map(|node| node.kit.clone()).collect();
        let writer = {
            let done = &done;
            scope.spawn(move || {
                let mut written = 0_usize;
                while !done.load(Ordering::Acquire) {
                    let kit = &kits[written % kits.len()];
                    write(kit, &format!("k{}", written % 100));
                    written += 1;
                }
                written
            })
        };
        for (round, (issuer, trusted)) in [
            (&old, vec![&old, &new]),
            (&new, vec![&old, &new]),
            (&new, vec![&new]),
        ]
        .into_iter()
        .enumerate()
        {
            files.replace(issuer, &trusted);
            until("the files are read", || {
                reloads.iter().all(|seen| seen.load(Ordering::Acquire) > round)
            });
        }
        done.store(true, Ordering::Release);
        assert!(writer.join().unwrap() > 10);
    });
    // From now on only the new authority counts, for those who connect.
    let third = nodes.pop().unwrap();
    nodes.push(third.restart());
    settle(&nodes);
    let fresh = Client::new(files.client(&nodes, Path::new(&files.ca()))).unwrap();
    fresh.wait_ready(TIMEOUT).unwrap();
    let late = Client::new(files.client(&nodes, &old_ca)).unwrap();
    let error = late.wait_ready(Duration::from_secs(1)).unwrap_err();
    assert!(
        error.message().contains("certificate") || error.code() == ErrorCode::Unauthenticated,
        "{error}"
    );
    stop(nodes);
}

/// A cluster with a secret is given TLS, and one with TLS a secret, while writes go on. What was required before is required all
/// the time.
#[test]
fn a_cluster_with_one_of_the_two_is_given_the_other_under_load() {
    let authority = Authority::new();
    let mut files = Files::new();
    files.replace(&authority, &[&authority]);
    let tls = |options| files.secure(options);
    let ways: [[&dyn Fn(Options) -> Options; 2]; 2] = [[&with_secret, &tls], [&tls, &with_secret]];
    for [first, second] in ways {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = start(|mut options| {
            options.data_dir = dir.path().join(&options.node_id).display().to_string();
            first(options)
        });
        for rollout in [true, false] {
            for place in 0..3 {
                let others = nodes.iter().enumerate().filter(|(other, _)| *other != place);
                let load = Load::on(others.map(|(_, node)| node.kit.clone()).collect());
                load.wait_for_more("writes before the restart");
                let mut node = nodes.remove(place);
                if rollout {
                    node.options = second(node.options);
                }
                node.options.security_rollout = rollout;
                nodes.insert(place, node.restart());
                settle(&nodes);
                load.wait_for_more("writes after the restart");
                let errors = load.end();
                assert!(errors.is_empty(), "rollout {rollout}, node {place}: {errors:?}");
                let mut stranger = options("node-4");
                stranger.join_timeout = Duration::from_millis(300);
                assert!(
                    join(stranger, &nodes[..1]).is_err(),
                    "nobody comes in without either"
                );
            }
        }
        stop(nodes);
    }
}
