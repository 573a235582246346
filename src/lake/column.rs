//! How the values of a column are encoded: the choice by type and by a look at the values, and the statistics.

use std::hash::{BuildHasher, Hash};
use std::io;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::chunk::{ChunkWriter, Dictionary, Shape};
use super::pages;

/// Integers whose range is smaller go to a dictionary by a table as large as the range.
const TABLE_RANGE: u64 = 1 << 16;
/// A dictionary must be this many times smaller than the number of values.
const REPEATED: usize = 4;
/// Values looked at to choose.
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
    let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else {
        return chunks.nulls(shape.rows);
    };
    let bounds = integer_bounds(values, nulls(shape, values.len()), kind, *min, *max);
    let range = max.wrapping_sub(*min) as u64;
    if kind != IntegerKind::Narrow
        && range < TABLE_RANGE.min(16 * values.len() as u64)
        && let Some((keys, entries)) = table_keys(values, *min, range as usize)
        && pages::key_width(entries.len()) < 3 * delta_width(values)
    {
        let dictionary = numbers(entries.iter().map(|value| *value as u64));
        return chunks.keyed(shape, &keys, dictionary, bounds);
    }
    chunks.even(shape, Encoding::DELTA_BINARY_PACKED, bounds, |range, out| pages::delta(&values[range], out))
}

/// Integers that are always DELTA_BINARY_PACKED: the time columns.
pub(super) fn times(
    chunks: &mut ChunkWriter<'_>,
    shape: Shape<'_>,
    values: &[i64],
    kind: IntegerKind,
) -> io::Result<()> {
    let (min, max) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let bounds = integer_bounds(values, 0, kind, min, max);
    chunks.even(shape, Encoding::DELTA_BINARY_PACKED, bounds, |range, out| pages::delta(&values[range], out))
}

pub(super) fn floats(chunks: &mut ChunkWriter<'_>, shape: Shape<'_>, values: &[f64]) -> io::Result<()> {
    if values.is_empty() {
        return chunks.nulls(shape.rows);
    }
    let bounds = float_bounds(values, nulls(shape, values.len()));
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
    let (any, all) = (values.contains(&true), !values.contains(&false));
    let bounds = Statistics::boolean(Some(all), Some(any), None, Some(nulls(shape, values.len())), false);
    chunks.even(shape, Encoding::PLAIN, bounds, |range, out| pages::bits(&values[range], out))
}

pub(super) fn strings(chunks: &mut ChunkWriter<'_>, shape: Shape<'_>, values: &[&[u8]]) -> io::Result<()> {
    if values.is_empty() {
        return chunks.nulls(shape.rows);
    }
    let bounds = string_bounds(values.iter().copied(), nulls(shape, values.len()));
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
    let values: usize = runs.iter().map(|(_, rows)| rows).sum();
    let bounds = string_bounds(entries.iter().copied(), nulls(shape, values));
    let dictionary_bytes: usize = entries.iter().map(|value| value.len() + 4).sum();
    let plain_bytes: usize = runs.iter().map(|(key, rows)| rows * (entries[*key as usize].len() + 4)).sum();
    // With a value per row, keys are a second copy of nothing.
    if dictionary_bytes > DICTIONARY_BYTES_MAX || plain_bytes <= dictionary_bytes + dictionary_bytes / 8 {
        let strings: Vec<&[u8]> =
            runs.iter().flat_map(|(key, rows)| std::iter::repeat_n(entries[*key as usize], *rows)).collect();
        return chunks.strings(shape, &strings, bounds);
    }
    chunks.key_runs(shape, runs, texts(entries), bounds)
}

fn nulls(shape: Shape<'_>, values: usize) -> u64 {
    (shape.rows - values) as u64
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

/// Bits that a delta takes, on average over some miniblocks.
fn delta_width(values: &[i64]) -> u32 {
    const PIECE: usize = 33;
    let step = (values.len() / 16).max(PIECE);
    let (mut sum, mut pieces) = (0, 0);
    for piece in values.chunks(step).map(|chunk| &chunk[..chunk.len().min(PIECE)]) {
        let deltas = || piece.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        let (least, most) = (deltas().min().unwrap_or(0), deltas().max().unwrap_or(0));
        sum += u64::BITS - (most.wrapping_sub(least) as u64).leading_zeros();
        pieces += 1;
    }
    sum.div_ceil(pieces.max(1)).max(1)
}

fn integer_bounds(values: &[i64], nulls: u64, kind: IntegerKind, min: i64, max: i64) -> Statistics {
    match kind {
        IntegerKind::Signed => Statistics::int64(Some(min), Some(max), None, Some(nulls), false),
        IntegerKind::Narrow => Statistics::int32(Some(min as i32), Some(max as i32), None, Some(nulls), false),
        IntegerKind::Unsigned => {
            let values = || values.iter().map(|value| *value as u64);
            let (min, max) = (values().min().unwrap_or(0), values().max().unwrap_or(u64::MAX));
            Statistics::int64(Some(min as i64), Some(max as i64), None, Some(nulls), false)
        }
    }
}

/// Bounds as the format wants them: no NaN, and zero with the sign that bounds both zeros.
fn float_bounds(values: &[f64], nulls: u64) -> Statistics {
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut comparable = false;
    for value in values {
        comparable |= !value.is_nan();
        min = min.min(*value);
        max = max.max(*value);
    }
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

/// A string that sorts after every string that begins with `prefix`: its last ASCII character is counted up. `None`
/// if there is none.
fn above(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0x7F)?;
    let mut bound = prefix[..=last].to_vec();
    bound[last] += 1;
    Some(bound)
}
