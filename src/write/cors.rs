//! Requests from pages of other origins: which paths a browser may use, and what `OPTIONS` says.

use super::route::Route;
use crate::http::{Head, Response, Status};

/// How long a browser may remember what `OPTIONS` said, in seconds.
const REMEMBERED_SECONDS: &str = "600";

/// Headers of a request that the endpoints read and that a browser asks for.
const REQUEST_HEADERS: &str =
    "Authorization, Content-Encoding, Content-Type, Request-Id, X-Request-Id, Traceparent, Zap-Trace-Span";

/// The methods of the node as a whole, for `OPTIONS *`.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// Whether pages of other origins may use a path: those that clients write and ask with, and not what tells of the node.
pub fn is_open(path: &str) -> bool {
    Route::of(path).is_some_and(Route::is_open)
}

/// The answer to `OPTIONS`; `None` where there is no such path. A browser asks it without credentials, before the request itself.
pub fn options(head: &Head) -> Option<Response> {
    let route = Route::of(&head.path);
    let allow = match route {
        Some(route) => route.allow(),
        None if head.path == "*" => METHODS,
        None => return None,
    };
    let mut headers = vec![("Allow", allow.to_owned())];
    if head.origin.is_some() && route.is_some_and(Route::is_open) {
        headers.push(("Access-Control-Allow-Methods", allow.to_owned()));
        headers.push(("Access-Control-Allow-Headers", REQUEST_HEADERS.to_owned()));
        headers.push(("Access-Control-Max-Age", REMEMBERED_SECONDS.to_owned()));
    }
    Some(Response { headers, ..Response::empty(Status::NoContent) })
}
