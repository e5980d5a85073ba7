//! Addresses: what a node listens on, and what other nodes dial.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use crate::error::{Error, ErrorCode, Result};

/// The address that a listener binds: `:8080`, `host:port`, `[::1]:0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenAddr {
    host: String,
    port: u16,
}

impl ListenAddr {
    /// Parses a listen address.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] when it has no port, or an IPv6 host without brackets, or no valid host.
    pub fn parse(text: &str) -> Result<Self> {
        check_listen(text).map_err(|problem| invalid("the listen address", text, &problem))
    }

    /// The host as written, without brackets; empty for `:8080`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host to bind: as written, or `::` (every interface, IPv6 and IPv4) for `:8080`.
    pub fn bind_host(&self) -> &str {
        if self.host.is_empty() { "::" } else { &self.host }
    }

    /// The host to bind when [`ListenAddr::bind_host`] cannot be bound, if there is another: `0.0.0.0` for `:8080`, on
    /// a machine without IPv6.
    pub fn fallback_host(&self) -> Option<&str> {
        self.host.is_empty().then_some("0.0.0.0")
    }

    /// True when it listens on every interface.
    pub fn is_wildcard(&self) -> bool {
        self.bind_host()
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_unspecified())
    }

    /// The port; 0 asks the system for a free one.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// What other nodes should dial to reach a listener: always a host and a port, never a bare port.
///
/// - `bound`: the address that the listener has, so that its port is the actual one even when 0 was asked for;
/// - `advertise`: the option `advertise_addr`, which wins; without a port (or with 0) it takes the bound one;
/// - `bind_host`: the host of the listen address as written ([`ListenAddr::host`]). A name is passed on as a
///   name, because addresses behind names change (pods).
///
/// A wildcard (`:8080`, `0.0.0.0`, `[::]`) is replaced by this machine's own address in the network. That may ask the
/// system's resolver, so call this where blocking is allowed. IPv6 hosts are in brackets.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] when `advertise` cannot be dialled.
pub fn advertised(bound: SocketAddr, advertise: Option<&str>, bind_host: &str) -> Result<String> {
    advertised_with(bound, advertise, bind_host, || local_ip(bound.is_ipv6()))
}

/// [`advertised`], with the machine's own address given by the caller.
fn advertised_with(
    bound: SocketAddr,
    advertise: Option<&str>,
    bind_host: &str,
    local_ip: impl FnOnce() -> IpAddr,
) -> Result<String> {
    if let Some(text) = advertise {
        let (host, port) =
            check_advertise(text).map_err(|problem| invalid("advertise_addr", text, &problem))?;
        return Ok(join_host_port(
            &host,
            port.filter(|port| *port != 0).unwrap_or(bound.port()),
        ));
    }
    // "localhost" is replaced by the bound address, because another node may resolve it to the other IP version.
    let is_name = !bind_host.is_empty()
        && bind_host.parse::<IpAddr>().is_err()
        && !bind_host.eq_ignore_ascii_case("localhost");
    if is_name {
        return Ok(join_host_port(bind_host, bound.port()));
    }
    let ip = if bound.ip().is_unspecified() {
        local_ip()
    } else {
        bound.ip()
    };
    Ok(join_host_port(&ip.to_string(), bound.port()))
}

/// This machine's address as other machines see it: IPv4 if there is one besides loopback; else IPv6, if the listener
/// takes it; else what the host name resolves to; else loopback.
fn local_ip(ipv6: bool) -> IpAddr {
    // Connecting a datagram socket sends nothing; it only makes the system choose the interface and the source address
    // that it would use. The target addresses are reserved for documentation.
    let outgoing = |from: IpAddr, towards: IpAddr| -> Option<IpAddr> {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((towards, 9)).ok()?;
        socket
            .local_addr()
            .ok()
            .map(|address| address.ip())
            .filter(is_reachable)
    };
    let v4 = || outgoing(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = || {
        let towards = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        ipv6.then(|| outgoing(Ipv6Addr::UNSPECIFIED.into(), towards.into()))
            .flatten()
    };
    // In a network without a default route (an internal container network) the machine can still resolve its own name.
    let by_name = || {
        let uname = rustix::system::uname();
        let name = uname.nodename().to_str().ok()?;
        let found: Vec<IpAddr> = (name, 0)
            .to_socket_addrs()
            .ok()?
            .map(|a| a.ip())
            .filter(is_reachable)
            .collect();
        found
            .iter()
            .find(|ip| ip.is_ipv4())
            .or(found.first().filter(|_| ipv6))
            .copied()
    };
    v4().or_else(v6)
        .or_else(by_name)
        .unwrap_or(Ipv4Addr::LOCALHOST.into())
}

fn is_reachable(ip: &IpAddr) -> bool {
    !ip.is_loopback() && !ip.is_unspecified()
}

fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn invalid(what: &str, value: &str, problem: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("{what}: {value:?} {problem}"))
}

/// Checks a listen address. The error completes a sentence that begins with the value.
pub(super) fn check_listen(text: &str) -> std::result::Result<ListenAddr, String> {
    match split(text) {
        Ok((host, Some(port))) => Ok(ListenAddr { host, port }),
        Ok((_, None)) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("has no colon; write \":{text}\" to listen on that port"))
        }
        Ok((_, None)) => Err("has no port; write \":8080\", \"host:8080\" or \"[::1]:8080\"".to_string()),
        Err(problem) => Err(problem),
    }
}

/// Checks an address that other nodes dial: a host, with or without a port.
pub(super) fn check_advertise(text: &str) -> std::result::Result<(String, Option<u16>), String> {
    let (host, port) = split(text)?;
    if host.is_empty() {
        return Err(
            "has no host; write the host that others reach this node by, such as \"10.0.0.5:8080\"".into(),
        );
    }
    if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        return Err("is a wildcard, which nobody can dial; write this node's own host".into());
    }
    if port.is_none() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("is a bare port; write the host too, such as \"10.0.0.5:8080\"".into());
    }
    Ok((host, port))
}

/// Checks an address to dial: a host and a port that is not 0.
pub(super) fn check_dial(text: &str) -> std::result::Result<(), String> {
    match check_advertise(text)? {
        (_, None) => Err("has no port; write \"host:port\", such as \"10.0.0.5:8080\"".into()),
        (_, Some(0)) => Err("has port 0, which nobody can dial".into()),
        (_, Some(_)) => Ok(()),
    }
}

/// True for an address that can be dialled: a host and a port that is not 0.
pub(crate) fn is_dialable(text: &str) -> bool {
    check_dial(text).is_ok()
}

/// Checks the address of a service: `:port` on the node's own host, or `host:port`.
pub(super) fn check_service(text: &str) -> std::result::Result<(), String> {
    match split(text)? {
        (_, None) => Err("has no port; write \":9080\" (on the node's own host) or \"host:9080\"".into()),
        (_, Some(0)) => Err("has port 0, which nobody can dial".into()),
        (host, _) if host.is_empty() => Ok(()),
        _ => check_dial(text),
    }
}

/// Splits into host (without brackets, may be empty) and port, and checks both.
fn split(text: &str) -> std::result::Result<(String, Option<u16>), String> {
    if text.contains("://") || text.contains('/') {
        return Err("is a URL or a path; write only \"host:port\"".into());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, tail)) = rest.split_once(']') else {
            return Err("opens a bracket and does not close it; write \"[::1]:8080\"".into());
        };
        if let Some((_, zone)) = host.split_once('%') {
            return Err(format!(
                "has the zone %{zone}, which means something on one machine only; write an address that others reach, or a \
                 name"
            ));
        }
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("has no IPv6 address between the brackets; write \"[::1]:8080\"".into());
        }
        let port = match tail.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if tail.is_empty() => None,
            None => return Err("has something other than \":port\" behind the bracket".into()),
        };
        return Ok((host.to_string(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            return Err("has several colons; put an IPv6 address in brackets, such as \"[::1]:8080\"".into());
        }
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    if port.is_some() && !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "has the number {host} for a host, which some systems take for an address; write a name or an address, or \
             \":8080\" to listen on every interface"
        ));
    }
    if !(host.is_empty() && port.is_some()) {
        check_host(host)?;
    }
    Ok((host.to_string(), port))
}

fn parse_port(text: &str) -> std::result::Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| "has a port that is not a number from 0 to 65535".into())
}

fn check_host(host: &str) -> std::result::Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let labels_filled = || {
        host.strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(|l| (1..=63).contains(&l.len()))
    };
    if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) || !labels_filled() {
        return Err("has no valid host; write a name, an IPv4 address or an IPv6 address in brackets".into());
    }
    let looks_like_ip = host.contains('.') && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_like_ip && host.parse::<Ipv4Addr>().is_err() {
        return Err("has a host that looks like an IPv4 address and is none".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listen(text: &str) -> (String, u16) {
        let address = ListenAddr::parse(text).unwrap();
        (address.host().to_string(), address.port())
    }

    #[test]
    fn listen_addresses() {
        for (text, host, port) in [
            (":8080", "", 8080),
            (":0", "", 0),
            ("127.0.0.1:9001", "127.0.0.1", 9001),
            ("localhost:8080", "localhost", 8080),
            (
                "node-1.cluster_a.example.:65535",
                "node-1.cluster_a.example.",
                65535,
            ),
            ("[::1]:0", "::1", 0),
            ("[::]:8080", "::", 8080),
        ] {
            assert_eq!(listen(text), (host.to_string(), port), "{text}");
        }
        let everywhere = ListenAddr::parse(":1").unwrap();
        assert_eq!(
            (everywhere.bind_host(), everywhere.fallback_host()),
            ("::", Some("0.0.0.0"))
        );
        assert!(everywhere.is_wildcard());
        assert_eq!(ListenAddr::parse("[::]:1").unwrap().fallback_host(), None);
        assert_eq!(ListenAddr::parse("[::]:1").unwrap().bind_host(), "::");
    }

    #[test]
    fn bad_listen_addresses_say_what_would_be_right() {
        for (text, hint) in [
            ("", "has no valid host"),
            ("8080", "write \":8080\""),
            ("localhost", "has no port"),
            ("::1:8080", "in brackets"),
            ("[::1:8080", "does not close"),
            ("[::1]", "has no port"),
            ("[::1]8080", "behind the bracket"),
            ("[1.2.3.4]:80", "no IPv6 address"),
            ("[]:80", "no IPv6 address"),
            (":", "not a number from 0 to 65535"),
            (":+80", "not a number from 0 to 65535"),
            (":65536", "not a number from 0 to 65535"),
            (":-1", "not a number from 0 to 65535"),
            ("http://a:80", "is a URL"),
            ("a b:80", "has no valid host"),
            ("a..b:80", "has no valid host"),
            ("256.1.1.1:80", "looks like an IPv4"),
            ("0:0", "has the number 0 for a host"),
            ("2130706433:80", "has the number 2130706433 for a host"),
            ("[fe80::1%lo]:80", "has the zone %lo"),
        ] {
            let error = ListenAddr::parse(text).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidOption);
            assert!(error.message().contains(hint), "{text:?}: {error}");
        }
    }

    #[test]
    fn dialled_addresses_need_a_host_and_a_port() {
        assert_eq!(check_dial("node-1:8080"), Ok(()));
        assert_eq!(check_dial("[2001:db8::5]:8080"), Ok(()));
        for text in [
            ":8080",
            "node-1",
            "0.0.0.0:8080",
            "[::]:8080",
            "node-1:0",
            "8080",
            "",
        ] {
            assert!(check_dial(text).is_err(), "{text:?}");
        }
        assert_eq!(check_service(":9080"), Ok(()));
        assert_eq!(check_service("db.example:9080"), Ok(()));
        for text in [":0", "0.0.0.0:9080", "9080", "", "kv"] {
            assert!(check_service(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn advertised_is_never_a_bare_port_and_never_a_wildcard() {
        let own: IpAddr = Ipv4Addr::new(10, 0, 0, 7).into();
        for (bound, advertise, bind_host, want) in [
            ("0.0.0.0:8080", None, "", "10.0.0.7:8080"),
            ("0.0.0.0:8080", None, "0.0.0.0", "10.0.0.7:8080"),
            ("[::]:8080", None, "::", "10.0.0.7:8080"),
            ("127.0.0.1:4711", None, "127.0.0.1", "127.0.0.1:4711"),
            ("127.0.0.1:4711", None, "localhost", "127.0.0.1:4711"),
            ("[::1]:4711", None, "::1", "[::1]:4711"),
            ("10.1.1.1:4711", None, "pod-0.db", "pod-0.db:4711"),
            ("0.0.0.0:8080", Some("example.org"), "", "example.org:8080"),
            ("0.0.0.0:8080", Some("example.org:0"), "", "example.org:8080"),
            (
                "0.0.0.0:8080",
                Some("example.org:80"),
                "pod-0.db",
                "example.org:80",
            ),
            ("0.0.0.0:8080", Some("[2001:db8::5]"), "", "[2001:db8::5]:8080"),
        ] {
            let got = advertised_with(bound.parse().unwrap(), advertise, bind_host, || own).unwrap();
            assert_eq!(got, want, "{bound} {advertise:?} {bind_host:?}");
        }
        let v6 = advertised_with("[::]:80".parse().unwrap(), None, "::", || {
            Ipv6Addr::LOCALHOST.into()
        })
        .unwrap();
        assert_eq!(v6, "[::1]:80");
    }

    #[test]
    fn an_advertised_address_that_cannot_be_dialled_is_refused() {
        let bound: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        for text in ["", ":8080", "8080", "0.0.0.0", "[::]:80", "http://a:1"] {
            let error = advertised(bound, Some(text), "").unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidOption, "{text:?}");
        }
    }

    #[test]
    fn the_machine_finds_an_address_of_its_own() {
        for ipv6 in [false, true] {
            let ip = local_ip(ipv6);
            assert!(!ip.is_unspecified());
            assert!(ipv6 || ip.is_ipv4());
            // The address belongs to this machine: a socket can bind it.
            UdpSocket::bind((ip, 0)).unwrap();
        }
        let text = advertised("0.0.0.0:8080".parse().unwrap(), None, "").unwrap();
        assert_eq!(check_dial(&text), Ok(()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", near in "[\\[\\]:.a0-9/]{0,12}") {
            for text in [text, near] {
                let _ = (check_listen(&text), check_dial(&text), check_service(&text));
            }
        }

        #[test]
        fn an_address_that_listens_on_an_ip_can_be_dialled(ip in any::<IpAddr>(), port in 1_u16..) {
            let text = advertised(SocketAddr::new(ip, port), None, &ip.to_string()).unwrap();
            prop_assert_eq!(check_dial(&text), Ok(()));
        }
    }
}
