//! The parameters of a free/busy address: refused, or a window that is not empty and no longer than two years.

#![no_main]

use jiff::{SignedDuration, Timestamp};
use kalends::error::Error;
use kalends::http::freebusy::query::read;
use kalends::ical::busy::TimeRange;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time of ours");
    let default = TimeRange { start: at("2026-01-01T00:00:00Z"), end: at("2026-02-26T00:00:00Z") };
    let asked = read(query, default);
    match &asked {
        Ok(asked) => {
            let length = asked.window.end.duration_since(asked.window.start);
            assert!(asked.window.start < asked.window.end, "{:?}", asked.window);
            assert!(length <= SignedDuration::from_hours(2 * 366 * 24), "{:?}", asked.window);
        }
        Err(Error::BadRequest(why)) => assert!(!why.is_empty()),
        Err(Error::NotAcceptable) => assert!(query.contains("format")),
        Err(other) => panic!("no error of parameters: {other}"),
    }
    let unknown = format!("{query}&u=x");
    assert_eq!(
        read(&unknown, default).ok(),
        asked.as_ref().ok().cloned(),
        "what nobody knows changes nothing"
    );
    if query.split('&').any(|pair| pair.starts_with("start=")) {
        assert!(read(&format!("{query}&from=20260101T000000Z"), default).is_err(), "one start is enough");
    }
});
