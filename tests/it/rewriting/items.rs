//! Items as programs write them: Google, Outlook, Apple, KDE, Evolution and Thunderbird, each with what it is known for. Made
//! up by tables, the same each time.

/// How many items each style has.
const EACH: usize = 30;

type Style = fn(usize) -> String;

/// All items, each the text of its components, and the time zones that they name.
pub fn corpus() -> (String, Vec<String>) {
    let styles: [Style; 8] = [google, outlook, apple, kde, evolution, thunderbird, task, series];
    let items = styles.iter().enumerate().flat_map(|(style, write)| {
        (0..EACH).map(move |n| {
            let text = write(n);
            // Programs fold at different lengths, by spaces or by tabs, and some not at all.
            match style {
                1 => folded(&text, 75, "\r\n\t"),
                3 => text,
                5 => folded(&text, 60, "\r\n "),
                _ => folded(&text, 75, "\r\n "),
            }
        })
    });
    (ZONES.to_owned(), items.collect())
}

const ZONES: &str = "BEGIN:VTIMEZONE\r\nTZID:W. Europe Standard Time\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\n\
    TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\n\
    BEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
    RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n\
    BEGIN:VTIMEZONE\r\nTZID:Customized Time Zone\r\nBEGIN:STANDARD\r\nDTSTART:16010101T000000\r\n\
    TZOFFSETFROM:+0530\r\nTZOFFSETTO:+0530\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";

const WORDS: [&str; 10] = [
    "Übergabe",
    "Sprint review",
    "会議の準備",
    "Dentist\\, again",
    "Déjeuner d'équipe",
    "1:1 with Zoë",
    "Quarterly numbers\\; draft",
    "Школа",
    "🎂 Party",
    "Release 2.0 (final\\, really)",
];

fn day(n: usize) -> String {
    format!("2026{:02}{:02}", 1 + n % 12, 1 + n % 28)
}

fn word(n: usize) -> &'static str {
    WORDS[n % WORDS.len()]
}

/// One of several lines, or none of them.
fn some(n: usize, lines: &[&str]) -> String {
    lines.get(n % (lines.len() + 1)).map_or_else(String::new, |line| format!("{line}\r\n"))
}

fn event(lines: &[String]) -> String {
    format!("BEGIN:VEVENT\r\n{}END:VEVENT\r\n", lines.concat())
}

fn google(n: usize) -> String {
    let day = day(n);
    event(&[
        format!("DTSTART;TZID=Europe/Berlin:{day}T100000\r\nDTEND;TZID=Europe/Berlin:{day}T110000\r\n"),
        some(n, &["RRULE:FREQ=WEEKLY;WKST=MO;UNTIL=20271231T225959Z;INTERVAL=1;BYDAY=WE,MO", "RRULE:FREQ=MONTHLY;BYDAY=2TU"]),
        format!("DTSTAMP:20261101T0{:05}Z\r\n", n),
        format!("ORGANIZER;CN=Alice Example:mailto:alice@example.org\r\nUID:g{n}abcdefghijklmnop@google.com\r\n"),
        "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;CN=Alice Example;X-NUM-GUESTS=0:mailto:alice@example.org\r\n".to_owned(),
        "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=OPT-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN=bob@example.net;X-NUM-GUESTS=0:mailto:bob@example.net\r\n".to_owned(),
        some(n, &["X-GOOGLE-CONFERENCE:https://meet.example.com/abc-defg-hij"]),
        format!("CREATED:20260901T080000Z\r\nDESCRIPTION:{}\r\n", "One line\\nand another with <b>markup</b>\\, ".repeat(n % 5)),
        format!("LAST-MODIFIED:20261001T1{:05}Z\r\nLOCATION:{}\r\n", n, if n.is_multiple_of(3) { "" } else { "Room 7\\, 2nd floor" }),
        format!("SEQUENCE:{}\r\nSTATUS:CONFIRMED\r\nSUMMARY:{}\r\nTRANSP:OPAQUE\r\n", n % 4, word(n)),
        "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:This is an event reminder\r\nTRIGGER:-P0DT0H30M0S\r\nEND:VALARM\r\n".to_owned(),
        some(n, &["BEGIN:VALARM\r\nACTION:EMAIL\r\nDESCRIPTION:This is an event reminder\r\nSUMMARY:Alarm notification\r\nATTENDEE:mailto:alice@example.org\r\nTRIGGER:-P1D\r\nEND:VALARM"]),
    ])
}

fn outlook(n: usize) -> String {
    let day = day(n);
    let zone = if n.is_multiple_of(4) { "Customized Time Zone" } else { "W. Europe Standard Time" };
    event(&[
        "ORGANIZER;CN=\"Müller, Jürgen\":MAILTO:juergen.mueller@example.com\r\n".to_owned(),
        "ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN=\"Example, Alice\":MAILTO:Alice@Example.org\r\n".to_owned(),
        format!("DESCRIPTION;LANGUAGE=de-DE:Bitte mitbringen:\\n\\n - {}\\n\r\n", word(n + 3)),
        some(n, &["RRULE:FREQ=WEEKLY;UNTIL=20270601T080000Z;INTERVAL=1;BYDAY=TU;WKST=MO", "RRULE:FREQ=DAILY;COUNT=5"]),
        format!("UID:040000008200E00074C5B7101A82E00800000000{n:032X}\r\n"),
        format!("SUMMARY;LANGUAGE=de-DE:{}\r\n", word(n)),
        format!("DTSTART;TZID={zone}:{day}T090000\r\nDTEND;TZID={zone}:{day}T093000\r\nCLASS:PUBLIC\r\nPRIORITY:5\r\n"),
        format!("DTSTAMP:20261020T0{:05}Z\r\nTRANSP:OPAQUE\r\nSTATUS:CONFIRMED\r\nSEQUENCE:{}\r\n", n, n % 3),
        "LOCATION;LANGUAGE=de-DE:Besprechungsraum Süd\r\nX-MICROSOFT-CDO-APPT-SEQUENCE:0\r\nX-MICROSOFT-CDO-OWNERAPPTID:2119012345\r\n".to_owned(),
        "X-MICROSOFT-CDO-BUSYSTATUS:BUSY\r\nX-MICROSOFT-CDO-INTENDEDSTATUS:BUSY\r\nX-MICROSOFT-CDO-ALLDAYEVENT:FALSE\r\nX-MICROSOFT-CDO-IMPORTANCE:1\r\n".to_owned(),
        format!("X-ALT-DESC;FMTTYPE=text/html:<html><body>{}</body></html>\r\n", "<p>Long \\, and <i>marked up</i></p>".repeat(n % 7)),
        some(n, &["X-MS-OLK-CONFTYPE:0\r\nX-MS-OLK-SENDER;CN=\"A\":mailto:a@example.com\r\nX-MS-OLK-SENDER;CN=\"B\":mailto:b@example.com"]),
        "BEGIN:VALARM\r\nDESCRIPTION:REMINDER\r\nTRIGGER;RELATED=START:-PT15M\r\nACTION:DISPLAY\r\nEND:VALARM\r\n".to_owned(),
    ])
}

fn apple(n: usize) -> String {
    let day = day(n);
    event(&[
        format!("CREATED:20260801T120000Z\r\nUID:{n:08X}-1A2B-4C3D-9E8F-0123456789AB\r\n"),
        format!(
            "DTEND;TZID=Europe/Paris:{day}T200000\r\nTRANSP:OPAQUE\r\nX-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC\r\n"
        ),
        format!(
            "SUMMARY:{}\r\nDTSTART;TZID=Europe/Paris:{day}T183000\r\nDTSTAMP:20261111T0{n:05}Z\r\n",
            word(n)
        ),
        some(
            n,
            &[
                "LOCATION:Théâtre du Nord\\n1 Place Charles de Gaulle\\, Lille\r\nX-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-ADDRESS=\"1 Place Charles de Gaulle\\\\n59000 Lille\";X-APPLE-RADIUS=70.58;X-APPLE-REFERENCEFRAME=1;X-TITLE=\"Théâtre du Nord\":geo:50.636,3.0633",
            ],
        ),
        format!("LAST-MODIFIED:20261110T0{:05}Z\r\nSEQUENCE:{}\r\n", n, n % 5),
        some(
            n,
            &[
                "URL;VALUE=URI:https://example.org/a?b=c;d",
                "CONFERENCE;VALUE=URI;FEATURE=AUDIO,VIDEO;LABEL=Join:https://example.org/join",
            ],
        ),
        format!(
            "ATTENDEE;CN=\"Zoë\";CUTYPE=INDIVIDUAL;EMAIL=\"zoe@example.org\";PARTSTAT=ACCEPTED;ROLE=CHAIR:/aMjA{n}/principal/\r\n"
        ),
        format!(
            "BEGIN:VALARM\r\nX-WR-ALARMUID:AAAA{n:04}\r\nUID:AAAA{n:04}\r\nTRIGGER:-PT{}M\r\nATTACH;VALUE=URI:Chord\r\nACTION:AUDIO\r\nACKNOWLEDGED:20261101T000000Z\r\nEND:VALARM\r\n",
            15 * (1 + n % 9)
        ),
        some(n, &["BEGIN:VLOCATION\r\nUID:loc-1\r\nNAME:Stage door\r\nEND:VLOCATION"]),
    ])
}

fn kde(n: usize) -> String {
    let day = day(n);
    event(&[
        format!(
            "DTSTAMP:20261005T0{n:05}Z\r\nCREATED:20261004T101112Z\r\nUID:kde-{n}-4f2c\r\nLAST-MODIFIED:20261005T0{n:05}Z\r\n"
        ),
        format!(
            "DESCRIPTION:{}\r\nSUMMARY:{}\r\nLOCATION:\r\n",
            "text without folds \u{2013} ".repeat(n % 12),
            word(n)
        ),
        some(n, &["CLASS:PUBLIC", "CATEGORIES:Privat,Familie,Ärzte"]),
        format!("DTSTART;VALUE=DATE:{day}\r\nTRANSP:TRANSPARENT\r\n"),
        some(n, &["RRULE:FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1", "RRULE:BYDAY=SU,SA;FREQ=WEEKLY"]),
        some(n, &["EXDATE;VALUE=DATE:20260501,20270501"]),
        some(n, &["X-KDE-A:1\r\nX-KDE-A:2\r\nX-KDE-B;X-P=\"q;r\":3"]),
        some(
            n,
            &[
                "BEGIN:VALARM\r\nDESCRIPTION:\r\nACTION:DISPLAY\r\nTRIGGER;VALUE=DURATION:-PT1440M\r\nX-KDE-KCALCORE-ENABLED:TRUE\r\nEND:VALARM",
            ],
        ),
    ])
}

fn evolution(n: usize) -> String {
    let day = day(n);
    event(&[
        format!("UID:{n:040x}\r\nDTSTAMP:20260930T0{n:05}Z\r\nDTSTART;TZID=/freeassociation.sourceforge.net/Europe/Berlin:\r\n {day}T140000\r\n"),
        format!("DURATION:{}\r\nSEQUENCE:2\r\nSUMMARY:{}\r\n", ["PT60M", "PT1H", "P7D", "P1W", "PT90M"][n % 5], word(n)),
        "CLASS:PUBLIC\r\nX-EVOLUTION-ALARM-UID:1\r\nX-LIC-ERROR;X-LIC-ERRORTYPE=VALUE-PARSE-ERROR:No value\r\n".to_owned(),
        some(n, &["COMMENT:one\r\nCOMMENT:two", "GEO:50.1;8.6", "RESOURCES:Beamer,Whiteboard"]),
        format!("CREATED:20260930T090000Z\r\nLAST-MODIFIED:20260930T0{n:05}Z\r\n"),
        format!("BEGIN:VALARM\r\nX-EVOLUTION-ALARM-UID:{n}\r\nACTION:DISPLAY\r\nDESCRIPTION:{}\r\nTRIGGER;VALUE=DURATION;RELATED=START:-PT{}M\r\nREPEAT:2\r\nDURATION:PT300S\r\nEND:VALARM\r\n", word(n), 60 * (1 + n % 30)),
    ])
}

fn thunderbird(n: usize) -> String {
    let day = day(n);
    event(&[
        format!(
            "CREATED:20261101T090000Z\r\nLAST-MODIFIED:20261101T0{n:05}Z\r\nDTSTAMP:20261101T0{n:05}Z\r\nUID:{n:08x}-7d1c-4d6e-8c55-112233445566\r\n"
        ),
        format!("SUMMARY:{}\r\nDTSTART:{day}T080000Z\r\nDTEND:{day}T083000Z\r\n", word(n)),
        some(
            n,
            &["X-MOZ-GENERATION:3", "X-MOZ-LASTACK:20261101T080000Z\r\nX-MOZ-SNOOZE-TIME:20261101T081500Z"],
        ),
        some(
            n,
            &[
                "ATTACH;FMTTYPE=text/plain;ENCODING=BASE64;VALUE=BINARY:SGVsbG8gd29ybGQsIHRoaXMgaXMgYSB0ZXN0IG9mIGEgbG9uZyBsaW5lIHdpdGggYmFzZTY0IGluIGl0",
            ],
        ),
        some(
            n,
            &[
                "DESCRIPTION;ALTREP=\"data:text/html,%3Cb%3EBold%3C%2Fb%3E\":Bold",
                "RELATED-TO;RELTYPE=SIBLING:other-uid",
            ],
        ),
    ])
}

fn task(n: usize) -> String {
    let lines = [
        format!(
            "DTSTAMP:20261103T0{n:05}Z\r\nUID:task-{n}@example.org\r\nCREATED:20261103T000000Z\r\nLAST-MODIFIED:20261103T0{n:05}Z\r\n"
        ),
        format!(
            "SUMMARY;LANGUAGE=en:{}\r\nPRIORITY:{}\r\nPERCENT-COMPLETE:{}\r\n",
            word(n),
            n % 10,
            10 * (n % 11)
        ),
        some(
            n,
            &[
                "STATUS:COMPLETED\r\nCOMPLETED:20261103T120000Z",
                "STATUS:NEEDS-ACTION",
                "DUE;TZID=Europe/Berlin:20261224T180000",
            ],
        ),
        some(n, &["RELATED-TO:task-1@example.org", "X-APPLE-SORT-ORDER:123\r\nX-OC-HIDESUBTASKS:1"]),
        some(
            n,
            &["BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Due\r\nTRIGGER;RELATED=END:-PT1H\r\nEND:VALARM"],
        ),
    ];
    format!("BEGIN:VTODO\r\n{}END:VTODO\r\n", lines.concat())
}

/// A recurring event with an override, or two.
fn series(n: usize) -> String {
    let head = |lines: &str| {
        format!(
            "BEGIN:VEVENT\r\nUID:series-{n}@example.org\r\nDTSTAMP:20261107T0{n:05}Z\r\nLAST-MODIFIED:20261107T0{n:05}Z\r\n{lines}END:VEVENT\r\n"
        )
    };
    let master = head(&format!(
        "DTSTART;TZID=Europe/Berlin:20260105T090000\r\nDURATION:PT45M\r\nSUMMARY:{}\r\nRRULE:WKST=MO;BYDAY=MO,TH;FREQ=WEEKLY;COUNT=50\r\n\
         EXDATE;TZID=Europe/Berlin:20260112T090000\r\nEXDATE;TZID=Europe/Berlin:20260115T090000\r\n{}",
        word(n),
        some(n, &["RDATE;VALUE=PERIOD:20260301T100000Z/PT1H,20260302T100000Z/PT2H"]),
    ));
    let range = if n.is_multiple_of(5) { ";RANGE=THISANDFUTURE" } else { "" };
    let moved = head(&format!(
        "RECURRENCE-ID{range};TZID=Europe/Berlin:20260119T090000\r\nDTSTART;TZID=Europe/Berlin:20260119T110000\r\nDURATION:PT30M\r\nSUMMARY:{} (moved)\r\nSEQUENCE:1\r\n",
        word(n)
    ));
    let other = head(
        "RECURRENCE-ID;TZID=Europe/Berlin:20260122T090000\r\nDTSTART;TZID=Europe/Berlin:20260122T090000\r\nSTATUS:CANCELLED\r\nSUMMARY:Off\r\n",
    );
    match n % 3 {
        0 => format!("{moved}{master}"),
        1 => format!("{master}{moved}{other}"),
        _ => master,
    }
}

/// Lines folded so that none has more than `width` bytes, never inside a character.
pub fn folded(text: &str, width: usize, fold: &str) -> String {
    let mut out = String::new();
    for line in unfolded(text).lines() {
        let mut room = width;
        for c in line.chars() {
            if c.len_utf8() > room {
                out.push_str(fold);
                room = width - 1;
            }
            room -= c.len_utf8();
            out.push(c);
        }
        out.push_str("\r\n");
    }
    out
}

pub fn unfolded(text: &str) -> String {
    text.replace("\r\n ", "").replace("\r\n\t", "")
}
