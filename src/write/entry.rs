//! A request as the log keeps it: what was received, and the verdict. The bytes are in docs/FORMATS.md, "Log".

use crate::line::Precision;
use crate::table::Ordinals;

/// In the order of their numbers on disk.
const PRECISIONS: [Precision; 6] = [
    Precision::Nanosecond,
    Precision::Microsecond,
    Precision::Millisecond,
    Precision::Second,
    Precision::Minute,
    Precision::Hour,
];

const GZIP: u8 = 1;

/// Everything of a request but its body, which follows these bytes as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub bucket: &'a str,
    pub precision: Precision,
    /// Nanoseconds UTC: the time of points that have none.
    pub received_ns: i64,
    /// The body is compressed.
    pub gzip: bool,
    /// Bytes of the body after decompression.
    pub body_bytes: u32,
    /// Points that were not taken.
    pub dropped: Ordinals,
}

impl<'a> Entry<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.gzip { GZIP } else { 0 });
        out.push(PRECISIONS.iter().position(|precision| *precision == self.precision).unwrap_or(0) as u8);
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        out.extend_from_slice(&self.received_ns.to_le_bytes());
        put_varint(out, self.bucket.len() as u64);
        out.extend_from_slice(self.bucket.as_bytes());
        put_varint(out, self.dropped.runs().len() as u64);
        let mut end = 0;
        for run in self.dropped.runs() {
            put_varint(out, run.start - end);
            put_varint(out, run.end - run.start);
            end = run.end;
        }
    }

    /// The entry at the start of `bytes`, and where the body begins. `None`: these are no such bytes.
    pub fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let flags = take(&mut rest, 1)?[0];
        let precision = *PRECISIONS.get(take(&mut rest, 1)?[0] as usize)?;
        let body_bytes = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let received_ns = i64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
        let bucket_bytes = usize::try_from(take_varint(&mut rest)?).ok()?;
        let bucket = std::str::from_utf8(take(&mut rest, bucket_bytes)?).ok()?;
        let mut dropped = Ordinals::default();
        let mut end: u64 = 0;
        for _ in 0..take_varint(&mut rest)? {
            let start = end.checked_add(take_varint(&mut rest)?)?;
            end = start.checked_add(take_varint(&mut rest)?)?;
            dropped.push_run(start..end);
        }
        if flags & !GZIP != 0 {
            return None;
        }
        let gzip = flags & GZIP != 0;
        Some((Self { bucket, precision, received_ns, gzip, body_bytes, dropped }, bytes.len() - rest.len()))
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// LEB128, as in Parquet's and protobuf's varints.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        for (runs, gzip, precision) in [
            (vec![], false, Precision::Nanosecond),
            (vec![0..1, 5..300, 70_000..70_001], true, Precision::Hour),
            (vec![3..4, 1 << 40..u64::MAX], false, Precision::Second),
        ] {
            let mut dropped = Ordinals::default();
            runs.into_iter().for_each(|run| dropped.push_run(run));
            let entry =
                Entry { bucket: "größe/weekly", precision, received_ns: -7, gzip, body_bytes: 1 << 30, dropped };
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let header = bytes.len();
            bytes.extend_from_slice(b"m f=1");
            assert_eq!(Entry::decode(&bytes), Some((entry, header)));
            for cut in 0..header {
                assert_eq!(Entry::decode(&bytes[..cut]), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let mut bytes = Vec::new();
        let dropped = Ordinals::default();
        let precision = Precision::Second;
        Entry { bucket: "b", precision, received_ns: 0, gzip: false, body_bytes: 0, dropped }.encode(&mut bytes);
        for (at, byte) in [(0, 2), (1, 6), (15, 0xFF)] {
            let mut wrong = bytes.clone();
            wrong[at] = byte;
            assert_eq!(Entry::decode(&wrong), None, "byte {at}");
        }
    }
}
