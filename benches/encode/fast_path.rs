//! Which column chunks of our files took the fast path, by their metadata.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;

use parquet::basic::{LogicalType, Type};
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Chunks, and those of them on the fast path.
#[derive(Default)]
pub struct Chunks {
    tags: (usize, usize),
    integers: (usize, usize),
    all: usize,
}

impl Chunks {
    pub fn of(paths: &[PathBuf]) -> Self {
        let mut chunks = Self::default();
        paths.iter().for_each(|path| chunks.add(path));
        chunks
    }

    fn add(&mut self, path: &PathBuf) {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let metadata = reader.metadata();
        let pairs = metadata.file_metadata().key_value_metadata().unwrap();
        let tags = pairs.iter().find(|pair| pair.key == "ringest.tags").unwrap();
        let tags: Vec<String> = serde_json::from_str(tags.value.as_deref().unwrap()).unwrap();
        for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            let fast = usize::from(chunk.dictionary_page_offset().is_some());
            let column = chunk.column_descr();
            let is_time = matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. }));
            self.all += 1;
            if tags.iter().any(|tag| tag == column.name()) {
                self.tags = (self.tags.0 + fast, self.tags.1 + 1);
            } else if column.physical_type() == Type::INT64 && !is_time {
                self.integers = (self.integers.0 + fast, self.integers.1 + 1);
            }
        }
    }
}

impl fmt::Display for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fast = self.tags.0 + self.integers.0;
        write!(
            f,
            "fast path: {fast} of {} column chunks ({:.0} %): tags {} of {}, integers {} of {}",
            self.all,
            100.0 * fast as f64 / self.all as f64,
            self.tags.0,
            self.tags.1,
            self.integers.0,
            self.integers.1
        )
    }
}
