//! A calendar compared with the disk without its home's lock, beside whoever writes there: half of a commit that another process
//! is putting in place is no state, nor is what was read while whole ones came and went.

use std::time::{Duration, Instant};

use super::rights::nearest;
use super::slot::{Held, Slot, Texts};
use super::tree::Tree;
use super::writer::Locked;
use crate::error::{Error, Result};

impl Slot {
    /// What is on disk, as soon as it is one state. Until then what there was before is; where nothing was, `Busy` after a
    /// while: whoever was at it may be dead.
    pub(super) fn look_beside_writers(&self, tree: &Tree, texts: Texts) -> Result<Option<Held>> {
        const LOOK_AGAIN: Duration = Duration::from_millis(5);
        const PATIENCE: Duration = Duration::from_millis(500);
        const ATTEMPTS: usize = 3;
        let (mut since, mut attempts) = (Instant::now(), 0);
        loop {
            // Others write faster than this reads: for once they wait.
            let turn = if attempts < ATTEMPTS { None } else { self.turn(tree)? };
            let (begun, changes) = (self.writer.begun(), self.writer.changes());
            let standing = tree.standing(&self.path.home)?;
            self.writer.stands(standing);
            let before = self.held();
            if before.is_none() && self.writer.is_making(&self.path) {
                return Ok(None);
            }
            let is_half = standing.is_half && !self.writer.is_applying();
            if !is_half && (attempts < ATTEMPTS || turn.is_some()) {
                let after = self.read_held(tree, before.as_ref(), texts)?;
                // A commit of ours that began meanwhile may have put half of its files there.
                if self.writer.begun() == begun {
                    let now = tree.standing(&self.path.home)?;
                    attempts += 1;
                    let stands = now == standing || self.writer.is_applying();
                    // What this process changes it shows itself, and nobody else has a turn beside it.
                    let is_ours = || self.writer.is_busy() || self.writer.changes() != changes;
                    if stands || attempts >= ATTEMPTS && !now.is_half && is_ours() {
                        return Ok(self.placed(before.as_ref(), after, texts));
                    }
                    since = Instant::now();
                    continue;
                }
            }
            drop(turn);
            match before.filter(|held| texts == Texts::Spared || held.contents().is_some()) {
                Some(held) => return self.keep_held(tree, &held, texts),
                None if since.elapsed() > PATIENCE => return Err(Error::Busy),
                None => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// The right to write to the home, if nobody has it at this moment.
    fn turn(&self, tree: &Tree) -> Result<Option<Locked>> {
        tree.home(&self.path.home)?.map_or(Ok(None), |home| self.writer.try_lock(home))
    }

    /// What is in memory stands, for a while.
    fn keep_held(&self, tree: &Tree, held: &Held, texts: Texts) -> Result<Option<Held>> {
        let kept = held.kept(nearest(tree, &self.path)?);
        Ok(self.placed(Some(held), Some(kept), texts))
    }
}
