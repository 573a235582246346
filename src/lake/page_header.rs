//! Pages with their headers, which are Thrift structs in its compact form. Written here, because the parquet crate writes headers without a checksum.

use std::io;

use parquet::basic::{Encoding, PageType};

use super::pages::{varint, zigzag};

/// Types of members, as the compact form numbers them.
const I32: u8 = 5;
const STRUCT: u8 = 12;
/// Behind the last member of a struct.
const STOP: u8 = 0;
/// No header is longer.
const HEADER_BYTES: usize = 48;

/// A page as it is before compression.
pub(super) struct Page {
    pub bytes: Vec<u8>,
    pub content: Content,
}

/// What a page holds.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// A data page (V1) of so many rows, with or without a value.
    Rows { rows: u32, encoding: Encoding },
    /// PLAIN values that keys of other pages stand for.
    Dictionary { entries: u32 },
}

impl Page {
    /// The header in front of `stored`, which is what the file gets of the page: its bytes, or these compressed. `crc` is the CRC-32 of `stored`.
    pub fn header(&self, stored: &[u8], crc: u32) -> io::Result<Vec<u8>> {
        let (kind, count) = match self.content {
            Content::Rows { rows, .. } => (PageType::DATA_PAGE, rows),
            Content::Dictionary { entries } => (PageType::DICTIONARY_PAGE, entries),
        };
        let mut out = Vec::with_capacity(HEADER_BYTES);
        number(kind as i32, &mut out);
        number(size(self.bytes.len())?, &mut out);
        number(size(stored.len())?, &mut out);
        // Parquet has no unsigned numbers: the bits count.
        number(crc.cast_signed(), &mut out);
        // The member of that kind of page: data_page_header is the next one, dictionary_page_header the third.
        let (steps, encodings) = match self.content {
            // Values, definition levels, repetition levels.
            Content::Rows { encoding, .. } => (1, &[encoding, Encoding::RLE, Encoding::RLE][..]),
            Content::Dictionary { .. } => (3, &[Encoding::PLAIN][..]),
        };
        out.push(steps << 4 | STRUCT);
        number(size(count as usize)?, &mut out);
        encodings.iter().for_each(|encoding| number(*encoding as i32, &mut out));
        out.extend([STOP, STOP]);
        Ok(out)
    }
}

/// The next member of a struct.
fn number(value: i32, out: &mut Vec<u8>) {
    out.push(1 << 4 | I32);
    varint(zigzag(value.into()), out);
}

fn size(count: usize) -> io::Result<i32> {
    i32::try_from(count).map_err(|_| io::Error::other(format!("a page of {count} bytes is more than Parquet allows")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::basic::Type as Physical;
    use parquet::column::page::{Page as Read, PageReader};
    use parquet::file::metadata::ColumnChunkMetaData;
    use parquet::file::serialized_reader::SerializedPageReader;
    use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

    use super::*;

    const ENCODINGS: [Encoding; 5] = [
        Encoding::PLAIN,
        Encoding::RLE,
        Encoding::DELTA_BINARY_PACKED,
        Encoding::RLE_DICTIONARY,
        Encoding::BYTE_STREAM_SPLIT,
    ];

    fn page(content: Content, length: usize) -> Page {
        Page { bytes: (0..length).map(|index| (index * 37) as u8).collect(), content }
    }

    /// Pages behind their headers, each with its checksum.
    fn chunk(pages: &[Page]) -> Vec<u8> {
        let stored = |page: &Page| {
            let header = page.header(&page.bytes, crc32fast::hash(&page.bytes)).unwrap();
            assert!(header.len() <= HEADER_BYTES);
            [header, page.bytes.clone()].concat()
        };
        pages.iter().flat_map(stored).collect()
    }

    /// Pages as the crate finds them in a chunk of so many rows.
    fn read(bytes: Vec<u8>, rows: usize) -> Result<Vec<Read>, parquet::errors::ParquetError> {
        let leaf = Arc::new(Type::primitive_type_builder("v", Physical::INT64).build().unwrap());
        let leaf = Arc::new(ColumnDescriptor::new(leaf, 1, 0, ColumnPath::from("v")));
        let metadata = ColumnChunkMetaData::builder(leaf)
            .set_num_values(rows as i64)
            .set_data_page_offset(0)
            .set_total_compressed_size(bytes.len() as i64)
            .build();
        let mut reader = SerializedPageReader::new(Arc::new(Bytes::from(bytes)), &metadata.unwrap(), rows, None)?;
        std::iter::from_fn(|| reader.get_next_page().transpose()).collect()
    }

    #[test]
    fn the_crate_reads_headers_as_they_were_meant() {
        for encoding in ENCODINGS {
            for (rows, length) in [(1, 0), (63, 1), (64, 63), (65_536, 64), (1 << 30, 100_000)] {
                let pages = [
                    page(Content::Dictionary { entries: rows }, length),
                    page(Content::Rows { rows, encoding }, length),
                ];
                let found = read(chunk(&pages), rows as usize).unwrap();
                let [Read::DictionaryPage { buf, num_values, encoding: plain, is_sorted }, data] = &found[..] else {
                    panic!("{found:?}")
                };
                assert_eq!((&**buf, *num_values, *plain, *is_sorted), (&*pages[0].bytes, rows, Encoding::PLAIN, false));
                let Read::DataPage { buf, num_values, encoding: found, def_level_encoding, rep_level_encoding, .. } =
                    data
                else {
                    panic!("{data:?}")
                };
                assert_eq!((&**buf, *num_values, *found), (&*pages[1].bytes, rows, encoding));
                assert_eq!([*def_level_encoding, *rep_level_encoding], [Encoding::RLE; 2]);
            }
        }
    }

    #[test]
    fn a_changed_byte_of_a_page_is_noticed() {
        let page = page(Content::Rows { rows: 9, encoding: Encoding::PLAIN }, 72);
        let whole = chunk(std::slice::from_ref(&page));
        let start = whole.len() - page.bytes.len();
        for at in start..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(read(bytes, 9).is_err_and(|error| error.to_string().contains("checksum")));
        }
    }

    #[test]
    fn a_page_beyond_what_parquet_counts_is_refused() {
        let page = page(Content::Dictionary { entries: u32::MAX }, 1);
        assert!(page.header(&page.bytes, 0).is_err());
    }
}
