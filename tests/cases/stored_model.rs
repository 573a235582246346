//! What a bucket must hold after requests, kept in the simplest way: part D of docs/LINE-PROTOCOL.md on top of the reference parser.

use std::collections::BTreeMap;

use ringest::line::grammar::{Precision, STRING_BYTES_MAX};
use ringest::line::naive::{self, Point, Value};

use crate::line_cases::render;

/// Measurement, tags, time.
pub type Identity = (String, Vec<(String, String)>, i64);

/// One bucket. Retention is not its business.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    types: BTreeMap<(String, String), &'static str>,
    rows: BTreeMap<Identity, BTreeMap<String, Value>>,
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// 204.
    Taken,
    /// 422, and why: `<first reason> dropped=<n>`.
    Partial(String),
    /// 400, and the bad lines.
    Malformed(Vec<ringest::line::LineError>),
}

impl Bucket {
    /// A request whose points without a time get `received_ns`, cut to the precision.
    pub fn write(&mut self, body: &[u8], precision: Precision, received_ns: i64) -> Verdict {
        let parsed = naive::parse(body, precision);
        if !parsed.errors.is_empty() {
            return Verdict::Malformed(parsed.errors);
        }
        let mut dropped = 0;
        let (mut first, mut time_field) = (None, None);
        for point in parsed.points {
            let measurement = &point.measurement;
            let invalid =
                format!("invalid field name: input field \"time\" on measurement \"{measurement}\" is invalid");
            match self.take(&point, precision.truncate(received_ns)) {
                Ok(()) if point.fields.iter().any(|(name, _)| name == "time") => {
                    time_field.get_or_insert(invalid);
                }
                Ok(()) => {}
                Err(reason) => {
                    dropped += 1;
                    first.get_or_insert(reason.unwrap_or(invalid));
                }
            }
        }
        match first.or(time_field) {
            Some(reason) => Verdict::Partial(format!("{reason} dropped={dropped}")),
            None => Verdict::Taken,
        }
    }

    /// Stores a point, or says why not (nothing to say: it has no field but `time`).
    fn take(&mut self, point: &Point, default_time_ns: i64) -> Result<(), Option<String>> {
        let measurement = &point.measurement;
        let mut types = self.types.clone();
        let mut fields = BTreeMap::new();
        for (name, value) in point.fields.iter().filter(|(name, _)| name != "time") {
            let field = format!("input field \"{name}\" on measurement \"{measurement}\"");
            if let Value::String(text) = value
                && text.len() > STRING_BYTES_MAX
            {
                return Err(Some(format!("{field} is too long, {} > {STRING_BYTES_MAX}", text.len())));
            }
            let kind = kind(value);
            let known = *types.entry((measurement.clone(), name.clone())).or_insert(kind);
            if known != kind {
                let conflict = format!("field type conflict: {field} is type {kind}, already exists as type {known}");
                return Err(Some(conflict));
            }
            fields.insert(name.clone(), value.clone());
        }
        if fields.is_empty() {
            return Err(None);
        }
        self.types = types;
        let identity = (measurement.clone(), point.tags.clone(), point.time.unwrap_or(default_time_ns));
        self.rows.entry(identity).or_default().extend(fields);
        Ok(())
    }

    /// The rows as text, ascending.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.rows)
    }
}

/// Rows as [`render`] writes points, ascending.
pub fn lines(rows: &BTreeMap<Identity, BTreeMap<String, Value>>) -> Vec<String> {
    let point = |((measurement, tags, time), fields): (&Identity, &BTreeMap<String, Value>)| Point {
        line: 1,
        measurement: measurement.clone(),
        tags: tags.clone(),
        fields: fields.clone().into_iter().collect(),
        time: Some(*time),
    };
    let mut lines: Vec<String> = rows.iter().map(|row| render(&point(row))).collect();
    lines.sort();
    lines
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Float(_) => "float",
        Value::Integer(_) => "integer",
        Value::Unsigned(_) => "unsigned",
        Value::Boolean(_) => "boolean",
        Value::String(_) => "string",
    }
}

#[cfg(test)]
mod tests {
    use ringest::line::grammar::Precision;

    use super::{Bucket, Verdict};
    use crate::line_cases::{STORED, Said};

    #[test]
    fn the_model_stores_what_every_case_says() {
        for case in STORED {
            let mut bucket = Bucket::default();
            for request in case.requests {
                let said = match bucket.write(request.body, Precision::Nanosecond, 0) {
                    Verdict::Taken => Said::Taken,
                    Verdict::Partial(reason) => Said::Partial(reason.leak()),
                    Verdict::Malformed(errors) => Said::Malformed(errors[0].line),
                };
                assert_eq!(said, request.said, "{}: {:?}", case.name, String::from_utf8_lossy(request.body));
            }
            let mut want = case.rows.to_vec();
            want.sort_unstable();
            assert_eq!(bucket.lines(), want, "{}", case.name);
        }
    }
}
