//! The checksum of a whole file. Page checksums cover what is in pages, and every reader may look at them; nothing in Parquet covers the headers
//! of pages and the footer, where a changed byte may turn into other rows: another encoding, a count of nulls, the name of a column.
//!
//! It lies right before the footer, where nothing points to. So it is not taken over by a program that writes the file anew.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crc32fast::Hasher;

const MAGIC: [u8; 8] = *b"FILE.CRC";
/// The magic, the CRC-32 of all bytes before it, and that of all bytes behind the block.
const BLOCK: usize = MAGIC.len() + 4 + 4;
/// The length of the footer and the magic of Parquet.
const TAIL: usize = 8;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Puts the checksum into the end of a file: what follows its pages. `before`: of all bytes before `end`.
pub(super) fn insert(mut before: Hasher, end: &mut Vec<u8>) {
    let Some((rest, tail)) = end.split_last_chunk::<TAIL>() else { return };
    let Some(at) = rest.len().checked_sub(footer_bytes(tail)) else { return };
    before.update(&end[..at]);
    let [before, behind] = [before.finalize(), crc32fast::hash(&end[at..])].map(u32::to_le_bytes);
    end.splice(at..at, MAGIC.into_iter().chain(before).chain(behind));
}

fn footer_bytes(tail: &[u8; TAIL]) -> usize {
    u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize
}

/// What a file says of its bytes.
pub(super) struct Checksum {
    /// Where it lies, and the length of the file.
    at: u64,
    length: u64,
    before: [u8; 4],
    behind: [u8; 4],
}

impl Checksum {
    /// `None`: the file has none, as what other programs write.
    pub fn of(file: &File) -> io::Result<Option<Self>> {
        let length = file.metadata()?.len();
        let Some(tail_at) = length.checked_sub(TAIL as u64) else { return Ok(None) };
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, tail_at)?;
        let Some(at) = tail_at.checked_sub((footer_bytes(&tail) + BLOCK) as u64) else { return Ok(None) };
        let mut block = [0; BLOCK];
        file.read_exact_at(&mut block, at)?;
        let [magic @ .., a, b, c, d, w, x, y, z] = block;
        Ok((magic == MAGIC).then_some(Self { at, length, before: [a, b, c, d], behind: [w, x, y, z] }))
    }

    /// Whether the footer is as it was written.
    pub fn holds_footer(&self, file: &File) -> io::Result<bool> {
        Ok(crc(file, self.at + BLOCK as u64..self.length)? == self.behind)
    }

    /// Whether all before the footer is: reads all of it.
    pub fn holds_pages(&self, file: &File) -> io::Result<bool> {
        Ok(crc(file, 0..self.at)? == self.before)
    }
}

fn crc(file: &File, bytes: Range<u64>) -> io::Result<[u8; 4]> {
    let mut crc = Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut from = bytes.start;
    while from < bytes.end {
        let count = (PIECE as u64).min(bytes.end - from) as usize;
        file.read_exact_at(&mut piece[..count], from)?;
        crc.update(&piece[..count]);
        from += count as u64;
    }
    Ok(crc.finalize().to_le_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    /// `pages`, an index, a footer and the tail, with their checksum.
    fn whole(pages: &[u8]) -> Vec<u8> {
        let mut before = Hasher::new();
        before.update(pages);
        let mut end = b"indexfooter\x06\0\0\0PAR1".to_vec();
        insert(before, &mut end);
        [pages, &end].concat()
    }

    /// Whether pages and footer are as they were written; `None` without a checksum.
    fn checked(bytes: &[u8]) -> Option<[bool; 2]> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let checksum = Checksum::of(&file).unwrap()?;
        Some([checksum.holds_pages(&file).unwrap(), checksum.holds_footer(&file).unwrap()])
    }

    #[test]
    fn the_checksum_lies_before_the_footer() {
        let bytes = whole(b"pages");
        let (block, rest) = bytes[10..].split_at(BLOCK);
        assert_eq!((&bytes[..10], &block[..8], rest), (&b"pagesindex"[..], &MAGIC[..], &b"footer\x06\0\0\0PAR1"[..]));
        assert_eq!(block[8..12], crc32fast::hash(b"pagesindex").to_le_bytes());
        assert_eq!(block[12..], crc32fast::hash(b"footer\x06\0\0\0PAR1").to_le_bytes());
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let pages: Vec<u8> = (0..PIECE + 1000).map(|index| (index * 7) as u8).collect();
        let bytes = whole(&pages);
        assert_eq!(checked(&bytes), Some([true; 2]));
        let block = pages.len() + 5;
        let footer = block + BLOCK;
        for at in (0..pages.len()).step_by(50_021).chain(pages.len()..bytes.len()) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            let expected = match () {
                () if at < block || (block + 8..block + 12).contains(&at) => Some([false, true]),
                // By its magic and the footer's length it is found: without it the file is as one of another program.
                () if at < block + 8 || (footer + 6..footer + 10).contains(&at) => None,
                () => Some([true, false]),
            };
            assert_eq!(checked(&bytes), expected, "{at}");
        }
    }

    #[test]
    fn a_file_without_a_checksum_is_known_as_such() {
        for bytes in [&b""[..], b"PAR1", b"PAR1footer\x06\0\0\0PAR1", b"PAR1footer\xFF\xFF\xFF\xFFPAR1", &[0; 40]] {
            assert_eq!(checked(bytes), None);
        }
    }
}
