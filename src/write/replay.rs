//! Requests of the log on their way into tables again. Nothing is judged: a request has got its verdict when it came.

use super::entry::Entry;
use super::ingest::{Context, line_options};
use crate::decode::Gunzip;
use crate::line::{self, PADDING, Padded};
use crate::table::{Journal, SealedTable, Tables};

/// Why a request cannot be replayed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Not now; the tables that are full must be handed over first.
    #[error("there is no memory for it")]
    NoMemory,
    /// It was taken once, so it is not what was written.
    #[error("{0}")]
    Damaged(&'static str),
}

/// The tables that the log is replayed into.
pub struct Replay {
    context: Context,
    tables: Tables,
    gunzip: Option<Gunzip>,
    /// Whether columns that nobody has born are damage; otherwise they are born.
    strict: bool,
}

impl Replay {
    pub fn new(context: Context, strict: bool) -> Self {
        let tables = Tables::new(&context.budget);
        Self { context, tables, gunzip: None, strict }
    }

    /// Applies the request in `record`, which gets [`PADDING`] zero bytes at its end. `number`: larger than those before. `by_force`: takes
    /// memory over the limit.
    ///
    /// # Errors
    /// It does not fit now, and nothing of it was applied; or it is damaged.
    pub fn apply(&mut self, record: &mut Vec<u8>, number: u64, by_force: bool) -> Result<(), ReplayError> {
        let bytes = record.len();
        record.resize(bytes + PADDING, 0);
        let applied = self.apply_padded(record, bytes, number, by_force);
        record.truncate(bytes);
        applied
    }

    fn apply_padded(&mut self, padded: &[u8], bytes: usize, number: u64, by_force: bool) -> Result<(), ReplayError> {
        let unreadable = ReplayError::Damaged("is no request");
        let Some((entry, body_at)) = Entry::decode(&padded[..bytes]) else { return Err(unreadable) };
        let Some(received) = Padded::new(&padded[body_at..], bytes - body_at) else { return Err(unreadable) };
        if !entry.gzip {
            return self.insert(&entry, received, number, by_force);
        }
        // The body was inside of the limits when it came; the memory is what one body takes.
        let mut gunzip = match self.gunzip.take() {
            Some(gunzip) => gunzip,
            None => Gunzip::new().map_err(|_| ReplayError::NoMemory)?,
        };
        let applied = match gunzip.decode(received.as_bytes(), entry.body_bytes as usize, |_| true) {
            Ok(lines) => self.insert(&entry, lines, number, by_force),
            Err(_) => Err(ReplayError::Damaged("has a body that is no gzip")),
        };
        self.gunzip = Some(gunzip);
        applied
    }

    fn insert(&mut self, entry: &Entry<'_>, lines: Padded<'_>, number: u64, by_force: bool) -> Result<(), ReplayError> {
        let Context { catalog, kernel, .. } = &self.context;
        let options = line_options(*kernel, entry.precision, entry.received_ns);
        let dropped = entry.dropped.clone();
        let retention = self.context.retention_at_birth(entry.bucket);
        let writer = self.tables.replayer(entry.bucket, catalog, dropped, retention, lines.len(), by_force);
        let Some(mut writer) = writer else { return Err(ReplayError::NoMemory) };
        match line::parse(lines, options, &mut writer) {
            line::Outcome::Complete { .. } => {}
            line::Outcome::Bad { .. } => return Err(ReplayError::Damaged("has a body that is no line protocol")),
            line::Outcome::Stopped => return Err(ReplayError::NoMemory),
        }
        if writer.dropped().count() > 0 {
            return Err(ReplayError::Damaged("has points that do not fit the types of their fields"));
        }
        let mut replayed = Replayed { number, has_born: false };
        // No other thread brings births while the log is replayed.
        writer.commit(&mut replayed).map_err(|_| ReplayError::Damaged("meets other types"))?;
        if self.strict && replayed.has_born {
            return Err(ReplayError::Damaged("has columns whose birth is not in the log before it"));
        }
        Ok(())
    }

    /// Bytes of the open tables.
    pub fn bytes(&self) -> usize {
        self.tables.bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Moves all open tables out.
    pub fn seal(&mut self) -> Vec<SealedTable> {
        self.tables.seal(false)
    }
}

/// A request that is in the log already.
struct Replayed {
    number: u64,
    /// It brought columns that the log did not bring before it.
    has_born: bool,
}

impl Journal for Replayed {
    fn births(&mut self, _: &[u8], _: u64) {
        self.has_born = true;
    }

    fn request(&mut self) -> u64 {
        self.number
    }
}
