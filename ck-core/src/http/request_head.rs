//! Requirements on every request, whatever its route. A proxy in front of the node and the node must never read one
//! message as two different ones (request smuggling).

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};

use super::error_response::ErrorResponse;
use crate::error::ErrorCode;

/// Refuses a request without exactly one `Host`, as HTTP/1.1 requires (HTTP/1.0 may leave it out), and a transfer
/// coding that this node does not know. hyper looks only at whether the last coding is `chunked`.
pub(super) fn check(request: &Request) -> Result<(), ErrorResponse> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let is_valid = match request.version() {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    };
    if !is_valid {
        return Err(ErrorResponse::invalid(format!(
            "a request has one Host, and this has {hosts}"
        )));
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let is_known = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if !is_known {
        return Err(ErrorResponse::new(
            ErrorCode::InvalidArgument,
            "Transfer-Encoding is \"chunked\" and nothing else",
        )
        .with_status(StatusCode::NOT_IMPLEMENTED));
    }
    Ok(())
}
