//! The files of a lake, found through the manifest, and their footers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;

use super::LakeToolError;
use crate::catalog::encode_path_segment;
use crate::lake::{FileName, Ledger, Standing, footer_is_damaged, standing};

/// How often looking begins anew because files were replaced meanwhile.
const ATTEMPTS: usize = 10;

/// Which tables are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub bucket: Option<String>,
    pub measurement: Option<String>,
}

impl Wanted {
    pub fn takes(&self, place: &Place<'_>) -> bool {
        let fits =
            |name: &Option<String>, folder: &str| name.as_ref().is_none_or(|name| encode_path_segment(name) == folder);
        fits(&self.bucket, place.bucket) && fits(&self.measurement, place.measurement)
    }

    pub fn is_narrow(&self) -> bool {
        self.bucket.is_some() || self.measurement.is_some()
    }

    fn shown(&self) -> String {
        match (&self.bucket, &self.measurement) {
            (bucket, Some(measurement)) => {
                let bucket = bucket.as_ref().map(|bucket| format!(" in the bucket {bucket:?}")).unwrap_or_default();
                format!("measurement {measurement:?}{bucket}")
            }
            (Some(bucket), None) => format!("bucket {bucket:?}"),
            (None, None) => "file".to_owned(),
        }
    }
}

/// Where a file lies: `lake/<bucket>/<measurement>/day=YYYY-MM-DD/<name>`, names as folders have them.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub bucket: &'a str,
    pub measurement: &'a str,
    pub day: &'a str,
    pub name: &'a str,
}

impl<'a> Place<'a> {
    /// `None`: no file of a lake lies there.
    pub fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix("lake/")?.split('/');
        let (bucket, measurement, day, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let day = day.strip_prefix("day=")?;
        parts.next().is_none().then_some(Self { bucket, measurement, day, name })
    }
}

/// The files that a lake is made of, relative to the data directory.
pub struct Files {
    /// `None`: there is no manifest; every Parquet file belongs to the lake then.
    pub ledger: Option<Ledger>,
    /// Ordered by folder and then in order of writing.
    pub paths: Vec<String>,
}

impl Files {
    /// # Errors
    /// There is no lake, or its manifest cannot be read; nothing in it is what is asked for.
    pub fn find(data_dir: &Path, wanted: &Wanted) -> Result<Self, LakeToolError> {
        if !data_dir.is_dir() {
            return Err(LakeToolError::NoDataDir { path: data_dir.to_owned() });
        }
        let ledger = Ledger::read(data_dir)?;
        if ledger.is_none() && !data_dir.join("lake").is_dir() {
            return Err(LakeToolError::NoLake { path: data_dir.to_owned() });
        }
        let mut paths: Vec<String> = match &ledger {
            Some(ledger) => ledger.files().collect(),
            None => on_disk(data_dir)?,
        };
        paths.retain(|path| Place::of(path).is_none_or(|place| wanted.takes(&place)));
        if paths.is_empty() && wanted.is_narrow() {
            return Err(LakeToolError::NotFound { what: wanted.shown() });
        }
        Ok(Self { ledger, paths })
    }
}

/// Every Parquet file below `lake/`, relative to the data directory.
pub fn on_disk(data_dir: &Path) -> Result<Vec<String>, LakeToolError> {
    let mut files = Vec::new();
    let mut folders = vec!["lake".to_owned()];
    while let Some(folder) = folders.pop() {
        let path = data_dir.join(&folder);
        let error = |source| LakeToolError::Io { path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            // An empty folder may go at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(error)?,
        };
        for entry in entries {
            let entry = entry.map_err(error)?;
            let inside = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(error)?.is_dir() {
                folders.push(inside);
            } else if inside.ends_with(".parquet") {
                files.push(inside);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A file that was looked into.
pub struct Footer {
    pub path: String,
    pub bytes: u64,
    pub metadata: ParquetMetaData,
}

impl Footer {
    fn read(data_dir: &Path, path: &str) -> Result<Option<Self>, LakeToolError> {
        let full = data_dir.join(path);
        let file = match File::open(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|source| LakeToolError::Io { path: full.clone(), source })?,
        };
        let bytes = file.metadata().map_err(|source| LakeToolError::Io { path: full.clone(), source })?.len();
        let unreadable = |reason: String| LakeToolError::Footer { path: full.clone(), reason };
        if footer_is_damaged(&file).map_err(|error| unreadable(error.to_string()))? {
            return Err(unreadable("its bytes are not those that were written".to_owned()));
        }
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file);
        let metadata = metadata.map_err(|error| unreadable(error.to_string()))?;
        Ok(Some(Self { path: path.to_owned(), bytes, metadata }))
    }

    pub fn rows(&self) -> u64 {
        self.metadata.file_metadata().num_rows() as u64
    }

    /// A value of the footer's own keys.
    pub fn value(&self, key: &str) -> Option<&str> {
        value_of(&self.metadata, key)
    }

    /// The least and the greatest `time`, in microseconds; `None` where the file does not say so.
    pub fn times(&self) -> Option<(i64, i64)> {
        let mut span: Option<(i64, i64)> = None;
        for group in self.metadata.row_groups() {
            let Some(Statistics::Int64(times)) = group.columns().first()?.statistics() else { return None };
            let (first, last) = (*times.min_opt()?, *times.max_opt()?);
            span = Some(span.map_or((first, last), |span| (span.0.min(first), span.1.max(last))));
        }
        span
    }

    /// First and last epoch of the rows, from the name.
    pub fn epochs(&self) -> Option<(u64, u64)> {
        let name = FileName::parse(self.path.rsplit('/').next()?)?;
        Some((name.first_epoch, name.epoch))
    }

    /// Bucket and measurement as the client wrote them; where the footer does not say so, as the folders have them.
    pub fn table(&self) -> (String, String) {
        let place = Place::of(&self.path);
        let named = |key: &str, folder: Option<&str>| self.value(key).or(folder).unwrap_or_default().to_owned();
        (
            named("ringest.bucket", place.map(|place| place.bucket)),
            named("ringest.measurement", place.map(|place| place.measurement)),
        )
    }

    pub fn day(&self) -> &str {
        Place::of(&self.path).map_or("", |place| place.day)
    }
}

pub fn value_of<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

/// Lets `look` see the footer of each file, in order, and says which files are missing. Where files were replaced meanwhile, `look` is made anew
/// by `begin` and sees all of them again.
pub fn look<L>(
    data_dir: &Path,
    wanted: &Wanted,
    begin: impl Fn() -> L,
    mut see: impl FnMut(&mut L, Footer),
) -> Result<(L, Files, Vec<PathBuf>), LakeToolError> {
    for _ in 0..ATTEMPTS {
        let files = Files::find(data_dir, wanted)?;
        let mut seen = begin();
        let mut missing = Vec::new();
        for piece in files.paths.chunks(256) {
            for (path, footer) in piece.iter().zip(in_parallel(piece, |path| Footer::read(data_dir, path))) {
                match footer? {
                    Some(footer) => see(&mut seen, footer),
                    None => missing.push(path.as_str()),
                }
            }
        }
        let now = standing(data_dir, &missing)?;
        if missing.iter().all(|path| now.get(path) == Some(&Standing::Committed)) {
            let missing = missing.into_iter().map(PathBuf::from).collect();
            return Ok((seen, files, missing));
        }
    }
    Err(LakeToolError::Restless)
}

/// The results of `work` in the order of `items`, made by as many threads as there are cores.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
