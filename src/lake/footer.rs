//! Page headers and the footer: Thrift's compact protocol with the member numbers of parquet-format's `parquet.thrift`.
//!
//! Not the parquet crate's writer: that one declares IEEE 754 total order for floats, which readers of today do not know
//! and therefore ignore the bounds of every DOUBLE column; and it keeps a kilobyte per column chunk until the file ends
//! where this keeps what will be written, a tenth of it.

use super::pages::{varint, zigzag};

const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Version of the format that the footer states.
const FORMAT_VERSION: i32 = 1;
pub(super) const MAGIC: [u8; 4] = *b"PAR1";

/// Physical types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Boolean = 0,
    Int32 = 1,
    Int64 = 2,
    Double = 5,
    ByteArray = 6,
}

/// What the physical type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logical {
    Plain,
    Utf8,
    /// Microseconds since 1970 in UTC.
    Micros,
    Unsigned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain = 0,
    Rle = 3,
    DeltaBinaryPacked = 5,
    RleDictionary = 8,
    ByteStreamSplit = 9,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Uncompressed = 0,
    Zstd = 6,
}

/// A column of the file.
pub(super) struct Leaf<'a> {
    pub name: &'a str,
    pub physical: Physical,
    pub logical: Logical,
    pub required: bool,
}

/// Statistics of a chunk: bounds in the PLAIN encoding of their type, strings without a length.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub nulls: u64,
    pub min: Option<Bound>,
    pub max: Option<Bound>,
}

#[derive(Debug)]
pub(super) struct Bound {
    pub bytes: Vec<u8>,
    /// Whether the column has this very value.
    pub exact: bool,
}

/// A chunk that is in the file; all sizes in bytes with page headers.
#[derive(Debug)]
pub(super) struct ChunkFacts {
    pub rows: usize,
    pub encoding: Encoding,
    pub codec: Codec,
    pub uncompressed: u64,
    pub compressed: u64,
    /// Offset in the file.
    pub dictionary: Option<u64>,
    /// Offset in the file.
    pub data: u64,
    pub data_pages: usize,
    pub bounds: Bounds,
}

/// What a page is.
#[derive(Clone, Copy, Debug)]
pub(super) enum PageKind {
    /// PLAIN, with so many values.
    Dictionary { entries: usize },
    /// Version 1, with so many rows.
    Data { rows: usize, encoding: Encoding },
}

const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;

/// Members of a struct, in ascending order of their numbers.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    last: u8,
}

/// A struct without the header that it has as a member.
fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Members<'_>)) {
    let mut members = Members { out, last: 0 };
    write(&mut members);
    members.out.push(0);
}

impl Members<'_> {
    fn begin(&mut self, id: u8, kind: u8) {
        self.out.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    fn int8(&mut self, id: u8, value: u8) {
        self.begin(id, I8);
        self.out.push(value);
    }

    fn int16(&mut self, id: u8, value: i16) {
        self.begin(id, I16);
        varint(zigzag(i64::from(value)), self.out);
    }

    fn int32(&mut self, id: u8, value: i32) {
        self.begin(id, I32);
        varint(zigzag(i64::from(value)), self.out);
    }

    fn int64(&mut self, id: u8, value: u64) {
        self.begin(id, I64);
        varint(zigzag(value as i64), self.out);
    }

    fn boolean(&mut self, id: u8, value: bool) {
        self.begin(id, if value { 1 } else { 2 });
    }

    fn binary(&mut self, id: u8, value: &[u8]) {
        self.begin(id, BINARY);
        binary(self.out, value);
    }

    fn object(&mut self, id: u8, write: impl FnOnce(&mut Members<'_>)) {
        self.begin(id, STRUCT);
        object(self.out, write);
    }

    /// The caller writes `len` elements of this kind to `out` behind it.
    fn list(&mut self, id: u8, kind: u8, len: usize) {
        self.begin(id, LIST);
        list(self.out, kind, len);
    }
}

fn binary(out: &mut Vec<u8>, value: &[u8]) {
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn list(out: &mut Vec<u8>, kind: u8, len: usize) {
    if len < 15 {
        out.push((len as u8) << 4 | kind);
    } else {
        out.push(0xF0 | kind);
        varint(len as u64, out);
    }
}

/// The header of a page; sizes in bytes without it. A page is smaller than the body that brought its values, which is
/// capped far below 2 GiB.
pub(super) fn page_header(kind: PageKind, uncompressed: usize, compressed: usize, out: &mut Vec<u8>) {
    object(out, |page| {
        page.int32(1, if let PageKind::Data { .. } = kind { DATA_PAGE } else { DICTIONARY_PAGE });
        page.int32(2, uncompressed as i32);
        page.int32(3, compressed as i32);
        match kind {
            PageKind::Data { rows, encoding } => page.object(5, |data| {
                data.int32(1, rows as i32);
                data.int32(2, encoding as i32);
                data.int32(3, Encoding::Rle as i32);
                data.int32(4, Encoding::Rle as i32);
            }),
            PageKind::Dictionary { entries } => page.object(7, |dictionary| {
                dictionary.int32(1, entries as i32);
                dictionary.int32(2, Encoding::Plain as i32);
            }),
        }
    });
}

/// Takes the facts of all chunks, row group by row group.
pub(super) struct Footer<'a> {
    leaves: Vec<Leaf<'a>>,
    /// Indexes of the columns that rows are sorted by.
    sorting: Vec<u32>,
    /// The row groups as the footer has them.
    groups: Vec<u8>,
    groups_len: usize,
    rows: u64,
    group: Group,
}

/// The open row group.
#[derive(Default)]
struct Group {
    columns: usize,
    uncompressed: u64,
    compressed: u64,
    /// Offset in the file.
    start: u64,
}

impl<'a> Footer<'a> {
    pub fn new(leaves: Vec<Leaf<'a>>, sorting: Vec<u32>) -> Self {
        Self { leaves, sorting, groups: Vec::new(), groups_len: 0, rows: 0, group: Group::default() }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.groups.capacity() + self.leaves.capacity() * size_of::<Leaf<'_>>() + 4 * self.sorting.capacity()
    }

    /// The chunk of the open row group's next column.
    pub fn column(&mut self, chunk: &ChunkFacts) {
        let group = &mut self.group;
        if group.columns == 0 {
            group.start = chunk.dictionary.unwrap_or(chunk.data);
            let mut members = Members { out: &mut self.groups, last: 0 };
            members.list(1, STRUCT, self.leaves.len());
        }
        let leaf = &self.leaves[group.columns];
        object(&mut self.groups, |column| {
            // Of the metadata in the file, which is deprecated: nowhere.
            column.int64(2, 0);
            column.object(3, |metadata| column_metadata(metadata, leaf, chunk));
        });
        group.columns += 1;
        group.uncompressed += chunk.uncompressed;
        group.compressed += chunk.compressed;
    }

    /// All columns have their chunk.
    pub fn end_row_group(&mut self, rows: usize) {
        let group = std::mem::take(&mut self.group);
        debug_assert_eq!(group.columns, self.leaves.len());
        let mut members = Members { out: &mut self.groups, last: 1 };
        members.int64(2, group.uncompressed);
        members.int64(3, rows as u64);
        members.list(4, STRUCT, self.sorting.len());
        for column in &self.sorting {
            object(members.out, |sorting| {
                sorting.int32(1, *column as i32);
                sorting.boolean(2, false);
                sorting.boolean(3, true);
            });
        }
        members.int64(5, group.start);
        members.int64(6, group.compressed);
        // Optional, and too narrow for very many.
        if let Ok(ordinal) = i16::try_from(self.groups_len) {
            members.int16(7, ordinal);
        }
        self.groups.push(0);
        self.groups_len += 1;
        self.rows += rows as u64;
    }

    /// The end of the file, to be written piece after piece.
    pub fn finish(self, created_by: &str, pairs: &[(&str, String)]) -> [Vec<u8>; 3] {
        let Self { leaves, groups, groups_len, rows, .. } = self;
        let mut front = Vec::new();
        let mut file = Members { out: &mut front, last: 0 };
        file.int32(1, FORMAT_VERSION);
        schema(&mut file, &leaves);
        file.int64(3, rows);
        file.list(4, STRUCT, groups_len);

        let mut back = Vec::new();
        let mut file = Members { out: &mut back, last: 4 };
        file.list(5, STRUCT, pairs.len());
        for (key, value) in pairs {
            object(file.out, |pair| {
                pair.binary(1, key.as_bytes());
                pair.binary(2, value.as_bytes());
            });
        }
        file.binary(6, created_by.as_bytes());
        file.list(7, STRUCT, leaves.len());
        for _ in &leaves {
            // The order of the type: the one that every reader knows.
            object(file.out, |order| order.object(1, |_| {}));
        }
        back.push(0);
        let len = (front.len() + groups.len() + back.len()) as u32;
        back.extend_from_slice(&len.to_le_bytes());
        back.extend_from_slice(&MAGIC);
        [front, groups, back]
    }
}

fn schema(file: &mut Members<'_>, leaves: &[Leaf<'_>]) {
    file.list(2, STRUCT, leaves.len() + 1);
    object(file.out, |root| {
        root.binary(4, b"schema");
        root.int32(5, leaves.len() as i32);
    });
    for leaf in leaves {
        object(file.out, |element| {
            element.int32(1, leaf.physical as i32);
            element.int32(3, i32::from(!leaf.required));
            element.binary(4, leaf.name.as_bytes());
            logical_type(element, leaf.logical);
        });
    }
}

/// The converted type, which older readers know, and the logical type.
fn logical_type(element: &mut Members<'_>, logical: Logical) {
    match logical {
        Logical::Plain => {}
        Logical::Utf8 => {
            element.int32(6, 0);
            element.object(10, |kind| kind.object(1, |_| {}));
        }
        Logical::Micros => {
            element.int32(6, 10);
            element.object(10, |kind| {
                kind.object(8, |timestamp| {
                    timestamp.boolean(1, true);
                    timestamp.object(2, |unit| unit.object(2, |_| {}));
                });
            });
        }
        Logical::Unsigned => {
            element.int32(6, 14);
            element.object(10, |kind| {
                kind.object(10, |integer| {
                    integer.int8(1, 64);
                    integer.boolean(2, false);
                });
            });
        }
    }
}

fn column_metadata(metadata: &mut Members<'_>, leaf: &Leaf<'_>, chunk: &ChunkFacts) {
    metadata.int32(1, leaf.physical as i32);
    // Levels are RLE; dictionaries are PLAIN.
    let encodings = [chunk.encoding, Encoding::Rle, Encoding::Plain];
    let encodings = if chunk.dictionary.is_some() { &encodings[..] } else { &encodings[..2] };
    metadata.list(2, I32, encodings.len());
    encodings.iter().for_each(|encoding| varint(zigzag(*encoding as i64), metadata.out));
    metadata.list(3, BINARY, 1);
    binary(metadata.out, leaf.name.as_bytes());
    metadata.int32(4, chunk.codec as i32);
    metadata.int64(5, chunk.rows as u64);
    metadata.int64(6, chunk.uncompressed);
    metadata.int64(7, chunk.compressed);
    metadata.int64(9, chunk.data);
    if let Some(dictionary) = chunk.dictionary {
        metadata.int64(11, dictionary);
    }
    metadata.object(12, |statistics| bounds(statistics, &chunk.bounds));
    // Tells readers that every data page takes its values from the dictionary.
    if chunk.dictionary.is_some() {
        let pages = [(DICTIONARY_PAGE, Encoding::Plain, 1), (DATA_PAGE, chunk.encoding, chunk.data_pages)];
        metadata.list(13, STRUCT, pages.len());
        for (kind, encoding, count) in pages {
            object(metadata.out, |pages| {
                pages.int32(1, kind);
                pages.int32(2, encoding as i32);
                pages.int32(3, count as i32);
            });
        }
    }
}

fn bounds(statistics: &mut Members<'_>, bounds: &Bounds) {
    statistics.int64(3, bounds.nulls);
    if let Some(max) = &bounds.max {
        statistics.binary(5, &max.bytes);
    }
    if let Some(min) = &bounds.min {
        statistics.binary(6, &min.bytes);
    }
    if let Some(max) = &bounds.max {
        statistics.boolean(7, max.exact);
    }
    if let Some(min) = &bounds.min {
        statistics.boolean(8, min.exact);
    }
}
