//! One lake job: the rows of one table and day become a file aside. Any lake thread may do it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam::channel::Sender;

use crate::budget::{Budget, Consumer, Reservation};
use crate::catalog::Table;

use super::FileOptions;
use super::encode::{Input, Origin, write_file};
use super::partition::DayPart;
use super::publish::Staged;

/// The rows of all shards for one table and day.
#[derive(Clone, Debug)]
pub(super) struct TableDay {
    /// With every column that a part may have.
    pub table: Arc<Table>,
    pub day: i64,
    pub parts: Vec<Arc<DayPart>>,
    /// Attempts that ended in a fault of the encoder.
    pub faults: u32,
}

/// Why a job has no file.
#[derive(Debug)]
pub(super) enum JobError {
    /// The disk refused; a later attempt may succeed.
    Disk(String),
    /// The encoder panicked: a fault of ringest, which another attempt most likely meets again.
    Fault(String),
}

pub(super) struct Job {
    pub input: TableDay,
    pub origin: Origin,
    pub aside: PathBuf,
    pub target: String,
    pub sync: bool,
    pub files: FileOptions,
    /// Takes the job's number among its epoch's jobs and its result.
    pub done: Sender<(usize, Result<Staged, JobError>)>,
    pub index: usize,
}

impl Job {
    /// Writes the file and tells the result. A panic is a failure of the job like any other: it has changed nothing but
    /// the file aside, and its rows are still in memory.
    pub fn run(self, budget: &Arc<Budget>) {
        let mut memory = Reservation::new(budget, Consumer::Encoder);
        let TableDay { table, parts, .. } = &self.input;
        let input = Input { table, parts, origin: self.origin, path: &self.aside, sync: self.sync, files: self.files };
        let result = match catch_unwind(AssertUnwindSafe(|| write_file(&input, &mut memory))) {
            Ok(Ok(written)) => Ok(Staged { aside: self.aside, target: self.target, written }),
            Ok(Err(error)) => Err(JobError::Disk(error.to_string())),
            Err(_) => Err(JobError::Fault(format!(
                "cannot encode {}: this is a fault of ringest, please report it with the panic in the log",
                self.target
            ))),
        };
        // Nobody listens any more when the lake gives up at its deadline.
        let _ = self.done.send((self.index, result));
    }
}
