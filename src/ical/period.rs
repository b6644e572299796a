//! Stretches of time: a window, and the busy periods in it.

use jiff::Timestamp;

/// A window: `start` is in it, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// How busy somebody is (FBTYPE, RFC 5545 §3.2.9), from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Tentative,
    Busy,
    Unavailable,
}

/// A busy stretch: `start` is in it, `end` is not and comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
    pub kind: Kind,
}

/// One list without overlaps, in order of time: touching and overlapping periods of one kind are one, and where kinds overlap the
/// strongest counts.
pub fn merge(mut periods: Vec<Period>) -> Vec<Period> {
    periods.retain(|period| period.start < period.end);
    periods.sort_unstable_by_key(|period| (period.start, period.end));
    let mut edges: Vec<Timestamp> = periods.iter().flat_map(|period| [period.start, period.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut merged: Vec<Period> = Vec::new();
    // For each kind, from the weakest: how far the periods seen so far reach.
    let mut reach = [Timestamp::MIN; 3];
    let mut rest = periods.into_iter().peekable();
    for edge in edges.windows(2) {
        let [start, end] = *edge else { continue };
        while let Some(period) = rest.next_if(|period| period.start <= start) {
            let reach = &mut reach[period.kind as usize];
            *reach = period.end.max(*reach);
        }
        let strongest = [Kind::Unavailable, Kind::Busy, Kind::Tentative].into_iter();
        let Some(kind) = strongest.into_iter().find(|kind| reach[*kind as usize] > start) else { continue };
        match merged.last_mut() {
            Some(last) if last.end == start && last.kind == kind => last.end = end,
            _ => merged.push(Period { start, end, kind }),
        }
    }
    merged
}

/// The parts of `periods` that lie in the window.
pub fn clip(periods: &[Period], window: &TimeRange) -> Vec<Period> {
    let cut = |period: &Period| Period {
        start: period.start.max(window.start),
        end: period.end.min(window.end),
        kind: period.kind,
    };
    periods.iter().map(cut).filter(|period| period.start < period.end).collect()
}

#[cfg(test)]
mod tests {
    use super::Kind::{Busy, Tentative, Unavailable};
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("an instant")
    }

    fn periods(list: &[(i64, i64, Kind)]) -> Vec<Period> {
        list.iter()
            .map(|(start, end, kind)| Period { start: at(*start), end: at(*end), kind: *kind })
            .collect()
    }

    #[test]
    fn the_stronger_kind_covers_the_weaker() {
        let table: [(&[_], &[_]); 6] = [
            (&[(5, 9, Busy), (1, 5, Busy)], &[(1, 9, Busy)]),
            (&[(1, 5, Busy), (3, 9, Tentative)], &[(1, 5, Busy), (5, 9, Tentative)]),
            (
                &[(1, 9, Tentative), (3, 5, Unavailable)],
                &[(1, 3, Tentative), (3, 5, Unavailable), (5, 9, Tentative)],
            ),
            (&[(1, 4, Busy), (2, 3, Busy), (4, 4, Busy), (6, 7, Busy)], &[(1, 4, Busy), (6, 7, Busy)]),
            (&[(1, 2, Busy), (2, 3, Tentative)], &[(1, 2, Busy), (2, 3, Tentative)]),
            (&[], &[]),
        ];
        for (before, after) in table {
            assert_eq!(merge(periods(before)), periods(after), "{before:?}");
        }
    }

    #[test]
    fn clipping_leaves_what_lies_in_the_window() {
        let window = TimeRange { start: at(2), end: at(6) };
        let clipped = clip(&periods(&[(0, 2, Busy), (1, 3, Busy), (5, 9, Tentative), (6, 7, Busy)]), &window);
        assert_eq!(clipped, periods(&[(2, 3, Busy), (5, 6, Tentative)]));
    }

    fn kind_at(periods: &[Period], second: i64) -> Option<Kind> {
        periods
            .iter()
            .filter(|period| period.start <= at(second) && at(second) < period.end)
            .map(|period| period.kind)
            .max()
    }

    proptest! {
        #[test]
        fn merging_changes_no_second(list in proptest::collection::vec((0..40i64, 0..40i64, 0..3usize), 0..12)) {
            let list: Vec<_> =
                list.into_iter().map(|(start, end, kind)| (start, end, [Tentative, Busy, Unavailable][kind])).collect();
            let (before, after) = (periods(&list), merge(periods(&list)));
            for second in 0..40 {
                prop_assert_eq!(kind_at(&before, second), kind_at(&after, second));
            }
            for pair in after.windows(2) {
                prop_assert!(pair[0].end < pair[1].start || pair[0].end == pair[1].start && pair[0].kind != pair[1].kind);
            }
        }
    }
}
