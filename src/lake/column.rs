//! How the values of a column are encoded: the choice by type and by a look at the values, and the statistics.

use std::hash::{BuildHasher, Hash};
use std::io;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::chunk::{ChunkWriter, Dictionary, KeyRuns, Shape};
use super::pages;

/// Integers whose range is smaller go to a dictionary by a table as large as the range.
const TABLE_RANGE: u64 = 1 << 16;
/// A dictionary must be this many times smaller than the number of values.
const REPEATED: usize = 4;
/// Floats or strings looked at to choose.
const SAMPLE: usize = 1024;
/// Most entries of a dictionary of floats or strings, and most bytes of one of strings or tags.
const ENTRIES_MAX: usize = 1 << 16;
const DICTIONARY_BYTES_MAX: usize = 16 << 20;
/// Bounds of strings in statistics are cut to this many bytes.
const BOUND_BYTES_MAX: usize = 64;

/// How integers are stored: their bits are the same, their order and width are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntegerKind {
    Signed,
    Unsigned,
    /// Physical type INT32; the values fit.
    Narrow,
}

pub(super) fn integers(
    chunks: &mut ChunkWriter<'_>,
    shape: Shape<'_>,
    values: &[i64],
    kind: IntegerKind,
) -> io::Result<()> {
    let Some((min, max)) = span(values) else {
        return chunks.nulls(shape.rows);
    };
    let bounds = |range: Range<usize>, nulls| integer_bounds(&values[range], nulls, kind);
    if let Some((keys, entries)) = narrow_keys(values, min, max.wrapping_sub(min) as u64) {
        let dictionary = numbers(entries.iter().map(|value| *value as u64));
        return chunks.keyed(shape, &keys, dictionary, bounds);
    }
    chunks.even(shape, Encoding::DELTA_BINARY_PACKED, bounds, |range, out| pages::delta(&values[range], out))
}

/// A dictionary and its keys, for integers from `min` to `min + range`, unless deltas are clearly smaller.
fn narrow_keys(values: &[i64], min: i64, range: u64) -> Option<(Vec<u32>, Vec<i64>)> {
    if range >= TABLE_RANGE.min(16 * values.len() as u64) {
        return None;
    }
    let sample = Sample::of(values, min, range as usize);
    // The column has no fewer distinct values than the sample: it may be known already that keys are too wide.
    if sample.prefers_deltas(sample.distinct) {
        return None;
    }
    let (keys, entries) = table_keys(values, min, range as usize)?;
    (!sample.prefers_deltas(entries.len())).then_some((keys, entries))
}

/// Integers that are always DELTA_BINARY_PACKED: the time columns.
pub(super) fn times(
    chunks: &mut ChunkWriter<'_>,
    shape: Shape<'_>,
    values: &[i64],
    kind: IntegerKind,
) -> io::Result<()> {
    let bounds = |range: Range<usize>, nulls| integer_bounds(&values[range], nulls, kind);
    chunks.even(shape, Encoding::DELTA_BINARY_PACKED, bounds, |range, out| pages::delta(&values[range], out))
}

pub(super) fn floats(chunks: &mut ChunkWriter<'_>, shape: Shape<'_>, values: &[f64]) -> io::Result<()> {
    if values.is_empty() {
        return chunks.nulls(shape.rows);
    }
    let bounds = |range: Range<usize>, nulls| float_bounds(&values[range], nulls);
    if sample_repeats(values.iter().map(|value| value.to_bits()), values.len())
        && let Some((keys, entries)) = hashed_keys(values.iter().map(|value| value.to_bits()), values.len(), |_| 8)
    {
        return chunks.keyed(shape, &keys, numbers(entries.iter().copied()), bounds);
    }
    chunks.even(shape, Encoding::BYTE_STREAM_SPLIT, bounds, |range, out| pages::streams(&values[range], out))
}

pub(super) fn booleans(chunks: &mut ChunkWriter<'_>, shape: Shape<'_>, values: &[bool]) -> io::Result<()> {
    if values.is_empty() {
        return chunks.nulls(shape.rows);
    }
    let bounds = |range: Range<usize>, nulls| {
        let values = &values[range];
        let (min, max) = (!values.contains(&false), values.contains(&true));
        let known = !values.is_empty();
        Statistics::boolean(known.then_some(min), known.then_some(max), None, Some(nulls), false)
    };
    chunks.even(shape, Encoding::PLAIN, bounds, |range, out| pages::bits(&values[range], out))
}

pub(super) fn strings(chunks: &mut ChunkWriter<'_>, shape: Shape<'_>, values: &[&[u8]]) -> io::Result<()> {
    if values.is_empty() {
        return chunks.nulls(shape.rows);
    }
    let bounds = |range: Range<usize>, nulls| string_bounds(values[range].iter().copied(), nulls);
    if sample_repeats(values.iter().copied(), values.len())
        && let Some((keys, entries)) = hashed_keys(values.iter().copied(), values.len(), |value| value.len() + 4)
    {
        return chunks.keyed(shape, &keys, texts(&entries), bounds);
    }
    chunks.strings(shape, values, bounds)
}

/// A tag column as runs of rows that have a value: its key and number of rows. `entries`: the distinct values in order
/// of their keys.
pub(super) fn tags(
    chunks: &mut ChunkWriter<'_>,
    shape: Shape<'_>,
    runs: &[(u32, usize)],
    entries: &[&[u8]],
) -> io::Result<()> {
    if runs.is_empty() {
        return chunks.nulls(shape.rows);
    }
    let key_runs = KeyRuns::new(runs);
    let bounds = |range: Range<usize>, nulls| {
        if range.len() == key_runs.values() {
            return string_bounds(entries.iter().copied(), nulls);
        }
        string_bounds(key_runs.within(range).map(|(key, _)| entries[key as usize]), nulls)
    };
    let dictionary_bytes: usize = entries.iter().map(|value| value.len() + 4).sum();
    let plain_bytes: usize = runs.iter().map(|(key, rows)| rows * (entries[*key as usize].len() + 4)).sum();
    // With a value per row, keys are a second copy of nothing.
    if dictionary_bytes > DICTIONARY_BYTES_MAX || plain_bytes <= dictionary_bytes + dictionary_bytes / 8 {
        let strings: Vec<&[u8]> =
            runs.iter().flat_map(|(key, rows)| std::iter::repeat_n(entries[*key as usize], *rows)).collect();
        return chunks.strings(shape, &strings, bounds);
    }
    chunks.key_runs(shape, &key_runs, texts(entries), bounds)
}

/// A dictionary of numbers of eight bytes.
fn numbers(entries: impl ExactSizeIterator<Item = u64>) -> Dictionary {
    let len = entries.len();
    let mut bytes = Vec::with_capacity(8 * len);
    pages::plain(entries, &mut bytes);
    Dictionary { bytes, entries: len }
}

fn texts(entries: &[&[u8]]) -> Dictionary {
    let mut bytes = Vec::with_capacity(entries.iter().map(|value| value.len() + 4).sum());
    entries.iter().for_each(|value| pages::plain_string(value, &mut bytes));
    Dictionary { bytes, entries: entries.len() }
}

/// Keys by a table over the range `min ..= min + range`, and the values in order of their keys. `None`: too many differ.
fn table_keys(values: &[i64], min: i64, range: usize) -> Option<(Vec<u32>, Vec<i64>)> {
    const UNSEEN: u32 = u32::MAX;
    let mut table = vec![UNSEEN; range + 1];
    let mut entries = Vec::new();
    let key = |value: &i64| {
        let key = &mut table[value.wrapping_sub(min) as usize];
        if *key == UNSEEN {
            *key = entries.len() as u32;
            entries.push(*value);
        }
        *key
    };
    let keys = values.iter().map(key).collect();
    (entries.len() <= values.len() / REPEATED).then_some((keys, entries))
}

/// Keys by hash, and the values in order of their keys. `None`: too many differ, or they take too much room.
fn hashed_keys<T: Copy + Eq + Hash>(
    values: impl Iterator<Item = T>,
    count: usize,
    bytes_of: impl Fn(T) -> usize,
) -> Option<(Vec<u32>, Vec<T>)> {
    let entries_max = ENTRIES_MAX.min(count / REPEATED);
    let mut index: HashMap<T, u32, RandomState> = HashMap::default();
    let mut entries = Vec::new();
    let mut keys = Vec::with_capacity(count);
    let mut bytes = 0;
    for value in values {
        let key = *index.entry(value).or_insert(entries.len() as u32);
        if key as usize == entries.len() {
            entries.push(value);
            bytes += bytes_of(value);
            if entries.len() > entries_max || bytes > DICTIONARY_BYTES_MAX {
                return None;
            }
        }
        keys.push(key);
    }
    Some((keys, entries))
}

/// Whether values spread over the column repeat so often that a dictionary may pay.
fn sample_repeats<T: Eq + Hash>(values: impl Iterator<Item = T>, count: usize) -> bool {
    let hasher = RandomState::default();
    let distinct: HashSet<u64, RandomState> =
        values.step_by((count / SAMPLE).max(1)).take(SAMPLE).map(|value| hasher.hash_one(value)).collect();
    distinct.len() <= count.min(SAMPLE) / 2
}

/// What blocks of deltas, spread over a column, tell of it.
struct Sample {
    values: usize,
    /// Values that are those before them.
    repeated: usize,
    distinct: usize,
    /// Bytes of the blocks as deltas.
    delta_bytes: usize,
}

impl Sample {
    /// Of integers from `min` to `min + range`.
    fn of(values: &[i64], min: i64, range: usize) -> Self {
        // A block of deltas and the value before it; the step is odd, so as not to meet series of one length at one place.
        const PIECE: usize = 129;
        const PIECES: usize = 16;
        let step = (values.len() / PIECES).max(PIECE) | 1;
        let mut sample = Self { values: 0, repeated: 0, distinct: 0, delta_bytes: 0 };
        let (mut seen, mut bytes) = (vec![false; range + 1], Vec::new());
        for piece in values.chunks(step).map(|chunk| &chunk[..chunk.len().min(PIECE)]) {
            sample.values += piece.len();
            sample.repeated += piece.windows(2).filter(|pair| pair[0] == pair[1]).count();
            for value in piece {
                let seen = &mut seen[value.wrapping_sub(min) as usize];
                sample.distinct += usize::from(!std::mem::replace(seen, true));
            }
            // Less what begins a page.
            pages::delta(&piece[..1], &mut bytes);
            let head = bytes.len();
            pages::delta(piece, &mut bytes);
            sample.delta_bytes += bytes.len().saturating_sub(2 * head);
            bytes.clear();
        }
        sample
    }

    /// Whether deltas take less than three quarters of what keys into a dictionary of so many entries do. Readers are faster with keys.
    fn prefers_deltas(&self, entries: usize) -> bool {
        /// Of a run of keys: its length.
        const RUN_BITS: usize = 8;
        let width = pages::key_width(entries) as usize;
        let runs = (self.values - self.repeated) * (width.next_multiple_of(8) + RUN_BITS);
        let key_bits = runs.min(self.values * width);
        4 * 8 * self.delta_bytes < 3 * key_bits
    }
}

/// The least and the greatest of some integers.
fn span(values: &[i64]) -> Option<(i64, i64)> {
    let span = values.iter().fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
    (!values.is_empty()).then_some(span)
}

/// The same in the order of unsigned integers, by their bits.
fn unsigned_span(values: &[i64]) -> (Option<i64>, Option<i64>) {
    let values = || values.iter().map(|value| *value as u64);
    (values().min().map(|min| min as i64), values().max().map(|max| max as i64))
}

fn integer_bounds(values: &[i64], nulls: u64, kind: IntegerKind) -> Statistics {
    let (min, max) = match (kind, span(values)) {
        // Beside each other in their bits, unless there are some on both sides of 2^63.
        (IntegerKind::Unsigned, Some((min, max))) if min < 0 && max >= 0 => unsigned_span(values),
        (_, span) => span.unzip(),
    };
    match kind {
        IntegerKind::Narrow => {
            Statistics::int32(min.map(|min| min as i32), max.map(|max| max as i32), None, Some(nulls), false)
        }
        _ => Statistics::int64(min, max, None, Some(nulls), false),
    }
}

/// Bounds as the format wants them: no NaN, and zero with the sign that bounds both zeros.
fn float_bounds(values: &[f64], nulls: u64) -> Statistics {
    // Four at a time, which the processor compares at once. What is no number is neither less nor greater.
    let mut bounds = [(f64::INFINITY, f64::NEG_INFINITY); 4];
    let widen = |(min, max): &mut (f64, f64), value: f64| {
        *min = if value < *min { value } else { *min };
        *max = if value > *max { value } else { *max };
    };
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        bounds.iter_mut().zip(four).for_each(|(bounds, value)| widen(bounds, *value));
    }
    bounds.iter_mut().zip(rest).for_each(|(bounds, value)| widen(bounds, *value));
    let min = bounds.iter().fold(f64::INFINITY, |least, (min, _)| least.min(*min));
    let max = bounds.iter().fold(f64::NEG_INFINITY, |most, (_, max)| most.max(*max));
    let comparable = min <= max;
    let min = if min == 0.0 { -0.0 } else { min };
    let max = if max == 0.0 { 0.0 } else { max };
    Statistics::double(comparable.then_some(min), comparable.then_some(max), None, Some(nulls), false)
}

fn string_bounds<'a>(values: impl Iterator<Item = &'a [u8]> + Clone, nulls: u64) -> Statistics {
    let whole = |value: Option<&[u8]>| value.is_some_and(|value| value.len() <= BOUND_BYTES_MAX);
    let (min, max) = (values.clone().min(), values.max());
    let lower = min.map(|min| prefix(min).to_vec());
    let upper = max.and_then(|max| if whole(Some(max)) { Some(max.to_vec()) } else { above(prefix(max)) });
    let bounds = ValueStatistics::new(lower.map(ByteArray::from), upper.map(ByteArray::from), None, Some(nulls), false);
    Statistics::ByteArray(bounds.with_min_is_exact(whole(min)).with_max_is_exact(whole(max)))
}

/// At most `BOUND_BYTES_MAX` bytes of a string, cut between characters: it sorts before the string or is it.
fn prefix(string: &[u8]) -> &[u8] {
    if string.len() <= BOUND_BYTES_MAX {
        return string;
    }
    let is_start = |at: &usize| string[*at] & 0xC0 != 0x80;
    let end = (BOUND_BYTES_MAX - 3..=BOUND_BYTES_MAX).rev().find(is_start).unwrap_or(BOUND_BYTES_MAX - 3);
    &string[..end]
}

/// A string that sorts after every string that begins with `prefix` and is no longer: the last character that has a next one of the same
/// length is counted up, and what follows it is left out. `None` if there is none.
fn above(prefix: &[u8]) -> Option<Vec<u8>> {
    let prefix = std::str::from_utf8(prefix).ok()?;
    let counted_up = |(at, last): (usize, char)| {
        // There are no characters from U+D800 to U+DFFF.
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        let next = next.filter(|next| next.len_utf8() == last.len_utf8())?;
        Some(format!("{}{next}", &prefix[..at]).into_bytes())
    };
    prefix.char_indices().rev().find_map(counted_up)
}
