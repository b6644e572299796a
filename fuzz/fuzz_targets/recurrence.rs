//! Recurrence rules: any text is refused or expanded in bounded steps, in order, and the jump to a window leaves nothing out.
//!
//! An input is the value of an RRULE, and on the line below DTSTART and the window's start, as `20260101T090000 20260301T000000`.

#![no_main]

use jiff::civil::DateTime;
use kalends::ical::recur::{Civil, Rule, Steps, TooMuch, expand};
use kalends::ical::value::parse_date_time;
use libfuzzer_sys::fuzz_target;

const DAY: i64 = 86_400;

fuzz_target!(|text: &str| {
    let (rule, times) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(rule) = Rule::parse(rule) else { return };
    let mut times = times.split_ascii_whitespace();
    let start = time(times.next(), "20260105T090000");
    let from = time(times.next(), "20260301T000000");
    let to = Civil(from.0 + 56 * DAY);
    let Ok(found) = within(&rule, start, from, to) else { return };
    assert!(found.is_sorted_by(|one, next| one < next), "in order, each once: {:?}", readable(&found));
    assert!(found.iter().all(|at| (from..=to).contains(at) && start <= *at), "{:?}", readable(&found));
    assert!(rule.count.is_none_or(|count| found.len() <= count as usize), "COUNT: {:?}", readable(&found));
    entered_anywhere_it_is_the_same(&rule, start, from, &found);
});

fn time(text: Option<&str>, otherwise: &str) -> Civil {
    let read = text.and_then(parse_date_time).or_else(|| parse_date_time(otherwise));
    read.map_or(Civil(0), |when| when.civil().into())
}

fn within(rule: &Rule, start: Civil, from: Civil, to: Civil) -> Result<Vec<Civil>, TooMuch> {
    expand(rule, start, from, to, &mut Steps::new())
}

/// Two halves of the window have between them what the whole has.
fn entered_anywhere_it_is_the_same(rule: &Rule, start: Civil, from: Civil, found: &[Civil]) {
    let middle = Civil(from.0 + 20 * DAY + 34_567);
    let halves = [
        within(rule, start, from, Civil(middle.0 - 1)),
        within(rule, start, middle, Civil(from.0 + 56 * DAY)),
    ];
    if let [Ok(first), Ok(second)] = halves {
        let both = [first, second].concat();
        assert_eq!(readable(&both), readable(found), "{rule:?}");
    }
}

fn readable(times: &[Civil]) -> Vec<String> {
    times.iter().take(1_000).map(|time| DateTime::from(*time).to_string()).collect()
}
