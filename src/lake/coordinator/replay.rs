//! The rows of a log, part by part: each part's files are written aside while the caller reads the next, and all of them become
//! one epoch at the end. Until then nothing of a replay is in the lake, and a node that ends begins anew with the log, which is
//! still there.

use std::collections::VecDeque;

use crossbeam::channel::Sender;

use crate::table::SealedTable;

use super::{Coordinator, discard};
use crate::lake::partition::N_MAX;
use crate::lake::publish::{Failure, Staged, save};

/// What the replay's caller asks for, and waits for.
pub(in crate::lake) struct Step {
    pub epoch: u64,
    /// The next part; `None`: there are no more.
    pub tables: Option<Vec<SealedTable>>,
    /// Takes the answer: for a part, when the part before it is encoded.
    pub done: Sender<Result<(), String>>,
}

#[derive(Default)]
pub(super) struct Replay {
    steps: VecDeque<Step>,
    /// Of the replay that is going on, or that has failed.
    epoch: Option<u64>,
    /// Parts with rows so far; `n` in the file names of the next.
    parts: u32,
    /// Aside, of all parts.
    files: Vec<Staged>,
    /// Why no further step is taken.
    failure: Option<String>,
}

impl Replay {
    pub fn queue(&mut self, step: Step) {
        self.steps.push_back(step);
    }

    pub fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub fn is_unfinished(&self) -> bool {
        self.epoch.is_some()
    }

    /// Whether there is a replay and it will not be finished.
    pub fn is_cut_off(&self) -> bool {
        self.is_unfinished() && self.failure.is_some()
    }

    pub fn stop(&mut self) {
        self.fail("the node is ending");
    }

    /// The first failure is the one that counts.
    fn fail(&mut self, reason: &str) {
        self.failure.get_or_insert_with(|| reason.to_owned());
    }

    /// Takes the first or a further step of the replay as `epoch`. `passed`: the last epoch before it. A refused step ends the
    /// replay: its rows must not be missing among the others.
    fn step(&mut self, epoch: u64, passed: u64, brings_part: bool) -> Result<(), String> {
        let begun = *self.epoch.get_or_insert(epoch);
        if begun != epoch {
            self.fail(&format!("it has begun as epoch {begun} and cannot go on as epoch {epoch}"));
        } else if epoch <= passed {
            self.fail(&format!("its epoch {epoch} does not lie above {passed}, the last one before it"));
        } else if brings_part && self.parts > N_MAX {
            self.fail(&format!(
                "it has more than {} parts; give the node more memory, so that they become larger",
                self.parts
            ));
        }
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Coordinator {
    pub(super) fn take_step(&mut self, Step { epoch, tables, done }: Step) {
        let taken = self.replay.step(epoch, self.passed, tables.is_some());
        // Nobody listens to an answer when the caller has ended.
        match (taken, tables) {
            (Ok(()), Some(tables)) => {
                let _ = done.send(Ok(()));
                self.encode_part(epoch, tables);
            }
            (Ok(()), None) => drop(done.send(self.finish_replay(epoch))),
            (refused, _) => drop(done.send(refused)),
        }
    }

    /// Writes the files of a part aside and gives its memory back. If they are too many to be synced one by one, so are those of all parts.
    fn encode_part(&mut self, epoch: u64, tables: Vec<SealedTable>) {
        let mut part = self.prepare(epoch, self.replay.parts, tables);
        if part.rows == 0 {
            return;
        }
        match self.insist(|this| this.write_aside(&mut part)) {
            Ok(files) => {
                self.replay.parts += 1;
                self.replay.files.extend(files);
                self.report_success(|_| {});
            }
            Err(failure) => self.replay.fail(failure.reason()),
        }
    }

    /// Makes all parts one epoch.
    fn finish_replay(&mut self, epoch: u64) -> Result<(), String> {
        let files = std::mem::take(&mut self.replay.files);
        let saved = if self.replay.parts > 0 {
            self.publisher.publish(epoch, &files, &self.shared.catalog)
        } else {
            // Requests that were answered may have borne something and kept no row.
            save(&self.shared.catalog).map_err(Failure::Again)
        };
        match saved {
            Ok(saved) => {
                self.count(&files);
                self.take_stock(&files, &[]);
                self.replay = Replay { steps: std::mem::take(&mut self.replay.steps), ..Replay::default() };
                self.advance(epoch, Ok(saved));
                Ok(())
            }
            Err(failure) => {
                discard(files.iter().map(|file| &*file.aside));
                self.replay.fail(failure.reason());
                self.report(failure.reason());
                Err(failure.reason().to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_refused_that_would_sort_before_earlier_ones() {
        let mut replay = Replay { parts: N_MAX, ..Replay::default() };
        assert_eq!(replay.step(5, 4, true), Ok(()));
        replay.parts += 1;
        assert_eq!(replay.step(5, 4, false), Ok(()), "the end of a replay brings no file");
        let refused = replay.step(5, 4, true);
        assert!(refused.as_ref().is_err_and(|reason| reason.contains("more than 10000 parts")), "{refused:?}");
        assert_eq!(replay.step(5, 4, false), refused, "the replay must not end without the part");
    }

    #[test]
    fn a_replay_is_one_epoch_above_all_others() {
        let refused = |steps: &[u64]| {
            let mut replay = Replay::default();
            let reason = steps.iter().find_map(|epoch| replay.step(*epoch, 4, true).err());
            assert_eq!(replay.is_cut_off(), reason.is_some());
            reason
        };
        assert_eq!(refused(&[5, 5]), None);
        assert!(refused(&[4]).is_some_and(|reason| reason.contains("above 4")));
        assert!(refused(&[5, 6]).is_some_and(|reason| reason.contains("begun as epoch 5")));
    }
}
