//! The trace that a request belongs to: from `traceparent` (W3C Trace Context), else from `Zap-Trace-Span`. What is malformed is ignored,
//! as both demand.

use crate::http::{Head, Status};

/// A span in `Zap-Trace-Span` that is longer is ignored.
const SPAN_BYTES_MAX: usize = 2048;

/// Hexadecimal digits of an id; shorter ones, as Jaeger has them, stay as short as they are.
const DIGITS_MAX: usize = 32;

/// The id of a trace: 1 to 32 lower-case hexadecimal digits, not all of them zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId {
    digits: [u8; DIGITS_MAX],
    len: u8,
}

/// How log lines name a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    pub request_id: &'a str,
    pub trace: Option<&'a TraceId>,
}

impl Caller<'_> {
    pub fn trace_id(&self) -> &str {
        self.trace.map_or("", TraceId::as_str)
    }

    /// What log lines of the request stand in.
    pub fn span(&self) -> tracing::Span {
        tracing::info_span!("request", trace_id = self.trace_id(), request_id = self.request_id)
    }

    /// One line per error that a client is told; nothing of the URL, which may hold a password.
    pub fn log_refusal(&self, status: Status) {
        let (request_id, trace_id) = (self.request_id, self.trace_id());
        tracing::debug!(status = status.code(), request_id, trace_id, "a request was refused");
    }
}

impl TraceId {
    /// The trace of a request, if it names one. Costs nothing where neither header is there.
    pub fn of(head: &Head) -> Option<Self> {
        let from_parent = || trace_parent(head.traceparent.as_deref()?);
        let from_span = || zap_trace_span(head.zap_trace_span.as_deref()?);
        from_parent().or_else(from_span)
    }

    pub fn as_str(&self) -> &str {
        // Only digits are ever put in.
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).unwrap_or_default()
    }

    fn from_hex(text: &str) -> Option<Self> {
        let is_id = (1..=DIGITS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            && text.bytes().any(|byte| byte != b'0');
        if !is_id {
            return None;
        }
        let mut digits = [0; DIGITS_MAX];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        digits.make_ascii_lowercase();
        Some(Self { digits, len: text.len() as u8 })
    }
}

/// `version-trace-parent-flags`, each of fixed length and in lower case. A version above 00 may add fields behind; ff is none.
fn trace_parent(value: &str) -> Option<TraceId> {
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut fields = value.splitn(5, '-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let is_refused =
        version == "ff" || version == "00" && fields.next().is_some() || parent.bytes().all(|byte| byte == b'0');
    (is_well_formed && !is_refused).then(|| TraceId::from_hex(trace)).flatten()
}

/// What tracers of OpenTracing write into a carrier: JSON (InfluxDB's clients), `name=id`, or Jaeger's `trace:span:parent:flags`.
fn zap_trace_span(value: &str) -> Option<TraceId> {
    if value.len() > SPAN_BYTES_MAX {
        return None;
    }
    if value.trim_start().starts_with('{') {
        let carrier: serde_json::Map<String, serde_json::Value> = serde_json::from_str(value).ok()?;
        return carrier.iter().find_map(|(key, value)| named(key, value.as_str()?));
    }
    match value.split_once('=') {
        Some((key, value)) => named(key.trim(), value.trim()),
        None => jaeger(value.trim()),
    }
}

/// The id under one of the names that tracers give it.
fn named(key: &str, value: &str) -> Option<TraceId> {
    match key.to_ascii_lowercase().as_str() {
        "uber-trace-id" => jaeger(value),
        "traceparent" => trace_parent(value),
        "ot-tracer-traceid" | "x-b3-traceid" | "trace_id" | "trace-id" | "traceid" => TraceId::from_hex(value),
        _ => None,
    }
}

fn jaeger(value: &str) -> Option<TraceId> {
    let fields: Vec<&str> = value.split(':').collect();
    let [trace, span, parent, flags] = fields[..] else { return None };
    let is_hex = |text: &str, len_max: usize| {
        (1..=len_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    // The parent is obsolete and may be missing or 0.
    let is_well_formed = is_hex(span, 16) && (parent.is_empty() || is_hex(parent, 16)) && is_hex(flags, 2);
    is_well_formed.then(|| TraceId::from_hex(trace)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(traceparent: Option<&str>, span: Option<&str>) -> Option<String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let head = Head { traceparent: own(traceparent), zap_trace_span: own(span), ..Head::default() };
        TraceId::of(&head).map(|trace| trace.as_str().to_owned())
    }

    #[test]
    fn a_traceparent_names_its_trace() {
        for value in ["00-{}-00f067aa0ba902b7-01", "cc-{}-00f067aa0ba902b7-01-what-comes-later"] {
            assert_eq!(of(Some(&value.replace("{}", TRACE)), None).as_deref(), Some(TRACE), "{value}");
        }
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        for value in [
            "",
            "00",
            "ff-{}-00f067aa0ba902b7-01",
            "00-{}-00f067aa0ba902b7-01-more",
            "00-{}-0000000000000000-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-{}-00F067AA0BA902B7-01",
            "00-{}-00f067aa0ba902b7-1",
            "00-{}0-00f067aa0ba902b7-01",
            "00-{}-00f067aa0ba902b7",
            "0x-{}-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(Some(&value.replace("{}", TRACE)), None), None, "{value}");
        }
    }

    #[test]
    fn a_span_names_its_trace_in_each_of_its_forms() {
        for value in [
            r#"{"uber-trace-id":"{}:5678:0:1"}"#,
            r#" {"other": 1, "ot-tracer-traceid": "{}"}"#,
            "uber-trace-id={}:5678::1",
            "trace_id={}",
            "{}:5678:1234:1",
        ] {
            assert_eq!(of(None, Some(&value.replace("{}", TRACE))).as_deref(), Some(TRACE), "{value}");
        }
        assert_eq!(of(None, Some("1A2b:5678:0:1")).as_deref(), Some("1a2b"));
    }

    #[test]
    fn a_malformed_span_is_ignored() {
        let long = format!("trace_id={}", "1".repeat(3000));
        for value in
            ["", "{", "{}", "[1]", "null", "=", "a=b", "a:b:c", "x:1:0:1", "0:1:0:1", "trace_id=\u{FFFD}", &long]
        {
            assert_eq!(of(None, Some(value)), None, "{value}");
        }
    }

    #[test]
    fn a_good_traceparent_goes_before_a_span_and_a_bad_one_does_not() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(of(Some(&parent), Some("12:5678:0:1")).as_deref(), Some(TRACE));
        assert_eq!(of(Some("garbage"), Some("12:5678:0:1")).as_deref(), Some("12"));
    }
}
