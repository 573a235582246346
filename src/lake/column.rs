//! How the values of a column are encoded: the choice by type and by a look at the values, and the statistics.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::chunk::{Body, DataBody, DictionaryBody, Shape};
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

/// A chunk without values.
pub(super) fn nothing(shape: Shape<'_>) -> Statistics {
    Statistics::new::<i64>(None, None, None, Some(shape.rows as u64), false)
}

pub(super) fn integers(shape: Shape<'_>, values: &[i64], kind: IntegerKind) -> Body {
    let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else {
        return empty(shape);
    };
    let statistics = integer_statistics(values, nulls(shape, values.len()), kind, *min, *max);
    let range = max.wrapping_sub(*min) as u64;
    if kind != IntegerKind::Narrow
        && range < TABLE_RANGE.min(16 * values.len() as u64)
        && let Some((keys, entries)) = table_keys(values, *min, range as usize)
        && pages::key_width(entries.len()) < 3 * delta_width(values)
    {
        let mut bytes = Vec::with_capacity(8 * entries.len());
        pages::plain(entries.iter().map(|value| *value as u64), &mut bytes);
        return Body::keyed(shape, &keys, DictionaryBody { bytes, entries: entries.len() }, statistics);
    }
    Body::even(shape, Encoding::DELTA_BINARY_PACKED, statistics, |range, out| pages::delta(&values[range], out))
}

/// Integers that are always DELTA_BINARY_PACKED: the time columns.
pub(super) fn times(shape: Shape<'_>, values: &[i64], kind: IntegerKind) -> Body {
    let (min, max) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let statistics = integer_statistics(values, 0, kind, min, max);
    Body::even(shape, Encoding::DELTA_BINARY_PACKED, statistics, |range, out| pages::delta(&values[range], out))
}

pub(super) fn floats(shape: Shape<'_>, values: &[f64]) -> Body {
    if values.is_empty() {
        return empty(shape);
    }
    let statistics = float_statistics(values, nulls(shape, values.len()));
    if sample_repeats(values.iter().map(|value| value.to_bits()), values.len())
        && let Some((keys, entries)) = hashed_keys(values.iter().map(|value| value.to_bits()), values.len(), |_| 8)
    {
        let mut bytes = Vec::with_capacity(8 * entries.len());
        pages::plain(entries.iter().copied(), &mut bytes);
        return Body::keyed(shape, &keys, DictionaryBody { bytes, entries: entries.len() }, statistics);
    }
    Body::even(shape, Encoding::BYTE_STREAM_SPLIT, statistics, |range, out| pages::streams(&values[range], out))
}

pub(super) fn booleans(shape: Shape<'_>, values: &[bool]) -> Body {
    if values.is_empty() {
        return empty(shape);
    }
    let (any, all) = (values.contains(&true), !values.contains(&false));
    let statistics = Statistics::boolean(Some(all), Some(any), None, Some(nulls(shape, values.len())), false);
    Body::even(shape, Encoding::PLAIN, statistics, |range, out| pages::bits(&values[range], out))
}

pub(super) fn strings(shape: Shape<'_>, values: &[&[u8]]) -> Body {
    let statistics = string_statistics(values.iter().copied(), nulls(shape, values.len()));
    if sample_repeats(values.iter().copied(), values.len())
        && let Some((keys, entries)) = hashed_keys(values.iter().copied(), values.len(), |value| value.len() + 4)
    {
        return Body::keyed(shape, &keys, string_dictionary(&entries), statistics);
    }
    Body::strings(shape, values, statistics)
}

/// A tag column as runs of rows that have a value: its key and number of rows. `entries`: the distinct values in order
/// of their keys.
pub(super) fn tags(shape: Shape<'_>, runs: &[(u32, usize)], entries: &[&[u8]]) -> Body {
    if runs.is_empty() {
        return empty(shape);
    }
    let values: usize = runs.iter().map(|(_, rows)| rows).sum();
    let statistics = string_statistics(entries.iter().copied(), nulls(shape, values));
    let dictionary_bytes: usize = entries.iter().map(|value| value.len() + 4).sum();
    let plain_bytes: usize = runs.iter().map(|(key, rows)| rows * (entries[*key as usize].len() + 4)).sum();
    // With a value per row, keys are a second copy of nothing.
    if dictionary_bytes > DICTIONARY_BYTES_MAX || plain_bytes <= dictionary_bytes + dictionary_bytes / 8 {
        let strings: Vec<&[u8]> =
            runs.iter().flat_map(|(key, rows)| std::iter::repeat_n(entries[*key as usize], *rows)).collect();
        return Body::strings(shape, &strings, statistics);
    }
    let mut bytes = Vec::new();
    pages::levels(shape.filled, 0..shape.rows, &mut bytes);
    pages::key_runs(runs.iter().copied(), entries.len(), &mut bytes);
    Body {
        encoding: Encoding::RLE_DICTIONARY,
        dictionary: Some(string_dictionary(entries)),
        pages: vec![DataBody { bytes, rows: shape.rows }],
        statistics,
    }
}

/// Only nulls.
fn empty(shape: Shape<'_>) -> Body {
    Body::new(shape, shape.rows.max(1), Encoding::PLAIN, nothing(shape), |_, _| {})
}

fn nulls(shape: Shape<'_>, values: usize) -> u64 {
    (shape.rows - values) as u64
}

fn string_dictionary(entries: &[&[u8]]) -> DictionaryBody {
    let mut bytes = Vec::new();
    entries.iter().for_each(|value| pages::plain_string(value, &mut bytes));
    DictionaryBody { bytes, entries: entries.len() }
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

fn integer_statistics(values: &[i64], nulls: u64, kind: IntegerKind, min: i64, max: i64) -> Statistics {
    match kind {
        IntegerKind::Signed => Statistics::int64(Some(min), Some(max), None, Some(nulls), false),
        IntegerKind::Narrow => Statistics::int32(Some(min as i32), Some(max as i32), None, Some(nulls), false),
        IntegerKind::Unsigned => {
            let min = values.iter().map(|value| *value as u64).min().map(|value| value as i64);
            let max = values.iter().map(|value| *value as u64).max().map(|value| value as i64);
            Statistics::int64(min, max, None, Some(nulls), false)
        }
    }
}

/// Bounds as the format wants them: no NaN, and zero with the sign that bounds both zeros.
fn float_statistics(values: &[f64], nulls: u64) -> Statistics {
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut comparable = false;
    for value in values {
        comparable |= !value.is_nan();
        min = min.min(*value);
        max = max.max(*value);
    }
    let min = comparable.then_some(if min == 0.0 { -0.0 } else { min });
    let max = comparable.then_some(if max == 0.0 { 0.0 } else { max });
    Statistics::double(min, max, None, Some(nulls), false)
}

fn string_statistics<'a>(values: impl Iterator<Item = &'a [u8]> + Clone, nulls: u64) -> Statistics {
    let min = values.clone().min().map(|min| prefix(min).to_vec());
    let longest = values.max();
    let max =
        longest.and_then(|max| if max.len() <= BOUND_BYTES_MAX { Some(max.to_vec()) } else { above(prefix(max)) });
    let exact = longest.is_none_or(|max| max.len() <= BOUND_BYTES_MAX);
    let min_exact = min.as_ref().is_none_or(|min| min.len() < BOUND_BYTES_MAX - 3);
    let statistics = ValueStatistics::new(min.map(ByteArray::from), max.map(ByteArray::from), None, Some(nulls), false);
    Statistics::ByteArray(statistics.with_min_is_exact(min_exact).with_max_is_exact(exact))
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
