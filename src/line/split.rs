//! Taking a series key apart, and unescaping names: the slow way of the fast parser, once per new series or field.

use std::borrow::Cow;

use super::grammar::{ErrorKind, KEY_BYTES_MAX, RESERVED_TAG_KEYS};
use super::scan::generic::Delimiters;
use super::scan::vector::Vector;
use super::text::Padded;

/// A tag as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'b> {
    pub key: &'b [u8],
    pub value: &'b [u8],
}

/// A series key `measurement[,tag=value]*` taken apart; all parts as written.
#[derive(Debug)]
pub struct Key<'b, 's> {
    pub measurement: &'b [u8],
    /// In the order of writing; keys are distinct.
    pub tags: &'s [Tag<'b>],
    /// The measurement and the tag keys are those of the key that was taken apart before this one, in its order.
    pub like_last: bool,
    /// No byte of it is escaped.
    pub plain: bool,
}

/// Takes the series keys of a body apart.
#[derive(Debug, Default)]
pub(super) struct Splitter<'b> {
    measurement: &'b [u8],
    tags: Vec<Tag<'b>>,
    /// The last key that was good.
    last_measurement: &'b [u8],
    last_tags: Vec<Tag<'b>>,
}

impl<'b> Splitter<'b> {
    /// Takes the key that stands at `start..end` apart and judges it (steps 2 and 3 of the order of judgement).
    #[inline(always)]
    pub fn split<V: Vector>(&mut self, body: &Padded<'b>, start: usize, end: usize) -> Result<Key<'b, '_>, ErrorKind> {
        self.read_parts::<V>(body, start, end)?;
        let like_last = self.is_like_last();
        // The last one was judged.
        if !like_last {
            judge_tags(&self.tags)?;
        }
        if end - start > KEY_BYTES_MAX {
            return Err(ErrorKind::KeyTooLong(end - start));
        }
        let plain = memchr::memchr(b'\\', body.slice(start, end)).is_none();
        self.last_measurement = self.measurement;
        std::mem::swap(&mut self.tags, &mut self.last_tags);
        Ok(Key { measurement: self.measurement, tags: &self.last_tags, like_last, plain })
    }

    #[inline(always)]
    fn read_parts<V: Vector>(&mut self, body: &Padded<'b>, start: usize, end: usize) -> Result<(), ErrorKind> {
        let mut delimiters = Delimiters::<V, 2>::new(body, start, end, *b",=");
        let mut at = delimiters.next_unescaped();
        while at < end && body.at(at) == b'=' {
            at = delimiters.next_unescaped();
        }
        if at == start {
            return Err(ErrorKind::MissingMeasurement);
        }
        self.measurement = body.slice(start, at);
        self.tags.clear();
        while at < end {
            let key = at + 1;
            let equals = delimiters.next_unescaped();
            if equals == key {
                return Err(ErrorKind::MissingTagKey);
            }
            if equals >= end || body.at(equals) != b'=' {
                return Err(ErrorKind::MissingTagValue);
            }
            let value = equals + 1;
            at = delimiters.next_unescaped();
            if at < end && body.at(at) == b'=' {
                return Err(ErrorKind::InvalidTagFormat);
            }
            if at == value {
                return Err(ErrorKind::MissingTagValue);
            }
            self.tags.push(Tag { key: body.slice(key, equals), value: body.slice(value, at) });
        }
        Ok(())
    }

    fn is_like_last(&self) -> bool {
        self.tags.len() == self.last_tags.len()
            && self.measurement == self.last_measurement
            && self.tags.iter().zip(&self.last_tags).all(|(tag, last)| tag.key == last.key)
    }
}

fn judge_tags(tags: &[Tag<'_>]) -> Result<(), ErrorKind> {
    // Unescaping maps different spellings to different keys, so the written keys may be compared.
    let ascending = tags.windows(2).all(|pair| {
        let (first, second) = (front(pair[0].key), front(pair[1].key));
        first < second || first == second && pair[0].key < pair[1].key
    });
    if !ascending {
        let mut keys: Vec<&[u8]> = tags.iter().map(|tag| tag.key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ErrorKind::DuplicateTag);
        }
    }
    let lengths = |tag: &&Tag<'_>| RESERVED_TAG_KEYS.iter().any(|reserved| reserved.len() == tag.key.len());
    for tag in tags.iter().filter(lengths) {
        if let Some(reserved) = RESERVED_TAG_KEYS.iter().find(|reserved| reserved.as_bytes() == tag.key) {
            return Err(ErrorKind::ReservedTagKey(reserved));
        }
    }
    Ok(())
}

/// The first 8 bytes, as a number that sorts as they do.
#[inline(always)]
fn front(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => key.iter().fold(0, |front, byte| front << 8 | u64::from(*byte)) << (64 - 8 * key.len()),
    }
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
