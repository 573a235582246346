//! A data directory of a test, and what its lake holds.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::catalog::{Births, Catalog, FieldBirth, TableBirth};
use crate::lake::manifest::{End, Record};
use crate::lake::records::{Checkpoint, Entry, Records};
use crate::lake::recover::{Recovered, inspect, recover};
use crate::lake::{Lake, LakeError, OnCommit, Options, Part, Progress};
use crate::metrics::Metrics;

use super::*;

/// A data directory with a catalog of two tables.
pub struct Home {
    pub folder: TempDir,
    pub catalog: Arc<Catalog>,
    pub metrics: Arc<Metrics>,
    pub budget: Arc<Budget>,
}

pub const MEASUREMENTS: [&str; 2] = ["m .x", "other"];

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let catalog = Arc::new(Catalog::open(&folder.path().join("state"), 0).unwrap());
        for measurement in MEASUREMENTS {
            let fields = vec![FieldBirth { name: "v", kind: FieldType::Integer }];
            let tables = vec![TableBirth { measurement, tags: vec!["host"], fields }];
            catalog.bear(&Births { bucket: "b", retention: None, tables }, |_, _| ()).unwrap();
        }
        Self::with(folder, catalog)
    }

    fn with(folder: TempDir, catalog: Arc<Catalog>) -> Self {
        let budget = Budget::new(1 << 30);
        Self { folder, catalog, metrics: Metrics::new(&budget), budget }
    }

    /// A home of the same tables whose catalog can take no more births. The file lives as long as the descriptor.
    pub fn with_full_catalog() -> (Self, OwnedFd) {
        let memory = rustix::fs::memfd_create("catalog", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
        let home = Self::new();
        home.catalog.save().unwrap();
        let (whole, state) = (fs::read(home.path("state/catalog")).unwrap(), home.path("full"));
        fs::create_dir(&state).unwrap();
        symlink(format!("/proc/self/fd/{}", memory.as_raw_fd()), state.join("catalog")).unwrap();
        fs::write(state.join("catalog"), whole).unwrap();
        let catalog = Arc::new(Catalog::open(&state, 0).unwrap());
        rustix::fs::fcntl_add_seals(&memory, rustix::fs::SealFlags::GROW).unwrap();
        (Self { catalog, ..home }, memory)
    }

    /// A home as a start finds it that follows a crash.
    pub fn of_image(image: &BTreeMap<String, Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in image {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let needed = inspect(folder.path()).unwrap().catalog_bytes_min();
        let catalog = Arc::new(Catalog::open(&folder.path().join("state"), needed).unwrap());
        Self::with(folder, catalog)
    }

    /// Every file of the data directory.
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        self.files_below("").into_iter().map(|file| (file.clone(), fs::read(self.path(&file)).unwrap())).collect()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn open(&self, threads: usize, shards: usize) -> Result<Lake, LakeError> {
        self.open_with(threads, shards, Box::new(|_, _| {}))
    }

    pub fn open_with(&self, threads: usize, shards: usize, on_commit: OnCommit) -> Result<Lake, LakeError> {
        self.open_as(Options::new(threads, shards), on_commit)
    }

    pub fn open_as(&self, options: Options, on_commit: OnCommit) -> Result<Lake, LakeError> {
        let inspected = inspect(self.folder.path())?;
        let (catalog, metrics, budget) =
            (Arc::clone(&self.catalog), Arc::clone(&self.metrics), Arc::clone(&self.budget));
        Lake::start(inspected, options, catalog, metrics, budget, on_commit)
    }

    /// A new field of the second table.
    pub fn bear(&self, name: &str) {
        let fields = vec![FieldBirth { name, kind: FieldType::Float }];
        let tables = vec![TableBirth { measurement: MEASUREMENTS[1], tags: vec![], fields }];
        self.catalog.bear(&Births { bucket: "b", retention: None, tables }, |_, _| ()).unwrap();
    }

    pub fn recover(&self) -> Recovered {
        recover(inspect(self.folder.path()).unwrap()).unwrap()
    }

    pub fn part(&self, shard: usize, epoch: u64, rows: &[(u64, i64)]) -> Part {
        Part { shard, epoch, tables: self.tables(rows) }
    }

    /// The same rows for both tables.
    pub fn tables(&self, rows: &[(u64, i64)]) -> Vec<SealedTable> {
        if rows.is_empty() { vec![] } else { vec![self.sealed(0, rows), self.sealed(1, rows)] }
    }

    /// One row per (request, value), all of one series and time.
    pub fn sealed(&self, id: u32, rows: &[(u64, i64)]) -> SealedTable {
        self.sealed_at(id, rows, 5)
    }

    /// The same at another time.
    pub fn sealed_at(&self, id: u32, rows: &[(u64, i64)], time: i64) -> SealedTable {
        let table = self.catalog.table(id);
        let row = |value| Row {
            tags: BTreeMap::from([(0, "a".to_owned())]),
            time,
            fields: BTreeMap::from([(0, Value::Integer(value))]),
        };
        let requests: Vec<(u64, Vec<Row>)> =
            rows.iter().map(|(request, value)| (*request, vec![row(*value)])).collect();
        sealed(&table, seal(&table, &requests, false), &self.budget)
    }

    /// The files of the lake, relative to the data directory.
    pub fn files(&self) -> BTreeSet<String> {
        self.files_below("lake")
    }

    fn files_below(&self, folder: &str) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files
    }

    /// The only value of the only row of each file, by name of the file.
    pub fn values(&self) -> BTreeMap<String, i64> {
        let table = self.catalog.table(0);
        let value = |file: String| {
            let rows = read(&self.path(&file), &table);
            let [(_, fields)] = &rows[..] else { panic!("{rows:?}") };
            let Value::Integer(value) = fields[&0] else { panic!() };
            (file, value)
        };
        self.files().into_iter().map(value).collect()
    }

    pub fn aside(&self) -> usize {
        fs::read_dir(self.path("tmp")).unwrap().count()
    }

    /// Those behind the checkpoint, if there is one.
    pub fn records(&self) -> Vec<Record> {
        self.manifest().records
    }

    pub fn manifest(&self) -> Read {
        read_manifest(&self.path("state/manifest")).unwrap()
    }
}

/// A manifest as a whole.
#[derive(Debug)]
pub struct Read {
    pub node: NodeId,
    pub checkpoint: Option<Checkpoint>,
    pub records: Vec<Record>,
    pub end: End,
    pub torn_bytes: u64,
}

pub fn read_manifest(path: &Path) -> Result<Read, LakeError> {
    let mut reader = Records::open_own(path)?.unwrap();
    let (mut checkpoint, mut records) = (None, Vec::new());
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Record(record) => records.push(record),
            Entry::Checkpoint(first) => checkpoint = Some(first),
        }
    }
    Ok(Read { node: reader.node(), checkpoint, records, end: reader.position(), torn_bytes: reader.left_bytes() })
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub fn wait_for(lake: &Lake, what: impl Fn(&Progress) -> bool) -> Progress {
    let progress = lake.progress();
    let until = soon();
    while Instant::now() < until {
        let now = progress.borrow().clone();
        if what(&now) {
            return now;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the lake does not get there: {:?}", progress.borrow());
}

pub fn kind(record: &Record) -> &'static str {
    match record {
        Record::Intent { .. } => "intent",
        Record::Commit { .. } => "commit",
        Record::Abort { .. } => "abort",
        Record::Loss { .. } => "loss",
    }
}

/// Rows that make the encoder panic: a series that does not exist. No shard seals such a part.
pub fn broken(mut table: SealedTable) -> SealedTable {
    let series = std::mem::take(&mut table.rows.series);
    table.rows.series = std::iter::once(7).chain(series.iter().skip(1)).collect();
    table
}

/// What a hook was told: the committed epoch and the births.
pub type Told = Arc<Mutex<Vec<(u64, u64)>>>;

pub fn listening() -> (OnCommit, Told) {
    let told = Told::default();
    let tell = Arc::clone(&told);
    (Box::new(move |committed, births| tell.lock().unwrap().push((committed, births))), told)
}

/// What a start makes of the image: the files that it leaves.
pub fn after_start(home: &Home) -> BTreeSet<String> {
    drop(home.open(1, 1).unwrap());
    let files = home.files();
    assert_eq!(home.aside(), 0);
    let open = home.records().iter().filter(|record| kind(record) == "intent").count();
    let closed = home.records().iter().filter(|record| ["commit", "abort"].contains(&kind(record))).count();
    assert_eq!(open, closed, "every intent is closed");
    // A second start finds nothing to do.
    let length = fs::metadata(home.path("state/manifest")).unwrap().len();
    drop(home.open(1, 1).unwrap());
    assert_eq!((home.files(), fs::metadata(home.path("state/manifest")).unwrap().len()), (files.clone(), length));
    files
}
