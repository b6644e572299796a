//! The component scanner: no byte of a text is lost or counted twice, and a component cut out is the same component.

#![no_main]

use kalends::error::Error;
use kalends::ical::scan::{Component, MAX_COMPONENTS, MAX_PROPERTIES, MAX_ZONES, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let objects = match scan(text) {
        Ok(objects) => objects,
        Err(Error::Malformed { line, .. }) => {
            let physical = text.split(|byte| *byte == b'\n').count();
            assert!((1..=physical + 1).contains(&line), "line {line} of {physical}");
            return;
        }
        Err(Error::TooLarge(_) | Error::OverCap { .. }) => return,
        Err(other) => panic!("no error of a text: {other}"),
    };
    assert!(objects.iter().map(|object| object.components.len()).sum::<usize>() <= MAX_COMPONENTS);
    let mut rest = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut between = Vec::new();
    for object in &objects {
        assert!(object.properties.len() <= MAX_PROPERTIES);
        object.components.iter().for_each(cut_out_is_the_same);
        let mut pieces: Vec<&[u8]> = object.properties.clone();
        pieces.extend(object.components.iter().map(|component| component.raw));
        pieces.sort_by_key(|piece| piece.as_ptr());
        for piece in pieces {
            let at = piece.as_ptr() as usize - rest.as_ptr() as usize;
            between.extend_from_slice(&rest[..at]);
            rest = &rest[at + piece.len()..];
        }
    }
    between.extend_from_slice(rest);
    // White space says nothing, nor does what files are filled up with and put together by.
    let says = |c: &char| !c.is_ascii_whitespace() && !['\0', '\u{1a}', '\u{feff}'].contains(c);
    let frames: String = String::from_utf8_lossy(&between).chars().filter(says).collect();
    assert_eq!(frames.to_ascii_uppercase(), "BEGIN:VCALENDAREND:VCALENDAR".repeat(objects.len()));
});

fn cut_out_is_the_same(component: &Component<'_>) {
    assert!(component.zones.len() <= MAX_ZONES);
    let alone = [b"BEGIN:VCALENDAR\r\n", component.raw, b"END:VCALENDAR\r\n"].concat();
    let objects = scan(&alone).expect("a component stands alone");
    let [object] = objects.as_slice() else { panic!("one VCALENDAR") };
    let [again] = object.components.as_slice() else { panic!("one component: {:?}", object.components) };
    let of = |one: &Component<'_>| {
        let Component { kind, uid, class, tzid, zones, faked, .. } = one;
        (kind.clone(), uid.clone(), *class, tzid.clone(), zones.clone(), *faked)
    };
    assert_eq!(again.raw, component.raw);
    assert_eq!(of(again), of(component));
}
