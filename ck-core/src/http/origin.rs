//! Protection against web pages in the operator's browser.
//!
//! A page of another site may make the browser send requests to this node (cross-site request forgery), and a
//! page whose host name was rebound to this node's address may even read the answers. Browsers name the page's
//! origin in every request that changes something; programs do not. So a request with an `Origin` is held to
//! two rules: its host must be the host asked for, and that must be a name that cannot have been rebound.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::failure::Failure;
use crate::error::ErrorCode;

/// Refuses a request that changes something, or takes over the connection, on behalf of a foreign page.
pub(super) fn check(request: &Request, browser_hosts: &[String]) -> Result<(), Failure> {
    let headers = request.headers();
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe && !headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    if !headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    match same_host(headers, browser_hosts) {
        true => Ok(()),
        false => Err(Failure::new(
            ErrorCode::Refused,
            "the request comes from a web page that is not this node's own (Origin and Host do not agree, or \
             Host is a name that this node is not known by)",
        )
        .with_status(StatusCode::FORBIDDEN)),
    }
}

fn same_host(headers: &HeaderMap, browser_hosts: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let (Ok(origin), Ok(host)) = (origin.to_str(), host.to_str()) else {
        return false;
    };
    // "null" and other schemes have no host that could agree.
    let (authority, default_port) = if let Some(rest) = origin.strip_prefix("http://") {
        (rest, ":80")
    } else if let Some(rest) = origin.strip_prefix("https://") {
        (rest, ":443")
    } else {
        return false;
    };
    let plain = |text: &str| {
        let lower = text.to_ascii_lowercase();
        lower
            .strip_suffix(default_port)
            .map(str::to_owned)
            .unwrap_or(lower)
    };
    let host = plain(host);
    plain(authority) == host && cannot_be_rebound(&host, browser_hosts)
}

fn cannot_be_rebound(host: &str, browser_hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest
                .split_once(']')
                .is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok());
        }
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<Ipv4Addr>().is_ok()
        || name == "localhost"
        || browser_hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn allowed(method: &str, origin: &str, host: &str) -> bool {
        let request = Request::builder()
            .method(method)
            .header("origin", origin)
            .header("host", host)
            .body(Body::empty())
            .unwrap();
        check(&request, &["node.example".to_owned()]).is_ok()
    }

    #[test]
    fn only_the_nodes_own_pages_change_something() {
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1", "127.0.0.1"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("https://[::1]", "[::1]:443"),
            ("http://LocalHost:8080", "localhost:8080"),
            ("http://node.example:8080", "Node.Example:8080"),
        ] {
            assert!(allowed("POST", origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:8080"),
            ("http://127.0.0.1:9999", "127.0.0.1:8080"),
            ("null", "127.0.0.1:8080"),
            ("file://127.0.0.1:8080", "127.0.0.1:8080"),
            ("", "127.0.0.1:8080"),
            // Rebound: both agree, but the name is not the node's.
            ("http://evil.example:8080", "evil.example:8080"),
            ("http://[evil]:8080", "[evil]:8080"),
        ] {
            assert!(!allowed("POST", origin, host), "{origin} {host}");
            assert!(!allowed("DELETE", origin, host), "{origin} {host}");
            assert!(
                allowed("GET", origin, host),
                "reading is the browser's own rule to keep"
            );
        }
    }
}
