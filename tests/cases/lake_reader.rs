//! Every Parquet file of a data directory as rows that read like line protocol.
//!
//! Whatever a test looks at, reading checks what must hold for every file: names and folders fit the footer, a file holds each
//! (series, time) once, sorted, on one day.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const DAY_NS: i64 = 86_400_000_000_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(String),
}

/// One row; columns that are null are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub tags: BTreeMap<String, String>,
    pub time_ns: i64,
    pub fields: BTreeMap<String, Value>,
}

/// One Parquet file.
#[derive(Debug)]
pub struct LakeFile {
    /// Below `lake/`.
    pub path: PathBuf,
    pub bucket: String,
    pub measurement: String,
    pub epoch: u64,
    /// In file order.
    pub columns: Vec<String>,
    pub tags: Vec<String>,
    /// Column to name as written, of columns with another name in Parquet.
    pub names: BTreeMap<String, String>,
    pub rows: Vec<Row>,
}

/// All files, in the order of their paths.
#[derive(Debug)]
pub struct Lake {
    pub files: Vec<LakeFile>,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // With a point or an exponent, and the sign of zero.
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Integer(value) => write!(f, "{value}i"),
            Self::Unsigned(value) => write!(f, "{value}u"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::String(value) => write!(f, "{value:?}"),
        }
    }
}

impl fmt::Display for Row {
    /// `tag=value,.. field=value,.. time`, in the order of the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<String> = self.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let fields: Vec<String> = self.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let parts = [tags.join(","), fields.join(","), self.time_ns.to_string()];
        f.write_str(parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ").as_str())
    }
}

/// The paths of all Parquet files below `lake/` of a data directory.
pub fn parquet_files(data_dir: &Path) -> BTreeSet<PathBuf> {
    let lake = data_dir.join("lake");
    let mut files = BTreeSet::new();
    let mut folders = vec![lake.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files.insert(path.strip_prefix(&lake).unwrap().to_owned());
            }
        }
    }
    files
}

impl Lake {
    pub fn read(data_dir: &Path) -> Self {
        let lake = data_dir.join("lake");
        Self { files: parquet_files(data_dir).into_iter().map(|path| LakeFile::read(&lake, path)).collect() }
    }

    pub fn files_of(&self, bucket: &str, measurement: &str) -> Vec<&LakeFile> {
        self.files.iter().filter(|file| file.bucket == bucket && file.measurement == measurement).collect()
    }

    /// The rows of all files as they are; a point that was written in two epochs is there twice.
    pub fn rows(&self, bucket: &str, measurement: &str) -> Vec<&Row> {
        self.files_of(bucket, measurement).into_iter().flat_map(|file| &file.rows).collect()
    }

    /// [`Self::rows`] as text, in ascending order of the text.
    pub fn lines(&self, bucket: &str, measurement: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.rows(bucket, measurement).into_iter().map(Row::to_string).collect();
        lines.sort();
        lines
    }

    /// [`Self::lines`] with the epochs merged: field by field, the later epoch wins.
    pub fn merged(&self, bucket: &str, measurement: &str) -> Vec<String> {
        let mut files = self.files_of(bucket, measurement);
        files.sort_by_key(|file| file.epoch);
        let mut points: BTreeMap<(BTreeMap<String, String>, i64), Row> = BTreeMap::new();
        for row in files.iter().flat_map(|file| &file.rows) {
            let point = points.entry((row.tags.clone(), row.time_ns)).or_insert_with(|| row.clone());
            point.fields.extend(row.fields.clone());
        }
        let mut lines: Vec<String> = points.values().map(Row::to_string).collect();
        lines.sort();
        lines
    }

    pub fn buckets(&self) -> BTreeSet<&str> {
        self.files.iter().map(|file| &*file.bucket).collect()
    }
}

impl LakeFile {
    fn read(lake: &Path, path: PathBuf) -> Self {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(lake.join(&path)).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let footer = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let footer = |key: &str| {
            let pair = footer.iter().find(|pair| pair.key == key).unwrap_or_else(|| panic!("no {key} in the footer"));
            pair.value.clone().unwrap()
        };
        let mut file = Self {
            bucket: footer("ringest.bucket"),
            measurement: footer("ringest.measurement"),
            epoch: footer("ringest.epoch").parse().unwrap(),
            columns: reader.schema().fields().iter().map(|field| field.name().clone()).collect(),
            tags: serde_json::from_str(&footer("ringest.tags")).unwrap(),
            names: serde_json::from_str(&footer("ringest.names")).unwrap(),
            rows: Vec::new(),
            path,
        };
        for batch in reader.build().unwrap() {
            file.add(&batch.unwrap());
        }
        file.check();
        file
    }

    fn add(&mut self, batch: &RecordBatch) {
        let micros = batch["time"].as_primitive::<TimestampMicrosecondType>();
        let remainders = batch["time_ns_rem"].as_primitive::<Int32Type>();
        assert_eq!((micros.null_count(), remainders.null_count()), (0, 0), "{}", self.path.display());
        let first = self.rows.len();
        for (micros, remainder) in micros.values().iter().zip(remainders.values()) {
            assert!((0..1_000).contains(remainder), "{}", self.path.display());
            let time_ns = i64::try_from(i128::from(*micros) * 1_000 + i128::from(*remainder)).unwrap();
            self.rows.push(Row { tags: BTreeMap::new(), time_ns, fields: BTreeMap::new() });
        }
        for (name, column) in self.columns.iter().zip(batch.columns()).skip(2) {
            let is_tag = self.tags.contains(name);
            for (index, row) in self.rows[first..].iter_mut().enumerate().filter(|(index, _)| column.is_valid(*index)) {
                match value(column, index) {
                    Value::String(value) if is_tag => drop(row.tags.insert(name.clone(), value)),
                    value => drop(row.fields.insert(name.clone(), value)),
                }
            }
        }
    }

    fn check(&self) {
        let name = self.path.display();
        let mut columns = vec!["time".to_owned(), "time_ns_rem".to_owned()];
        columns.extend(self.tags.iter().cloned());
        assert!(self.columns.starts_with(&columns) && self.tags.is_sorted(), "{name}: {:?}", self.columns);
        let folded: BTreeSet<String> = self.columns.iter().map(|column| column.to_lowercase()).collect();
        assert_eq!(folded.len(), self.columns.len(), "{name}: columns that readers confuse: {:?}", self.columns);
        assert!(self.file_name().starts_with(&format!("{:013}-", self.epoch)), "{name}: epoch {}", self.epoch);
        assert!(!self.rows.is_empty(), "{name} holds nothing");
        let days: BTreeSet<i64> = self.rows.iter().map(|row| row.time_ns.div_euclid(DAY_NS)).collect();
        assert_eq!(days.len(), 1, "{name}: days {days:?}");
        let key = |row: &Row| (self.tags.iter().map(|tag| row.tags.get(tag).cloned()).collect::<Vec<_>>(), row.time_ns);
        let keys: Vec<_> = self.rows.iter().map(key).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{name}: not sorted, or a point twice");
    }

    pub fn file_name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

fn value(column: &dyn Array, index: usize) -> Value {
    match column.data_type() {
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(index)),
        DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(index)),
        DataType::UInt64 => Value::Unsigned(column.as_primitive::<UInt64Type>().value(index)),
        DataType::Boolean => Value::Boolean(column.as_boolean().value(index)),
        DataType::Utf8 => Value::String(column.as_string::<i32>().value(index).to_owned()),
        other => panic!("a column of type {other}"),
    }
}
