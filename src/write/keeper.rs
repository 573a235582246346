//! Where requests go before they are acknowledged, and where they get their numbers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Refusal;
use super::ingest::RETRY_AFTER_SECONDS;
use crate::table::Journal;
use crate::wal::{self, Kind, NoRoom, Space, Wal};

/// Keeps requests, once the node has recovered.
#[derive(Default)]
pub struct Keeper(OnceLock<Keeping>);

/// How requests are kept.
pub enum Keeping {
    /// In memory only; counts the requests.
    Memory(AtomicU64),
    Log(Wal),
}

impl Keeper {
    /// From here on requests are taken. To be called once.
    pub fn open(&self, keeping: Keeping) {
        // A second call would find the first one's choice in force; there is none.
        let _ = self.0.set(keeping);
    }

    /// Whether requests are taken.
    pub fn is_open(&self) -> bool {
        self.0.get().is_some()
    }

    /// The log, where there is one.
    pub fn log(&self) -> Option<&Wal> {
        match self.0.get() {
            Some(Keeping::Log(wal)) => Some(wal),
            _ => None,
        }
    }

    /// The log, for its end.
    pub fn into_log(self) -> Option<Wal> {
        match self.0.into_inner() {
            Some(Keeping::Log(wal)) => Some(wal),
            _ => None,
        }
    }

    /// Room for a request whose entry and body are `request`, and for a record of births of at most `births_bytes`.
    ///
    /// # Errors
    /// There is none now, or never.
    pub fn place<'a>(&'a self, request: [&'a [u8]; 2], epoch: u64, births_bytes: usize) -> Result<Place<'a>, Refusal> {
        match self.0.get() {
            None => Err(Refusal::Recovering),
            Some(Keeping::Memory(requests)) => Ok(Place::Memory(requests)),
            Some(Keeping::Log(wal)) => {
                let bytes = request[0].len() + request[1].len() + births_bytes;
                let space = wal.reserve(bytes, 1 + usize::from(births_bytes > 0)).map_err(|room| refusal(room, wal))?;
                Ok(Place::Log { space, request, epoch, position: 0 })
            }
        }
    }

    /// Room for a record of births of at most `births_bytes`, without a request.
    ///
    /// # Errors
    /// There is none now, or never.
    pub fn place_births(&self, births_bytes: usize) -> Result<Place<'_>, Refusal> {
        match self.0.get() {
            None => Err(Refusal::Recovering),
            Some(Keeping::Memory(requests)) => Ok(Place::Memory(requests)),
            Some(Keeping::Log(wal)) => {
                let space = wal.reserve(births_bytes, 1).map_err(|room| refusal(room, wal))?;
                Ok(Place::Log { space, request: [&[], &[]], epoch: 0, position: 0 })
            }
        }
    }
}

/// A place in the log, of a request or of births alone.
pub enum Place<'a> {
    Memory(&'a AtomicU64),
    Log { space: Space<'a>, request: [&'a [u8]; 2], epoch: u64, position: u64 },
}

impl Place<'_> {
    /// What must be durable before anything of it is acknowledged; 0 if nothing must.
    pub fn position(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Log { position, .. } => *position,
        }
    }
}

impl Journal for Place<'_> {
    fn births(&mut self, record: &[u8], births: u64) {
        if let Self::Log { space, position, .. } = self {
            // Births are kept until the catalog has them, whatever epoch is committed.
            *position = space.append(wal::Record { kind: Kind::Births, epoch: 0, births, parts: &[record] });
        }
    }

    fn request(&mut self) -> u64 {
        match self {
            Self::Memory(requests) => requests.fetch_add(1, Ordering::SeqCst) + 1,
            Self::Log { space, request, epoch, position } => {
                *position =
                    space.append(wal::Record { kind: Kind::Request, epoch: *epoch, births: 0, parts: &request[..] });
                *position
            }
        }
    }
}

fn refusal(room: NoRoom, wal: &Wal) -> Refusal {
    match room {
        NoRoom::Memory => Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS },
        NoRoom::Disk => Refusal::LogFull { retry_after_seconds: RETRY_AFTER_SECONDS },
        NoRoom::TooLarge => Refusal::TooLargeForLog { bytes_max: wal.record_bytes_max() },
        NoRoom::Poisoned(reason) => Refusal::Poisoned { reason, in_flight: false },
    }
}
