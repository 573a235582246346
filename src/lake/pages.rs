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
fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let mut bits = 0u128;
    let mut filled = 0;
    for value in values {
        bits |= u128::from(*value) << filled;
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
    for (before, block) in values.chunks(BLOCK).zip(values[1..].chunks(BLOCK)) {
        let mut beyond = 0;
        for (delta, (value, before)) in deltas.iter_mut().zip(block.iter().zip(before)) {
            *delta = value.wrapping_sub(*before);
            // Bits that a narrow one has not.
            beyond |= delta.wrapping_sub(i64::from(i16::MIN)) & !i64::from(u16::MAX);
        }
        // Sixteen bits go through eight times as many lanes, and the least of sixty-four is an instruction that not every processor has.
        match beyond {
            0 => delta_block(&mut deltas.map(|delta| delta as i16), block.len(), out),
            _ => delta_block(&mut deltas, block.len(), out),
        }
    }
}

/// A difference between neighbours.
trait Delta: Copy + Ord + Into<i64> {
    /// What it lies above the least one.
    type Above: Copy + Default + std::ops::BitOr<Output = Self::Above> + Into<u64>;
    fn above(self, least: Self) -> Self::Above;
}

impl Delta for i16 {
    type Above = u16;
    #[inline(always)]
    fn above(self, least: Self) -> u16 {
        self.wrapping_sub(least) as u16
    }
}

impl Delta for i64 {
    type Above = u64;
    #[inline(always)]
    fn above(self, least: Self) -> u64 {
        self.wrapping_sub(least) as u64
    }
}

/// One block of `len` deltas, one at least; miniblocks behind them are left out, the rest of the last one is filled up.
fn delta_block<D: Delta>(deltas: &mut [D; BLOCK], len: usize, out: &mut Vec<u8>) {
    let least = deltas[..len].iter().fold(deltas[0], |least, delta| least.min(*delta));
    deltas[len..].fill(least);
    varint(zigzag(least.into()), out);
    let widths = out.len();
    out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
    for (index, miniblock) in deltas.as_chunks::<MINIBLOCK>().0.iter().take(len.div_ceil(MINIBLOCK)).enumerate() {
        let above = miniblock.map(|delta| delta.above(least));
        let all: u64 = above.iter().fold(D::Above::default(), |all, value| all | *value).into();
        let width = u64::BITS - all.leading_zeros();
        out[widths + index] = width as u8;
        pack_miniblock(&above.map(Into::into), width, out);
    }
}

/// Packs values of `width` bits each, lowest bits first. Eight of them are `width` bytes: up to a width of 16 they are put together by
/// shifts that do not wait for each other, and stored as one word, whose rest the next eight overwrite.
fn pack_miniblock(values: &[u64; MINIBLOCK], width: u32, out: &mut Vec<u8>) {
    const WIDTH_MAX: usize = 16;
    let bytes = width as usize;
    let mut packed = [0; MINIBLOCK / 8 * WIDTH_MAX + WIDTH_MAX];
    let eights = values.as_chunks::<8>().0.iter().enumerate();
    match bytes {
        0 => return,
        1..=8 => {
            for (index, eight) in eights {
                let word = (0..).zip(eight).fold(0, |word, (place, value)| word | value << (place * width));
                packed[index * bytes..][..8].copy_from_slice(&word.to_le_bytes());
            }
        }
        9..=WIDTH_MAX => {
            for (index, [a, b, c, d, e, f, g, h]) in eights {
                let low = a | b << width | c << (2 * width) | d << (3 * width);
                let high = e | f << width | g << (2 * width) | h << (3 * width);
                let word = u128::from(low) | u128::from(high) << (4 * width);
                packed[index * bytes..][..16].copy_from_slice(&word.to_le_bytes());
            }
        }
        _ => return pack(values, width, out),
    }
    out.extend_from_slice(&packed[..MINIBLOCK / 8 * bytes]);
}

/// BYTE_STREAM_SPLIT of doubles.
pub(super) fn streams(values: &[f64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 8 * values.len(), 0);
    if values.is_empty() {
        return;
    }
    let (eights, rest) = values.as_chunks::<8>();
    let mut streams = out[start..].chunks_exact_mut(values.len());
    let mut streams: [&mut [u8]; 8] = std::array::from_fn(|_| streams.next().unwrap_or_default());
    for (index, eight) in eights.iter().enumerate() {
        let bytes = transpose(eight.map(f64::to_bits));
        for (stream, bytes) in streams.iter_mut().zip(bytes) {
            stream[8 * index..][..8].copy_from_slice(&bytes.to_le_bytes());
        }
    }
    for (byte, stream) in streams.iter_mut().enumerate() {
        let rest = rest.iter().map(|value| (value.to_bits() >> (8 * byte)) as u8);
        stream[8 * eights.len()..].iter_mut().zip(rest).for_each(|(to, from)| *to = from);
    }
}

/// A matrix of 8 by 8 bytes with rows and columns changed: blocks of 4 by 4 first, then of 2 by 2, then single bytes.
#[inline]
fn transpose(mut rows: [u64; 8]) -> [u64; 8] {
    for (distance, mask) in [(4, 0x0000_0000_FFFF_FFFF), (2, 0x0000_FFFF_0000_FFFF), (1, 0x00FF_00FF_00FF_00FFu64)] {
        let bits = 8 * distance;
        for first in (0..8).filter(|row| row & distance == 0) {
            let (a, b) = (rows[first], rows[first + distance]);
            rows[first] = a & mask | (b & mask) << bits;
            rows[first + distance] = a >> bits & mask | b & !mask;
        }
    }
    rows
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A value per line, as the format describes it.
    fn bits_of(values: &[u64], width: u32) -> Vec<u8> {
        let mut bytes = vec![0u8; (values.len() * width as usize).div_ceil(8)];
        for (index, value) in values.iter().enumerate() {
            for bit in 0..width as usize {
                let at = index * width as usize + bit;
                bytes[at / 8] |= ((value >> bit & 1) as u8) << (at % 8);
            }
        }
        bytes
    }

    #[test]
    fn miniblocks_of_every_width_are_packed_bit_by_bit() {
        for width in 0..=u64::BITS {
            let mask = if width == 0 { 0 } else { u64::MAX >> (u64::BITS - width) };
            let values: [u64; MINIBLOCK] =
                std::array::from_fn(|index| (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask);
            let mut out = vec![7];
            pack_miniblock(&values, width, &mut out);
            assert_eq!(out[1..], bits_of(&values, width), "width {width}");
        }
    }

    #[test]
    fn streams_hold_one_byte_of_each_value_after_the_other() {
        for count in [0, 1, 7, 8, 9, 16, 100] {
            let values: Vec<f64> = (0..count).map(|index| (f64::from(index) - 3.3).sqrt() * 1e9).collect();
            let mut out = vec![1, 2];
            streams(&values, &mut out);
            let byte = |at: usize| (values[at % values.len()].to_bits() >> (8 * (at / values.len()))) as u8;
            assert_eq!(out[2..], (0..8 * values.len()).map(byte).collect::<Vec<u8>>());
        }
    }
}
