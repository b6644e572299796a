//! What a merge comes to, in numbers: for the answer, the log and the record of the change.

/// What a merge did beside taking what was sent, in items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Here, not sent, and still here.
    pub kept: usize,
    pub removed: usize,
    pub conflicts: usize,
    /// Of those that were kept, the ones that would have gone had they not been so many.
    pub spared: usize,
    /// Sent as they were before they went, and still gone.
    pub stale: usize,
}

impl Merged {
    /// For people to read; empty if there is nothing to say.
    pub fn in_words(&self) -> String {
        let Merged { kept, removed, conflicts, spared, stale } = self;
        if kept + removed + conflicts + stale == 0 {
            return String::new();
        }
        let mut words = format!("kept={kept}, removed={removed}, conflicts={conflicts}");
        for (name, count) in
            [("spared", spared), ("stale", stale)].into_iter().filter(|(_, count)| **count > 0)
        {
            words += &format!(", {name}={count}");
        }
        words
    }
}
