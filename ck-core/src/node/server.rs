//! The listeners of a node, and the addresses that other nodes dial.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::http;
use crate::net::{self, Handler, PEER_PATH, PeerServer};
use crate::options::{ListenAddr, Options, advertised};

use super::{Node, file_limit};
use crate::http::{Access, RequestCounters};

/// How long peer calls under way may take to finish when the listeners close.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// Opens a node's listeners.
pub(crate) trait Listen: Send + Sync + 'static {
    /// Binds, and serves peers with `handler` and all other clients with the REST API of `node`.
    fn listen(&self, node: Arc<Node>, handler: Handler) -> BoxFuture<'_, Result<Listening>>;
}

/// Open listeners.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The address that others dial for HTTP.
    pub(crate) http_addr: String,
    /// The address that peers dial.
    pub(crate) peer_addr: String,
    /// Closes the listeners.
    pub(crate) close: Box<dyn Close>,
}

/// Closes listeners: no new request is accepted, and requests under way may finish.
pub(crate) trait Close: Debug + Send + Sync {
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The listeners of one node.
pub(super) struct Server {
    listen: Arc<dyn Listen>,
    listening: OnceLock<Listening>,
    counters: Arc<RequestCounters>,
    access: Arc<Access>,
}

impl Server {
    pub(super) fn new(listen: Arc<dyn Listen>, access: Access) -> Self {
        Server {
            listen,
            listening: OnceLock::new(),
            counters: Arc::default(),
            access: Arc::new(access),
        }
    }

    /// Opens the listeners: clients get the REST API of `node`, peers the answers of `handler`.
    ///
    /// # Errors
    /// Those of the sockets.
    pub(super) async fn open(&self, node: Arc<Node>, handler: Handler) -> Result<&Listening> {
        let listening = self.listen.listen(node, handler).await?;
        if self.listening.set(listening).is_err() {
            return Err(Error::internal("a node listens once"));
        }
        self.listening()
            .ok_or_else(|| Error::internal("a node that listens has addresses"))
    }

    /// The addresses at which the node listens, once it does.
    pub(super) fn listening(&self) -> Option<&Listening> {
        self.listening.get()
    }

    /// Counts the requests of clients.
    pub(super) fn counters(&self) -> &Arc<RequestCounters> {
        &self.counters
    }

    /// Who may make which request.
    pub(super) fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Closes the listeners, where they are open.
    pub(super) async fn close(&self) {
        if let Some(listening) = self.listening.get() {
            listening.close.close().await;
        }
    }
}

/// Listens on TCP sockets.
#[derive(Debug)]
pub(crate) struct TcpServer {
    /// The runtime whose threads serve clients; `None` uses the node's own runtime.
    pub(crate) clients: Option<Handle>,
}

#[derive(Debug)]
struct TcpListeners {
    stop: watch::Sender<bool>,
    peers: PeerServer,
}

impl Close for TcpListeners {
    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.stop.send_replace(true);
            // The accept loop holds a receiver for as long as it serves.
            self.stop.closed().await;
            self.peers.close(SHUTDOWN_GRACE).await;
        }
        .boxed()
    }
}

impl Listen for TcpServer {
    fn listen(&self, node: Arc<Node>, handler: Handler) -> BoxFuture<'_, Result<Listening>> {
        async move {
            let options = node.options().clone();
            let files = file_limit::limit();
            let (mut http_limits, net_limits) = file_limit::bounds(files);
            if let Some(files) = files.filter(|_| http_limits != http::HttpLimits::default()) {
                node.context.logger.warn(format_args!(
                    "this process may open {files} files only: at most {} connections of clients and {} of peers are \
                     served; raise the limit (ulimit -n, LimitNOFILE=)",
                    http_limits.max_connections, net_limits.max_connections
                ));
            }
            let peers = PeerServer::new(
                &options.cluster_name,
                handler,
                net_limits,
                node.context.security.clone(),
                node.context.identity.clone(),
            );
            let http = net::bind(&options.http_addr).await?;
            let raft = match &options.raft_addr {
                Some(raft_addr) => Some(net::bind(raft_addr).await?),
                None => None,
            };
            refuse_to_be_open(&options, "http_addr", &http)?;
            if let Some(raft) = &raft {
                refuse_to_be_open(&options, "raft_addr", raft)?;
            }
            if options.insecure {
                node.context.logger.warn(format_args!(
                    "insecure is true: this node obeys whoever reaches its port, without any proof"
                ));
            }
            let (http_addr, peer_addr) = addresses(&options, &http, raft.as_ref()).await?;
            if is_of_no_use(&options.http_listen()?, &http_addr) && options.advertise_addr.is_none() {
                node.context.logger.warn(format_args!(
                    "this node listens on every interface and tells others to dial {http_addr}, which is each machine's \
                     own: no address towards a network was found; set advertise_addr"
                ));
            }
            http_limits.browser_hosts = own_names(&options.http_listen()?, &http_addr);
            let (stop, mut stopping) = watch::channel(false);
            let router = http::router(
                node.clone(),
                http_limits.clone(),
                node.server.counters().clone(),
                node.server.access().clone(),
                Some(peer_route(peers.clone())),
            );
            let (clients, security) = (self.clients.clone(), node.context.security.clone());
            env::spawn(async move {
                let stopped = async move {
                    // An error means that the node is gone, which ends the server as well.
                    drop(stopping.wait_for(|stop| *stop).await);
                    stopping
                };
                let (tx, rx) = tokio::sync::oneshot::channel();
                let shutdown = async move {
                    let receiver = stopped.await;
                    drop(tx.send(receiver));
                };
                http::serve(http, router, http_limits, security, clients, shutdown).await;
                // The receiver is kept until here, so that `close` can wait for the end of the server.
                drop(rx.await);
            });
            if let Some(raft) = raft {
                peers.listen(raft);
            }
            Ok(Listening {
                http_addr,
                peer_addr,
                close: Box::new(TcpListeners { stop, peers }),
            })
        }
        .boxed()
    }
}

/// `GET /peer`: turns a peer's HTTP connection into one that carries frames.
fn peer_route(peers: PeerServer) -> Router {
    let upgrade = move |mut request: axum::extract::Request| {
        let peers = peers.clone();
        async move {
            let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
            // The server adds the remote address to each request.
            let remote = info.map_or_else(|| SocketAddr::from(([0; 4], 0)), |info| info.0);
            let response = peers.upgrade(&mut request, remote).await;
            response.map(axum::body::Body::new)
        }
    };
    Router::new().route(PEER_PATH, axum::routing::get(upgrade))
}

/// The names by which a browser may address this node, besides IP addresses and names without a dot.
fn own_names(listen: &ListenAddr, advertised: &str) -> Vec<String> {
    let advertised = advertised.rsplit_once(':').map_or(advertised, |(host, _)| host);
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec![listen.host().to_owned(), advertised.to_owned(), machine];
    names.retain(|name| !name.is_empty());
    names
}

/// True where a node that listens on every interface advertises an address that only this machine can dial.
fn is_of_no_use(listen: &ListenAddr, advertised: &str) -> bool {
    let ip = advertised.parse::<SocketAddr>().map(|address| address.ip());
    listen.is_wildcard() && ip.is_ok_and(|ip| ip.is_loopback())
}

/// Refuses to listen beyond this machine where nothing protects the node, unless that is what was asked for. The address
/// that is bound decides, not the name in the option.
fn refuse_to_be_open(options: &Options, option: &str, listener: &tokio::net::TcpListener) -> Result<()> {
    let bound = listener
        .local_addr()
        .map_err(|error| Error::io("look up the listen address", &error))?;
    if options.is_secured() || options.insecure || bound.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidOption,
        format!(
            "option {option} is bound to {bound}, which other machines reach, and nothing protects the node: set \
             cluster_secret or cluster_secret_file (clusterkit secret makes one) or tls.cert, tls.key and tls.ca on all \
             nodes; or listen on 127.0.0.1; or set insecure = true, and whoever reaches the port controls the cluster"
        ),
    ))
}

/// The HTTP address and the peer address that others dial. May ask the resolver.
async fn addresses(
    options: &Options,
    http: &tokio::net::TcpListener,
    raft: Option<&tokio::net::TcpListener>,
) -> Result<(String, String)> {
    let local = |listener: &tokio::net::TcpListener| {
        listener
            .local_addr()
            .map_err(|error| Error::io("look up the listen address", &error))
    };
    let advertise = options.advertise_addr.clone();
    let http_bound = local(http)?;
    let http_host = options.http_listen()?.bind_host().to_owned();
    let raft = match (raft, options.raft_listen()?) {
        (Some(listener), Some(listen)) => Some((local(listener)?, listen.bind_host().to_owned())),
        _ => None,
    };
    let work = move || {
        let http_addr = advertised(http_bound, advertise.as_deref(), &http_host)?;
        let peer_addr = match raft {
            Some((bound, host)) => advertised(bound, None, &host)?,
            None => http_addr.clone(),
        };
        Ok((http_addr, peer_addr))
    };
    env::blocking(work).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_that_advertises_loopback_is_noticed() {
        for (listen, advertised, expected) in [
            (":8080", "127.0.0.1:8080", true),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("[::]:8080", "[::1]:8080", true),
            (":8080", "10.0.0.5:8080", false),
            ("127.0.0.1:8080", "127.0.0.1:8080", false),
            ("localhost:8080", "127.0.0.1:8080", false),
        ] {
            let listen = ListenAddr::parse(listen).unwrap();
            assert_eq!(
                is_of_no_use(&listen, advertised),
                expected,
                "{listen:?} {advertised}"
            );
        }
    }

    #[tokio::test]
    async fn a_node_without_protection_listens_on_loopback_only() {
        let secret = "hY3kPq8vWz1RtN5cXs7DfGj2LmB9aQeU4oKiT6yHwEn";
        for (addr, setting, is_refused) in [
            ("127.0.0.1:0", None, false),
            ("127.5.5.5:0", None, false),
            ("localhost:0", None, false),
            ("0.0.0.0:0", None, true),
            (":0", None, true),
            ("0.0.0.0:0", Some(("insecure", "true")), false),
            ("0.0.0.0:0", Some(("insecure", "false")), true),
            ("0.0.0.0:0", Some(("cluster_secret", secret)), false),
            ("0.0.0.0:0", Some(("cluster_secret_file", "/secret")), false),
        ] {
            let mut options = Options::new("a", addr);
            if let Some((name, value)) = setting {
                options.set(name, value).unwrap();
            }
            let listener = net::bind(addr).await.unwrap();
            match refuse_to_be_open(&options, "http_addr", &listener) {
                Ok(()) => assert!(!is_refused, "{addr} {setting:?}"),
                Err(error) => {
                    assert!(is_refused, "{addr} {setting:?}");
                    assert_eq!(error.code(), ErrorCode::InvalidOption);
                    let bound = listener.local_addr().unwrap().to_string();
                    for part in [
                        "http_addr",
                        &bound,
                        "cluster_secret",
                        "tls.cert",
                        "127.0.0.1",
                        "insecure = true",
                    ] {
                        assert!(error.message().contains(part), "{part}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_node_is_known_by_the_names_that_it_was_given() {
        let listen = ListenAddr::parse("pod-0.db.example:80").unwrap();
        let names = own_names(&listen, "node.example:80");
        assert!(names.contains(&"pod-0.db.example".to_owned()) && names.contains(&"node.example".to_owned()));
        let listen = ListenAddr::parse(":80").unwrap();
        assert!(
            own_names(&listen, "10.0.0.5:80")
                .iter()
                .all(|name| !name.is_empty())
        );
    }
}
