//! Which endpoint a request is for.

use crate::http::Method;

/// The endpoints of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /write`, InfluxDB v1.
    WriteV1,
    /// `POST /api/v2/write`, InfluxDB v2.
    WriteV2,
    /// `/query`, InfluxDB v1.
    Query,
    Ping,
    Health,
    Ready,
    Metrics,
    Flush,
    Compact,
    /// `GET /api/changes`.
    Changes,
}

impl Route {
    pub fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/write" => Self::WriteV1,
            "/api/v2/write" => Self::WriteV2,
            "/query" => Self::Query,
            "/ping" => Self::Ping,
            "/health" => Self::Health,
            "/ready" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/api/flush" => Self::Flush,
            "/api/compact" => Self::Compact,
            "/api/changes" => Self::Changes,
            _ => return None,
        })
    }

    /// The methods of the endpoint, as `Allow` lists them.
    pub const fn allow(self) -> &'static str {
        match self {
            Self::WriteV1 | Self::WriteV2 | Self::Flush | Self::Compact => "POST, OPTIONS",
            Self::Query => "GET, POST, OPTIONS",
            Self::Changes => "GET, OPTIONS",
            Self::Ping | Self::Health | Self::Ready | Self::Metrics => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether pages of other origins may use it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::WriteV1 | Self::WriteV2 | Self::Query | Self::Ping)
    }

    /// Whether the endpoint takes the method; `OPTIONS`, which each of them has, is answered before.
    pub const fn allows(self, method: Method) -> bool {
        match self {
            Self::WriteV1 | Self::WriteV2 | Self::Flush | Self::Compact => matches!(method, Method::Post),
            Self::Query => matches!(method, Method::Get | Method::Post),
            Self::Changes => matches!(method, Method::Get),
            Self::Ping | Self::Health | Self::Ready | Self::Metrics => matches!(method, Method::Get | Method::Head),
        }
    }

    /// Whether a node that wants tokens wants one here. What tells of the node alone is open to probes.
    pub const fn needs_token(self) -> bool {
        match self {
            Self::WriteV1 | Self::WriteV2 | Self::Query | Self::Flush | Self::Compact | Self::Changes => true,
            Self::Ping | Self::Health | Self::Ready | Self::Metrics => false,
        }
    }
}
