//! Taking a series key apart, and unescaping names: the slow way of the fast parser, once per new series or field.

use std::borrow::Cow;

use super::grammar::{ErrorKind, KEY_BYTES_MAX, RESERVED_TAG_KEYS};

/// A tag as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// A series key `measurement[,tag=value]*` taken apart; all parts as written.
#[derive(Debug, Default)]
pub struct Key<'a> {
    pub measurement: &'a [u8],
    /// In the order of writing; keys are distinct.
    pub tags: Vec<Tag<'a>>,
}

impl<'a> Key<'a> {
    /// Takes `key` apart and judges it (steps 2 and 3 of the order of judgement).
    pub fn split(key: &'a [u8]) -> Result<Self, ErrorKind> {
        let measurement_end = unescaped(key, 0, b",");
        if measurement_end == 0 {
            return Err(ErrorKind::MissingMeasurement);
        }
        let mut tags = Vec::new();
        let mut at = measurement_end;
        while at < key.len() {
            let start = at + 1;
            let equals = unescaped(key, start, b"=,");
            if equals == start {
                return Err(ErrorKind::MissingTagKey);
            }
            if key.get(equals) != Some(&b'=') {
                return Err(ErrorKind::MissingTagValue);
            }
            let value = equals + 1;
            at = unescaped(key, value, b"=,");
            if key.get(at) == Some(&b'=') {
                return Err(ErrorKind::InvalidTagFormat);
            }
            if at == value {
                return Err(ErrorKind::MissingTagValue);
            }
            tags.push(Tag { key: &key[start..equals], value: &key[value..at] });
        }
        judge_tags(&tags)?;
        if key.len() > KEY_BYTES_MAX {
            return Err(ErrorKind::KeyTooLong(key.len()));
        }
        Ok(Self { measurement: &key[..measurement_end], tags })
    }
}

fn judge_tags(tags: &[Tag<'_>]) -> Result<(), ErrorKind> {
    // Unescaping maps different spellings to different keys, so the written keys may be compared.
    let ascending = tags.windows(2).all(|pair| pair[0].key < pair[1].key);
    if !ascending {
        let mut keys: Vec<&[u8]> = tags.iter().map(|tag| tag.key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ErrorKind::DuplicateTag);
        }
    }
    for tag in tags {
        if let Some(reserved) = RESERVED_TAG_KEYS.iter().find(|reserved| reserved.as_bytes() == tag.key) {
            return Err(ErrorKind::ReservedTagKey(reserved));
        }
    }
    Ok(())
}

/// Position of the first byte of `set` from `from` on that no backslash stands right before, or the length.
fn unescaped(bytes: &[u8], from: usize, set: &[u8]) -> usize {
    (from..bytes.len())
        .find(|at| set.contains(&bytes[*at]) && !(*at > from && bytes[at - 1] == b'\\'))
        .unwrap_or(bytes.len())
}

/// Bytes that a backslash escapes, by place (InfluxDB v2).
pub const MEASUREMENT_ESCAPES: &[u8] = b", ";
pub const TAG_ESCAPES: &[u8] = b", =";
pub const FIELD_KEY_ESCAPES: &[u8] = b", =\"";
pub const STRING_ESCAPES: &[u8] = b"\"\\";

/// `raw` without the backslashes that stand before a byte of `set`; all others stay.
pub fn unescape<'a>(raw: &'a [u8], set: &[u8]) -> Cow<'a, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(&raw[..first]);
    let mut at = first;
    while at < raw.len() {
        if raw[at] == b'\\' && raw.get(at + 1).is_some_and(|next| set.contains(next)) {
            at += 1;
        }
        out.push(raw[at]);
        at += 1;
    }
    Cow::Owned(out)
}
