//! What the note says that must be there, and is not.

use std::path::{Path, PathBuf};

use super::super::WalError;
use super::super::note::Claim;
use super::{Log, Losses, Lost};

/// Says what of `claim`, which stands in the note at `note`, is missing in `logs`.
pub(super) fn check(dir: &Path, note: &Path, claim: &Claim, logs: &[Log], losses: &mut Losses) -> Result<(), WalError> {
    let missing = missing(dir, claim, logs);
    // A running log tells the note before it gives a segment up: another note means that it did so meanwhile.
    if !missing.is_empty() && Claim::read(note)?.as_ref() != Some(claim) {
        return Err(WalError::Changed { path: note.to_owned(), offset: 0 });
    }
    missing.into_iter().try_for_each(|lost| losses.miss(note, lost))
}

/// Nothing in the states that a crash leaves.
fn missing(dir: &Path, claim: &Claim, logs: &[Log]) -> Vec<Lost> {
    let Claim { life, begin, entered } = *claim;
    let lost = |groups, what| Lost { path: PathBuf::from(dir), offset: 0, bytes: 0, groups, what };
    let (own, others): (Vec<&Log>, Vec<&Log>) = logs.iter().partition(|log| log.life() == Some(life));
    let segments = || own.iter().flat_map(|log| &log.segments);
    let firsts = || segments().filter_map(|segment| segment.first_sequence);
    let next = segments().filter_map(|segment| segment.sequences()).map(|(_, last)| last.saturating_add(1)).max();
    let mut missing = Vec::new();
    // An old life is removed before a new one begins.
    let is_other = next.is_none() && others.iter().any(|log| log.tally.groups > 0);
    match (entered, firsts().min(), firsts().max()) {
        (Some(entered), Some(first), Some(newest)) => {
            if first > begin {
                let what = format!("begins with group {first}: the groups {begin} to {} are missing", first - 1);
                missing.push(lost(first - begin, what));
            }
            if newest < entered {
                let next = next.unwrap_or(newest);
                let what = format!(
                    "holds no segment that begins with group {entered} or a later one: the groups from {next} on are missing"
                );
                missing.push(lost(entered.saturating_sub(next), what));
            }
        }
        (Some(entered), ..) => {
            let what = format!("holds no segment of life {life:016x}: its groups from {begin} on are missing");
            missing.push(lost(entered.saturating_sub(begin), what));
        }
        (None, ..) => {}
    }
    if missing.is_empty() && is_other {
        missing.push(lost(0, format!("holds groups of another life, and none of life {life:016x}")));
    }
    missing
}
