//! Bodies of Parquet pages: levels and value encodings as "Apache Parquet, Encodings" has them, all little-endian.

use std::ops::Range;

use super::gather::Filled;

/// Values per block of DELTA_BINARY_PACKED, and per miniblock.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// The RLE / bit-packing hybrid: runs of eight and more become run lengths, the rest is packed in groups of eight.
pub(super) struct Hybrid<'a> {
    out: &'a mut Vec<u8>,
    /// Bits per value, at most 32.
    width: u32,
    run: u32,
    run_len: usize,
    literals: Vec<u32>,
}

impl<'a> Hybrid<'a> {
    pub fn new(width: u32, out: &'a mut Vec<u8>) -> Self {
        Self { out, width, run: 0, run_len: 0, literals: Vec::new() }
    }

    #[inline]
    pub fn push(&mut self, value: u32, count: usize) {
        if count == 0 {
            return;
        }
        if value != self.run {
            self.end_run();
            self.run = value;
        }
        self.run_len += count;
    }

    #[inline]
    fn end_run(&mut self) {
        // Literals come in groups of eight: the run fills the open group first.
        let open = self.literals.len().wrapping_neg() % 8;
        let fill = open.min(self.run_len);
        let rest = self.run_len - fill;
        self.run_len = 0;
        for _ in 0..fill {
            self.literals.push(self.run);
        }
        if rest >= 8 {
            self.pack_literals();
            varint((rest as u64) << 1, self.out);
            let bytes = self.run.to_le_bytes();
            self.out.extend_from_slice(&bytes[..self.width.div_ceil(8) as usize]);
        } else {
            for _ in 0..rest {
                self.literals.push(self.run);
            }
        }
    }

    fn pack_literals(&mut self) {
        pack_groups(&self.literals, self.width, self.out);
        self.literals.clear();
    }

    pub fn finish(mut self) {
        self.end_run();
        self.pack_literals();
    }
}

/// Packs `values` of `width` bits each, lowest bits first; together they are whole bytes.
fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let mut bits = 0u128;
    let mut filled = 0;
    for value in values {
        bits |= u128::from(value) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(bits as u64).to_le_bytes()[..filled.div_ceil(8) as usize]);
}

pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Definition levels of the rows `rows` of an optional column, with their length in front (data page V1).
pub(super) fn levels(filled: &Filled, rows: Range<usize>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut hybrid = Hybrid::new(1, out);
    match filled {
        Filled::All => hybrid.push(1, rows.len()),
        Filled::Flags(flags) => flags[rows].iter().for_each(|flag| hybrid.push(u32::from(*flag), 1)),
        Filled::Rows(present) => {
            let mut next = rows.start;
            for row in &present[values_before(present, rows.start)..values_before(present, rows.end)] {
                hybrid.push(0, *row as usize - next);
                hybrid.push(1, 1);
                next = *row as usize + 1;
            }
            hybrid.push(0, rows.end - next);
        }
        Filled::Ranges(ranges) => {
            let mut next = rows.start;
            for range in ranges_in(ranges, &rows) {
                hybrid.push(0, range.start - next);
                hybrid.push(1, range.len());
                next = range.end;
            }
            hybrid.push(0, rows.end - next);
        }
    }
    hybrid.finish();
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// What of `ranges` lies in `rows`.
fn ranges_in<'a>(ranges: &'a [Range<u32>], rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let rows = rows.clone();
    let first = ranges.partition_point(|range| range.end as usize <= rows.start);
    let inside = ranges[first..].iter().take_while(move |range| (range.start as usize) < rows.end);
    inside.map(move |range| rows.start.max(range.start as usize)..rows.end.min(range.end as usize))
}

fn values_before(present: &[u32], row: usize) -> usize {
    present.partition_point(|other| (*other as usize) < row)
}

/// How many of `rows` have a value.
pub(super) fn values_in(filled: &Filled, rows: Range<usize>) -> usize {
    match filled {
        Filled::All => rows.len(),
        Filled::Flags(flags) => flags[rows].iter().map(|flag| usize::from(*flag)).sum(),
        Filled::Rows(present) => values_before(present, rows.end) - values_before(present, rows.start),
        Filled::Ranges(ranges) => ranges_in(ranges, &rows).map(|range| range.len()).sum(),
    }
}

/// The first row behind `row` and `count` values from there on; there is one more value behind these.
pub(super) fn row_after(filled: &Filled, row: usize, count: usize) -> usize {
    match filled {
        Filled::All => row + count,
        Filled::Flags(flags) => {
            let mut present = (row..).zip(&flags[row..]).filter(|(_, flag)| **flag == 1);
            present.nth(count).map_or(flags.len(), |(row, _)| row)
        }
        Filled::Rows(present) => present[values_before(present, row) + count] as usize,
        Filled::Ranges(ranges) => {
            let mut rest = count;
            let mut after = row;
            for range in ranges_in(ranges, &(row..usize::MAX)) {
                after = range.start + rest;
                if rest < range.len() {
                    break;
                }
                rest -= range.len();
            }
            after
        }
    }
}

/// Indexes into a dictionary of `entries` values: a byte with their width, then the hybrid.
pub(super) fn key_runs(runs: impl Iterator<Item = (u32, usize)>, entries: usize, out: &mut Vec<u8>) {
    let width = key_width(entries);
    out.push(width as u8);
    let mut hybrid = Hybrid::new(width, out);
    runs.for_each(|(key, rows)| hybrid.push(key, rows));
    hybrid.finish();
}

/// The same from one index per value.
pub(super) fn keys(keys: &[u32], entries: usize, out: &mut Vec<u8>) {
    let repeated = keys.windows(2).filter(|pair| pair[0] == pair[1]).count();
    // Where long runs are rare, looking for them costs more than it saves.
    if repeated > keys.len() / 2 {
        return key_runs(keys.iter().map(|key| (*key, 1)), entries, out);
    }
    let width = key_width(entries);
    out.push(width as u8);
    pack_groups(keys, width, out);
}

/// One bit-packed run of the hybrid. What fills its last group of eight up lies behind the last value that a page counts.
fn pack_groups(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    varint((values.len() as u64).div_ceil(8) << 1 | 1, out);
    out.reserve(values.len().next_multiple_of(8) * width as usize / 8 + 8);
    let (mut bits, mut filled) = (0u64, 0);
    let fill = values.len().wrapping_neg() % 8;
    let mut add = |value: u32| {
        bits |= u64::from(value) << filled;
        filled += width;
        if filled >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            filled -= 32;
        }
    };
    values.iter().for_each(|value| add(*value));
    (0..fill).for_each(|_| add(0));
    out.extend_from_slice(&bits.to_le_bytes()[..filled as usize / 8]);
}

/// Bits of an index into a dictionary of `entries` values; at least one, because not every reader takes none.
pub(super) fn key_width(entries: usize) -> u32 {
    (usize::BITS - entries.saturating_sub(1).leading_zeros()).max(1)
}

/// DELTA_BINARY_PACKED.
pub(super) fn delta(values: &[i64], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    let Some(first) = values.first() else {
        varint(0, out);
        return;
    };
    varint(zigzag(*first), out);
    let mut deltas = [0i64; BLOCK];
    let mut previous = *first;
    for block in values[1..].chunks(BLOCK) {
        for (delta, value) in deltas.iter_mut().zip(block) {
            *delta = value.wrapping_sub(previous);
            previous = *value;
        }
        let deltas = &deltas[..block.len()];
        let least = deltas.iter().copied().min().unwrap_or(0);
        varint(zigzag(least), out);
        let widths = out.len();
        out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
        for (index, miniblock) in deltas.chunks(MINIBLOCK).enumerate() {
            let above = |delta: &i64| delta.wrapping_sub(least) as u64;
            let width = u64::BITS - miniblock.iter().map(above).fold(0, |all, value| all | value).leading_zeros();
            out[widths + index] = width as u8;
            let fill = std::iter::repeat_n(0, MINIBLOCK - miniblock.len());
            pack(miniblock.iter().map(above).chain(fill), width, out);
        }
    }
}

/// BYTE_STREAM_SPLIT of doubles.
pub(super) fn streams(values: &[f64], out: &mut Vec<u8>) {
    for byte in 0..8 {
        out.extend(values.iter().map(|value| (value.to_bits() >> (8 * byte)) as u8));
    }
}

/// PLAIN booleans: a bit each.
pub(super) fn bits(values: &[bool], out: &mut Vec<u8>) {
    out.extend(values.chunks(8).map(|chunk| chunk.iter().rev().fold(0, |bits, value| bits << 1 | u8::from(*value))));
}

/// PLAIN numbers of eight bytes.
pub(super) fn plain(values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    out.extend(values.flat_map(u64::to_le_bytes));
}

/// One PLAIN string: its length, then its bytes.
pub(super) fn plain_string(string: &[u8], out: &mut Vec<u8>) {
    // A string is smaller than the body that brought it, which is capped far below 4 GiB.
    out.extend_from_slice(&(string.len() as u32).to_le_bytes());
    out.extend_from_slice(string);
}
