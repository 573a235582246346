//! Taking a series key apart, and unescaping names: the slow way of the fast parser, once per new series or field.

use std::borrow::Cow;

use super::grammar::{ErrorKind, KEY_BYTES_MAX, RESERVED_TAG_KEYS};
use super::names::{Names, ROOT};
use super::scan::generic::{Delimiters, first_of};
use super::scan::vector::{Task, Vector};
use super::shapes::{NO_SHAPE, Node, START, Shapes};
use super::text::Padded;

/// A tag as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'b> {
    pub key: &'b [u8],
    pub value: &'b [u8],
    /// See [`Key::number`].
    pub number: u32,
    /// The first and the last 8 bytes of the value: all of it, and zeros, if it has no more.
    pub ends: [u64; 2],
}

/// A series key `measurement[,tag=value]*` taken apart; all parts as written.
#[derive(Debug)]
pub struct Key<'b, 's> {
    pub measurement: &'b [u8],
    /// In the order of writing; keys are distinct.
    pub tags: &'s [Tag<'b>],
    /// The measurement's number, or [`NO_NAME`](super::NO_NAME). Equal numbers of a body stand for equal names; a tag's key has its number within the
    /// measurement.
    pub number: u32,
    /// Equal shapes of a body, counted from 0, stand for equal measurements and tag keys in the same order; or [`NO_SHAPE`](super::NO_SHAPE).
    pub shape: u32,
    /// No byte of it is escaped.
    pub plain: bool,
}

/// Takes the series keys of a body apart.
#[derive(Debug, Default)]
pub(super) struct Splitter<'b> {
    names: Names<'b>,
    shapes: Shapes,
    measurement: &'b [u8],
    number: u32,
    tags: Vec<Tag<'b>>,
    /// Where the tags' keys of a key that is too long start, and how long they are.
    long_keys: Vec<(u32, u32)>,
}

impl<'b> Splitter<'b> {
    /// Takes the key that stands at `start..end` apart and judges it (steps 2 and 3 of the order of judgement). `plain`: it has no backslash.
    #[inline(always)]
    pub fn split<V: Vector>(
        &mut self,
        body: &Padded<'b>,
        start: usize,
        end: usize,
        plain: bool,
    ) -> Result<Key<'b, '_>, ErrorKind> {
        if end - start > KEY_BYTES_MAX {
            return Err(self.judge_long::<V>(body, start, end));
        }
        // SAFETY: this parser runs on `V`.
        let walked = if plain { unsafe { V::run(Walk { splitter: self, body: *body, start, end }) } } else { None };
        let shape = match walked {
            Some(shape) => shape,
            // SAFETY: as above.
            None => unsafe { V::run(Split { splitter: self, body, start, end, plain })? },
        };
        Ok(Key { measurement: self.measurement, tags: &self.tags, number: self.number, shape, plain })
    }

    /// Takes any key apart that is not too long; returns its shape.
    #[inline(always)]
    fn split_anew<V: Vector>(
        &mut self,
        body: &Padded<'b>,
        start: usize,
        end: usize,
        plain: bool,
    ) -> Result<u32, ErrorKind> {
        match plain {
            true => self.read_parts::<V, false, false>(body, start, end)?,
            false => self.read_parts::<V, true, false>(body, start, end)?,
        };
        if let Some(shape) = self.shapes.find(self.number, &self.tags) {
            return Ok(shape);
        }
        self.judge_tags()?;
        Ok(self.shapes.learn(&self.names, self.number, &self.tags))
    }

    /// What is wrong with a key that is too long, first of all. It may have millions of tags: no more than their keys' places are kept.
    #[cold]
    #[inline(always)]
    fn judge_long<V: Vector>(&mut self, body: &Padded<'b>, start: usize, end: usize) -> ErrorKind {
        self.long_keys.clear();
        if let Err(kind) = self.read_parts::<V, true, true>(body, start, end) {
            return kind;
        }
        let mut keys = std::mem::take(&mut self.long_keys);
        let key_of = |(start, len): &(u32, u32)| body.slice(*start as usize, *start as usize + *len as usize);
        let reserved = keys.iter().find_map(|key| reserved_key(key_of(key)));
        keys.sort_unstable_by(|one, other| key_of(one).cmp(key_of(other)));
        if keys.windows(2).any(|pair| key_of(&pair[0]) == key_of(&pair[1])) {
            return ErrorKind::DuplicateTag;
        }
        reserved.map_or(ErrorKind::KeyTooLong(end - start), ErrorKind::ReservedTagKey)
    }

    /// With `LONG`, only the places of the tags' keys are kept.
    #[inline(always)]
    fn read_parts<V: Vector, const ESCAPES: bool, const LONG: bool>(
        &mut self,
        body: &Padded<'b>,
        start: usize,
        end: usize,
    ) -> Result<(), ErrorKind> {
        let mut delimiters = Delimiters::<V, 2>::new(body, start, end, *b",=");
        let mut at = delimiters.next::<ESCAPES>();
        while at < end && body.at(at) == b'=' {
            at = delimiters.next::<ESCAPES>();
        }
        if at == start {
            return Err(ErrorKind::MissingMeasurement);
        }
        self.measurement = body.slice(start, at);
        self.number = self.names.find::<V>(body, start, at, ROOT);
        self.tags.clear();
        while at < end {
            let key = at + 1;
            let equals = delimiters.next::<ESCAPES>();
            if equals == key {
                return Err(ErrorKind::MissingTagKey);
            }
            if equals >= end || body.at(equals) != b'=' {
                return Err(ErrorKind::MissingTagValue);
            }
            let value = equals + 1;
            at = delimiters.next::<ESCAPES>();
            if at < end && body.at(at) == b'=' {
                return Err(ErrorKind::InvalidTagFormat);
            }
            if at == value {
                return Err(ErrorKind::MissingTagValue);
            }
            if LONG {
                self.long_keys.push((key as u32, (equals - key) as u32));
                continue;
            }
            let number = self.names.find::<V>(body, key, equals, self.number);
            let (key, ends) = (body.slice(key, equals), ends(body, value, at));
            self.tags.push(Tag { key, value: body.slice(value, at), number, ends });
        }
        Ok(())
    }

    fn judge_tags(&self) -> Result<(), ErrorKind> {
        let mut front = 0;
        let clear = self.tags.iter().all(|tag| {
            let before = front;
            self.names.get(tag.number).is_some_and(|name| {
                front = name.front;
                before < front && !name.reserved
            })
        });
        // Keys with the same first bytes are among those that are left to a closer look.
        if clear { Ok(()) } else { judge_tags(&self.tags) }
    }
}

/// Takes a plain key apart whose names are those of an earlier one in its order, and returns its shape. `None` promises nothing.
struct Walk<'p, 'b> {
    splitter: &'p mut Splitter<'b>,
    body: Padded<'b>,
    start: usize,
    end: usize,
}

impl Task for Walk<'_, '_> {
    type Output = Option<u32>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        let Self { splitter, body, start, end } = self;
        let Splitter { shapes, tags, .. } = splitter;
        let mut number = shapes.step::<V>(&body, START, start, b',', end)?;
        let Node { len, name, mut shape, .. } = *shapes.get(number);
        let mut at = start + len as usize;
        splitter.measurement = body.slice(start, at);
        splitter.number = name;
        tags.clear();
        while at < end {
            let key = at + 1;
            number = shapes.step::<V>(&body, number, key, b'=', end)?;
            let node = shapes.get(number);
            shape = node.shape;
            let equals = key + node.len as usize;
            let value = equals + 1;
            at = first_of::<V>(&body, value, end, *b",=");
            // Nothing between, as behind the end too.
            if at <= value || at < end && body.at(at) == b'=' {
                return None;
            }
            let (key, ends) = (body.slice(key, equals), ends(&body, value, at));
            tags.push(Tag { key, value: body.slice(value, at), number: node.name, ends });
        }
        Some(shape).filter(|shape| *shape != NO_SHAPE)
    }
}

/// [`Splitter::split_anew`], out of line.
struct Split<'p, 'b> {
    splitter: &'p mut Splitter<'b>,
    body: &'p Padded<'b>,
    start: usize,
    end: usize,
    plain: bool,
}

impl Task for Split<'_, '_> {
    type Output = Result<u32, ErrorKind>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        self.splitter.split_anew::<V>(self.body, self.start, self.end, self.plain)
    }
}

/// See [`Tag::ends`].
#[inline(always)]
fn ends(body: &Padded<'_>, start: usize, end: usize) -> [u64; 2] {
    let len = end - start;
    let kept = u64::MAX >> (64 - 8 * len.clamp(1, 8));
    [body.eight(start) & kept, body.eight(start + len.saturating_sub(8)) & kept]
}

fn judge_tags(tags: &[Tag<'_>]) -> Result<(), ErrorKind> {
    // Unescaping maps different spellings to different keys, so the written keys may be compared.
    if !tags.is_sorted_by(|one, next| one.key < next.key) {
        let mut keys: Vec<&[u8]> = tags.iter().map(|tag| tag.key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ErrorKind::DuplicateTag);
        }
    }
    match tags.iter().find_map(|tag| reserved_key(tag.key)) {
        Some(reserved) => Err(ErrorKind::ReservedTagKey(reserved)),
        None => Ok(()),
    }
}

fn reserved_key(key: &[u8]) -> Option<&'static str> {
    RESERVED_TAG_KEYS.into_iter().find(|reserved| reserved.as_bytes() == key)
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
