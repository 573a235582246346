//! Line protocol to Arrow record batches, without a server and without a disk.
//!
//! A [`Reader`] takes bodies of line protocol ([`Reader::push`]) and gives a [`Batch`] per measurement ([`Reader::take`]). For a file or a
//! pipe there is [`Reader::read`], which cuts the stream at line ends and yields batches as it goes.
//!
//! ```
//! use ringest::batch::{Options, Precision};
//!
//! let mut reader = Options::new().precision(Precision::Second).reader();
//! reader.push(b"cpu,host=a usage=12.5,cores=8i 1767225600\ncpu,host=b usage=7 1767225600\n")?;
//! for batch in reader.take() {
//!     let batch = batch?;
//!     assert_eq!(batch.measurement, "cpu");
//!     assert_eq!(batch.records.num_rows(), 2);
//!     assert_eq!(batch.records.schema().field(0).name(), "time");
//! }
//! # Ok::<(), ringest::batch::Error>(())
//! ```
//!
//! # Batches
//! The columns of a batch are those that its measurement has had so far in this reader, so that the schema of a later batch has the
//! columns of an earlier one and perhaps more:
//!
//! | columns, in this order | type | null |
//! |---|---|---|
//! | `time` | `Timestamp(Nanosecond, "UTC")`, exact | never |
//! | tags, in order of appearance | `Dictionary(Int32, Utf8)` | the point has no such tag |
//! | fields, in order of appearance | `Float64`, `Int64` (`1i`), `UInt64` (`1u`), `Boolean`, `Utf8` | the point has no such field |
//!
//! Rows stand in order of arrival. Nothing is sorted and nothing is deduplicated: a point that is written twice is two rows. (In line
//! protocol the later one replaces the fields of the earlier.)
//!
//! A column has the name that the client wrote, unless that is taken: by another column (compared in lower case) or by `time`,
//! `time_ns_rem`, `day` and `hour`, which the files of a node use. Then the later column takes the first free one of `name_field` (a field
//! whose name is a tag's) or `name_tag` (a tag whose name is a field's), `name_2`, `name_3`, ... The metadata of the schema tell it, with
//! the same keys as the files of a node (docs/FORMATS.md):
//!
//! | key | value |
//! |---|---|
//! | `ringest.measurement` | the name, unescaped |
//! | `ringest.tags` | JSON array of the tag columns |
//! | `ringest.names` | JSON object, column to name, of the columns that were renamed (`{}` if none was) |
//!
//! The first value of a field decides its type for the life of the reader. A point with a value of another type is dropped as a whole, as is
//! one with a string of more than 1 MiB; a field named `time` is left out. The [`Report`] of each body says so, line by line.
//!
//! # Bad lines
//! A body with a line that is not line protocol is refused: [`Error::BadLines`] lists its bad lines, and nothing of it was taken, no row, no
//! column and no type. With [`Options::skip_bad_lines`] the good lines are taken and the report lists the others.
//!
//! # Memory
//! Rows wait in columns, which mostly are smaller than the text (series that come once are larger); [`Options::memory_bytes_max`] bounds
//! them. Numbers move into their arrays without being copied; a batch that was given is not counted any more. Names and types of columns are kept as long as the reader lives.

mod error;
mod reader;
mod stream;
mod taken;

pub use arrow;
use arrow::array::RecordBatch;

pub use crate::line::grammar::ErrorKind;
pub use crate::line::{Kernel, PADDING, Padded, Precision};
pub use crate::table::SchemaReject;
pub use error::{Error, REJECTED_MAX, Reason, Rejected, Report};
pub use reader::Reader;
pub use stream::Batches;
pub use taken::Taken;

/// Rows of one measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// As the client wrote it, unescaped.
    pub measurement: String,
    pub records: RecordBatch,
}

/// How bodies are read.
#[derive(Clone, Debug)]
pub struct Options {
    precision: Precision,
    default_time_ns: Option<i64>,
    kernel: Kernel,
    skips_bad_lines: bool,
    memory_bytes_max: usize,
    rows_max: usize,
}

impl Options {
    /// Nanoseconds; the clock for points without a timestamp; the fastest kernel; a bad line refuses its body; 1 GiB; 262 144 rows.
    pub fn new() -> Self {
        Self {
            precision: Precision::Nanosecond,
            default_time_ns: None,
            kernel: Kernel::fastest(),
            skips_bad_lines: false,
            memory_bytes_max: 1 << 30,
            rows_max: 1 << 18,
        }
    }

    /// The unit of timestamps.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// What a point without a timestamp gets, in nanoseconds; it is cut down to a whole unit of the precision. Without this option it
    /// is the time of the call that brings the point.
    pub fn default_time_ns(mut self, time_ns: i64) -> Self {
        self.default_time_ns = Some(time_ns);
        self
    }

    /// The instructions that bytes are scanned with; results do not depend on them.
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Takes the good lines of a body that has bad ones.
    pub fn skip_bad_lines(mut self) -> Self {
        self.skips_bad_lines = true;
        self
    }

    /// Most bytes that the rows which wait to be taken may hold, with their series and the cache of series keys: from 16 MiB to
    /// 2 GiB (Arrow counts the bytes of a string column in 31 bits); what is less or more is set to these. A body is granted twice its
    /// size and 1 MiB while it is parsed. Beside that, [`Reader::push`] keeps a copy of the largest body, [`Reader::read`] a buffer
    /// of 256 KiB or twice the longest line, and a reader the names of all measurements and columns that it ever met.
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.memory_bytes_max = bytes.clamp(16 << 20, i32::MAX as usize);
        self
    }

    /// Most rows of a batch, at least 1. A batch of very many columns has fewer: at most 2^25 cells (or one row).
    pub fn rows_max(mut self, rows: usize) -> Self {
        self.rows_max = rows.max(1);
        self
    }

    pub fn reader(self) -> Reader {
        Reader::new(self)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
