//! Protection against web pages in the operator's browser.
//!
//! A page of another site may make the browser send requests to this node (cross-site request forgery), and a page
//! whose host name was rebound to this node's address (DNS rebinding) may even read the answers. Browsers send the
//! page's `Origin` with every request that changes something; programs do not. Such a request must satisfy two rules:
//! the host of its origin must be the requested host, and that must be a name that cannot have been rebound. A request
//! that only reads carries no `Origin` when page and node have the same name, so every request from a browser must
//! satisfy the second rule. Programs may use any name, because DNS rebinding attacks only browsers.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::error_response::ErrorResponse;
use crate::error::ErrorCode;

/// Refuses a request of a foreign page that changes something or upgrades the connection, and any request of a browser
/// under a name that may have been rebound.
pub(super) fn check(request: &Request, browser_hosts: &[String]) -> Result<(), ErrorResponse> {
    let headers = request.headers();
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && !headers.contains_key(header::UPGRADE);
    let problem = if !only_reads && headers.contains_key(header::ORIGIN) && !same_host(headers, browser_hosts)
    {
        "the request comes from a web page that is not this node's own (Origin and Host do not agree, or Host is a name \
         that this node is not known by)"
    } else if is_from_a_browser(headers) && !has_own_host(headers, browser_hosts) {
        "Host is a name that this node is not known by, and a web page under it could read the answer: ask by IP address, \
         or by the name in advertise_addr"
    } else {
        return Ok(());
    };
    Err(ErrorResponse::new(ErrorCode::Refused, problem).with_status(StatusCode::FORBIDDEN))
}

/// True for requests with headers that only browsers send. A page cannot suppress all of them: `Accept-Language` is
/// sent with every request, also with those that a script makes. Node.js sends it as well, together with a part of
/// `Sec-Fetch-` that no browser sends alone and no page can add.
fn is_from_a_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(|agent| agent.as_bytes());
    let is_node_js = headers.contains_key("sec-fetch-mode") && !headers.contains_key("sec-fetch-site");
    headers.contains_key(header::ORIGIN)
        || headers.contains_key("sec-fetch-site")
        || headers.contains_key(header::ACCEPT_LANGUAGE) && !is_node_js
        || agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
}

fn has_own_host(headers: &HeaderMap, browser_hosts: &[String]) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| cannot_be_rebound(&host.to_ascii_lowercase(), browser_hosts))
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
    // "null" and other schemes have no host to compare.
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
    // A name without a dot can only belong to the local network.
    let is_local = !name.is_empty() && !name.contains('.');
    name.parse::<Ipv4Addr>().is_ok()
        || is_local
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
            // Rebound: Origin and Host agree, but the name is not the node's.
            ("http://evil.example:8080", "evil.example:8080"),
            ("http://[evil]:8080", "[evil]:8080"),
        ] {
            assert!(!allowed("POST", origin, host), "{origin} {host}");
            assert!(!allowed("DELETE", origin, host), "{origin} {host}");
        }
        // The browser's own same-origin policy keeps the answer from a page of another origin.
        assert!(allowed("GET", "http://evil.example", "127.0.0.1:8080"));
        // Under a rebound name the browser takes the node for the page's own origin and keeps nothing back.
        assert!(!allowed("GET", "http://evil.example:8080", "evil.example:8080"));
    }

    #[test]
    fn a_page_under_a_name_that_was_rebound_reads_nothing() {
        let read = |host: &str, mark: (&str, &str)| {
            let request = Request::builder()
                .header("host", host)
                .header(mark.0, mark.1)
                .body(Body::empty())
                .unwrap();
            check(&request, &["node.example".to_owned()]).is_ok()
        };
        for mark in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("accept-language", ""),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert!(!read("evil.example:8080", mark), "{mark:?}");
            for host in [
                "127.0.0.1:8080",
                "[::1]:8080",
                "localhost",
                "node-1:8080",
                "Node.Example:8080",
            ] {
                assert!(read(host, mark), "{host} {mark:?}");
            }
        }
        for program in ["curl/8.5.0", "Go-http-client/1.1", "Prometheus/3.0"] {
            assert!(read("clusterkit.default.svc:8080", ("user-agent", program)));
        }
        let node_js = Request::builder()
            .header("host", "clusterkit.default.svc:8080")
            .header("accept-language", "*")
            .header("sec-fetch-mode", "cors")
            .header("user-agent", "node")
            .body(Body::empty())
            .unwrap();
        assert!(check(&node_js, &[]).is_ok());
    }
}
