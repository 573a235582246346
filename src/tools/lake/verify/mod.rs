//! `ringest lake verify`: reads every file wholly and lists what is wrong, with what to do about it.

mod bounds;
mod file;
mod neighbours;
mod rows;
mod schema;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::LakeToolError;
use super::files::{Files, Place, Wanted, in_parallel, on_disk};
use super::text::counted;
use crate::catalog::Catalog;
use crate::lake::{FileName, NodeId, Standing, standing};

use neighbours::Neighbours;
pub use schema::kind;

/// A running node unlinks what it has replaced within moments, or when the merge is done that it is at.
const UNLINK_PATIENCE: Duration = Duration::from_secs(10);
const UNLINK_STEP: Duration = Duration::from_millis(100);

const DAMAGED: &str = "the file was changed or damaged since it was written; restore it from a backup, or move it away and take it out of the lake with `ringest lake forget`";

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Relative to the data directory.
    pub file: String,
    /// As a sentence.
    pub what: String,
    pub advice: &'static str,
}

/// What was found, for people (`Display`) and machines (JSON).
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// Read wholly.
    files: usize,
    rows: u64,
    bytes: u64,
    /// Replaced or expired while the others were read.
    gone: usize,
    /// Being published, or their publication was cut off: the next start takes them back.
    unfinished: Vec<String>,
    /// There is no manifest: every Parquet file was taken for a part of the lake.
    without_manifest: bool,
    faults: Vec<Fault>,
}

/// What a file was found to be.
enum Checked {
    Read {
        rows: u64,
        bytes: u64,
        faults: Vec<Fault>,
    },
    /// It is not there.
    Absent,
}

/// What every file is compared with.
struct Known {
    catalog: Catalog,
    /// `None`: there is no manifest.
    node: Option<NodeId>,
    neighbours: Neighbours,
}

/// Reads all files of the lake.
///
/// # Errors
/// There is no lake, or manifest or catalog cannot be read. What is wrong with files is in the report.
pub fn verify(data_dir: &Path, wanted: &Wanted) -> Result<VerifyReport, LakeToolError> {
    let Files { ledger, paths } = Files::find(data_dir, wanted)?;
    // Behind the manifest, so that it has every column that the files have.
    let catalog = Catalog::read(&data_dir.join("state"))?;
    let node = ledger.as_ref().map(|ledger| ledger.node);
    let known = Known { catalog, node, neighbours: Neighbours::default() };
    let checked = in_parallel(&paths, |path| check(data_dir, path, &known));

    let without_manifest = ledger.is_none();
    let mut report =
        VerifyReport { files: 0, rows: 0, bytes: 0, gone: 0, unfinished: vec![], without_manifest, faults: vec![] };
    let mut absent = Vec::new();
    for (path, checked) in paths.iter().zip(checked) {
        match checked {
            Checked::Absent => absent.push(path.as_str()),
            Checked::Read { rows, bytes, faults } => {
                report.files += 1;
                report.rows += rows;
                report.bytes += bytes;
                report.faults.extend(faults);
            }
        }
    }
    report.faults.extend(known.neighbours.into_faults());
    report.faults.extend(overlaps(&paths));
    report.add_absent(data_dir, &absent)?;
    if !without_manifest {
        report.add_strangers(data_dir, wanted, node)?;
    }
    report.faults.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(report)
}

fn check(data_dir: &Path, path: &str, known: &Known) -> Checked {
    let fault = |what: String| Fault { file: path.to_owned(), what, advice: DAMAGED };
    match catch_unwind(AssertUnwindSafe(|| file::check(data_dir, path, known))) {
        Ok(checked) => checked,
        Err(_) => {
            Checked::Read { rows: 0, bytes: 0, faults: vec![fault("cannot be read: the reader panicked".into())] }
        }
    }
}

/// Files of one folder and node whose ranges of epochs reach into each other: rows may be in both.
fn overlaps(paths: &[String]) -> Vec<Fault> {
    const ADVICE: &str = "rows may be there twice; if one was copied back into the lake, move it out, else restore state/ and lake/ from one backup";
    let mut faults = Vec::new();
    // By folder and node: the file that reaches furthest so far.
    let mut last: BTreeMap<(&str, NodeId), (FileName, &str)> = BTreeMap::new();
    for path in paths {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let Some(parsed) = FileName::parse(name) else { continue };
        if let Some((before, other)) = last.get(&(folder, parsed.node)) {
            // Parts of one replay share their epoch, and so may neighbours of which one has taken some of these parts.
            if parsed.first_epoch < before.epoch {
                let what = format!("its epochs {}..{} reach into those of {other}", parsed.first_epoch, parsed.epoch);
                faults.push(Fault { file: path.clone(), what, advice: ADVICE });
            }
        }
        last.insert((folder, parsed.node), (parsed, name));
    }
    faults
}

impl VerifyReport {
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Files that the manifest listed and that were not there.
    fn add_absent(&mut self, data_dir: &Path, absent: &[&str]) -> Result<(), LakeToolError> {
        const ADVICE: &str = "restore it from a backup; without one its points are lost: take it out of the lake with `ringest lake forget`";
        let now = standing(data_dir, absent)?;
        for path in absent {
            // Without a manifest it was there a moment ago.
            if now.get(path) == Some(&Standing::Committed) {
                let what = "belongs to the lake and is not there".to_owned();
                self.faults.push(Fault { file: (*path).to_owned(), what, advice: ADVICE });
            } else {
                self.gone += 1;
            }
        }
        Ok(())
    }

    /// Parquet files below `lake/` that are no part of the lake. Readers that take all files of a folder read them too.
    fn add_strangers(&mut self, data_dir: &Path, wanted: &Wanted, node: Option<NodeId>) -> Result<(), LakeToolError> {
        let here = on_disk(data_dir)?;
        let here: Vec<&str> = here.iter().map(String::as_str).filter(|path| wanted.takes_path(path)).collect();
        let now = standing(data_dir, &here)?;
        let mut others = here;
        others.retain(|path| now.get(path) != Some(&Standing::Committed));
        let is_going = |path: &&str| matches!(now.get(path), Some(Standing::Removed | Standing::Aborted));
        // Those that come to go meanwhile have their time yet: only these are waited for.
        let give_up = Instant::now() + UNLINK_PATIENCE;
        while others.iter().any(is_going) && Instant::now() < give_up {
            std::thread::sleep(UNLINK_STEP);
            others.retain(|path| !is_going(path) || data_dir.join(path).exists());
        }
        for path in others {
            match Fault::of_stranger(path, now.get(path), node) {
                Some(fault) => self.faults.push(fault),
                None => self.unfinished.push(path.to_owned()),
            }
        }
        Ok(())
    }

    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl Wanted {
    fn takes_path(&self, path: &str) -> bool {
        Place::of(path).map_or(!self.is_narrow(), |place| self.takes(&place))
    }
}

impl Fault {
    /// `None`: the file may be about to become a part of the lake.
    fn of_stranger(path: &str, standing: Option<&Standing>, node: Option<NodeId>) -> Option<Self> {
        let own = || {
            let name = path.rsplit('/').next().and_then(FileName::parse);
            name.is_some_and(|name| Some(name.node) == node)
        };
        let (what, advice) = match standing {
            Some(Standing::Committed | Standing::Intended) => return None,
            Some(Standing::Removed) => (
                "is no part of the lake any more: others took its place, or it expired; readers see its rows twice, or too long",
                "start the node, or restart it: it removes the file",
            ),
            Some(Standing::Aborted) => (
                "is no part of the lake: its publication was taken back; readers see its rows twice",
                "start the node, or restart it, if that does not help remove the file: its rows are in the lake under a later epoch",
            ),
            None if own() => (
                "has this node's id, and the manifest does not name it: the manifest was cut or replaced, or the file was copied back",
                "the next start will be refused; restore state/ from the backup that the file is from, or move the file out of lake/",
            ),
            None => (
                "is no part of this lake, but readers take it for one",
                "move it out of lake/ if it does not belong there",
            ),
        };
        Some(Self { file: path.to_owned(), what: what.to_owned(), advice })
    }
}

impl std::fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Fault { file, what, advice } in &self.faults {
            writeln!(f, "{file}: {what}\n    {advice}")?;
        }
        for file in &self.unfinished {
            writeln!(f, "{file}: is being published; if no node runs, the next start takes it back")?;
        }
        if self.without_manifest {
            writeln!(f, "there is no state/manifest: every Parquet file below lake/ was taken for a part of the lake")?;
        }
        let verdict = match self.faults.len() {
            0 => "the lake is sound".to_owned(),
            count => format!("the lake has {}", counted(count, "fault")),
        };
        let Self { rows, bytes, .. } = self;
        write!(f, "{verdict}: {}, {rows} rows, {bytes} bytes were read", counted(self.files, "file"))?;
        if self.gone > 0 {
            write!(f, "; {} went meanwhile", counted(self.gone, "file"))?;
        }
        writeln!(f)
    }
}
