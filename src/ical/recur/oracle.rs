//! The expander against the `rrule` crate, on the rules that the crate expands rightly. It never counts a DTSTART that its rule would
//! not make, so that DTSTART is left out of the comparison, and COUNT is compared where DTSTART is in step with the rule.

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::*;

/// Instances enough to cross several months, leap days and turns of years.
const MANY: u16 = 60;

fn ours(text: &str, start: DateTime, to: Civil) -> Vec<Civil> {
    let rule = Rule::parse(text).expect(text);
    let mut steps = Steps { left: u32::MAX };
    expand(&rule, start.into(), Civil::MIN, to, &mut steps).expect("within the steps")
}

fn theirs(text: &str, start: DateTime) -> Vec<Civil> {
    let text = format!("DTSTART:{}Z\nRRULE:{text}", start.strftime("%Y%m%dT%H%M%S"));
    let set: rrule::RRuleSet = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    set.all(MANY).dates.into_iter().map(|date| Civil(date.timestamp())).collect()
}

fn list(numbers: Vec<i32>) -> String {
    numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// Some numbers of a range, perhaps negative, as a part of a rule or as nothing.
fn part(name: &'static str, highest: i32, signed: bool) -> impl Strategy<Value = String> {
    let numbers: Vec<i32> =
        (if signed { -highest } else { 1 }..=highest).filter(|number| *number != 0).collect();
    prop_oneof![
        2 => Just(String::new()),
        1 => subsequence(numbers, 1..4).prop_map(move |numbers| format!(";{name}={}", list(numbers))),
    ]
}

fn clock_part(name: &'static str, highest: i32) -> impl Strategy<Value = String> {
    let numbers: Vec<i32> = (0..=highest).collect();
    prop_oneof![
        2 => Just(String::new()),
        1 => subsequence(numbers, 1..4).prop_map(move |numbers| format!(";{name}={}", list(numbers))),
    ]
}

fn weekdays(ordinals: i32) -> impl Strategy<Value = String> {
    let days = vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    // The crate refuses the fifth from the end.
    let plain = subsequence(days.clone(), 1..4).prop_map(|days| format!(";BYDAY={}", days.join(",")));
    let nth =
        (1..=ordinals.max(1), any::<bool>(), select(days)).prop_map(move |(nth, last, day)| match ordinals {
            0 => format!(";BYDAY={day}"),
            _ => format!(";BYDAY={}{day}", if last { -nth.min(4) } else { nth }),
        });
    prop_oneof![Just(String::new()), plain, nth]
}

fn week_start() -> impl Strategy<Value = &'static str> {
    select(vec!["", ";WKST=SU", ";WKST=MO", ";WKST=TH"])
}

fn yearly() -> impl Strategy<Value = String> {
    let by_day = (part("BYMONTH", 12, false), weekdays(5), part("BYMONTHDAY", 31, true));
    let by_date = by_day.prop_map(|(months, days, dates)| format!("{months}{days}{dates}"));
    let by_year_day = (part("BYYEARDAY", 366, true), part("BYMONTH", 12, false), weekdays(0));
    let by_year_day = by_year_day.prop_map(|(numbers, months, days)| format!("{numbers}{months}{days}"));
    prop_oneof![by_date, by_year_day].prop_map(|parts| format!("FREQ=YEARLY{parts}"))
}

fn monthly() -> impl Strategy<Value = String> {
    (part("BYMONTH", 12, false), weekdays(5), part("BYMONTHDAY", 31, true))
        .prop_map(|(months, days, dates)| format!("FREQ=MONTHLY{months}{days}{dates}"))
}

fn weekly() -> impl Strategy<Value = String> {
    (part("BYMONTH", 12, false), weekdays(0), week_start())
        .prop_map(|(months, days, first)| format!("FREQ=WEEKLY{months}{days}{first}"))
}

fn daily() -> impl Strategy<Value = String> {
    (part("BYMONTH", 12, false), weekdays(0), part("BYMONTHDAY", 31, true), clock_part("BYHOUR", 23))
        .prop_map(|(months, days, dates, hours)| format!("FREQ=DAILY{months}{days}{dates}{hours}"))
}

fn shorter() -> impl Strategy<Value = String> {
    let limits = (clock_part("BYHOUR", 23), clock_part("BYMINUTE", 59), weekdays(0));
    let hourly = limits.prop_map(|(hours, minutes, days)| format!("FREQ=HOURLY{hours}{minutes}{days}"));
    // The crate loses whole days of a MINUTELY rule with BYHOUR and BYDAY.
    let limits = (clock_part("BYMINUTE", 59), clock_part("BYSECOND", 59));
    let minutely = limits.prop_map(|(minutes, seconds)| format!("FREQ=MINUTELY{minutes}{seconds}"));
    prop_oneof![hourly, minutely]
}

fn with_positions(rule: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (rule, select(vec!["", ";BYSETPOS=1", ";BYSETPOS=-1", ";BYSETPOS=2,-2"]))
        .prop_map(|(rule, positions)| if rule.contains(";BY") { format!("{rule}{positions}") } else { rule })
}

fn rule() -> impl Strategy<Value = String> {
    let rules =
        prop_oneof![with_positions(yearly()), with_positions(monthly()), weekly(), daily(), shorter()];
    (rules, 1..4u32).prop_map(|(rule, interval)| format!("{rule};INTERVAL={interval}"))
}

fn start() -> impl Strategy<Value = DateTime> {
    let second = 788_918_400i64..1_893_456_000;
    second.prop_map(|second| DateTime::from(Civil(second - second % 60)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_agree_with_the_rrule_crate(rule in rule(), start in start()) {
        let known = theirs(&rule, start);
        prop_assume!(!known.is_empty());
        let last = known[known.len() - 1];
        let mut found = ours(&rule, start, last);
        if known.first() != found.first() {
            found.remove(0);
        }
        prop_assert_eq!(found, known);
    }

    #[test]
    fn a_count_ends_where_the_rrule_crate_ends_it(rule in rule(), start in start(), count in 1..40u32) {
        let Some(first) = theirs(&rule, start).first().copied() else { return Ok(()) };
        let (rule, start) = (format!("{rule};COUNT={count}"), DateTime::from(first));
        let known = theirs(&rule, start);
        prop_assume!(known.first() == Some(&first));
        prop_assert_eq!(ours(&rule, start, Civil::MAX), known);
    }

    #[test]
    fn a_window_holds_what_the_whole_walk_has_in_it(
        rule in rule(), start in start(), ends in any::<[Index; 2]>(), count in proptest::option::of(1..400u32),
    ) {
        let rule = count.map_or(rule.clone(), |count| format!("{rule};COUNT={count}"));
        let all = ours(&rule, start, Civil(Civil::from(start).0 + 366 * 86_400));
        let [from, to] = ends.map(|end| all[end.index(all.len())]);
        let mut steps = Steps { left: u32::MAX };
        let parsed = Rule::parse(&rule).expect("a rule");
        let found = expand(&parsed, start.into(), from, to, &mut steps).expect("within the steps");
        let expected: Vec<Civil> = all.into_iter().filter(|civil| (from..=to).contains(civil)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn week_numbers_agree_with_the_rrule_crate(
        // The crate puts some days around the turn of a year into the wrong week.
        weeks in subsequence((2..=51).collect::<Vec<i32>>(), 1..4), last in any::<bool>(),
        days in subsequence(vec!["MO", "WE", "SA", "SU"], 1..4), first in week_start(), start in start(),
    ) {
        let weeks = list(weeks.into_iter().map(|week| if last { -week } else { week }).collect());
        let rule = format!("FREQ=YEARLY;BYWEEKNO={weeks};BYDAY={}{first}", days.join(","));
        let known = theirs(&rule, start);
        let mut found = ours(&rule, start, known[known.len() - 1]);
        if known.first() != found.first() {
            found.remove(0);
        }
        prop_assert_eq!(found, known);
    }
}
