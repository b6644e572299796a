//! XML bodies: any bytes are refused or read to their end within the caps, and escaped text is text.

#![no_main]

use kalends::error::Error;
use kalends::http::propfind::Wanted;
use kalends::http::xml::{Reader, Step, escape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    match names(body) {
        Ok(_) => {
            let text = String::from_utf8_lossy(body);
            assert!(!text.trim_start_matches('\u{feff}').trim_start().starts_with("<!DOCTYPE"), "{text}");
        }
        Err(Error::BadRequest(why)) => assert!(!why.is_empty()),
        Err(other) => panic!("no error of a body: {other}"),
    }
    // What is understood is sound as a whole.
    if Wanted::parse(body).is_ok() {
        assert!(body.trim_ascii().is_empty() || names(body).is_ok());
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let inside = format!("<a b=\"{0}\">{0}</a>", escape(text));
        assert_eq!(names(inside.as_bytes()).expect("escaped text"), ["a"]);
    }
});

/// The local names of all elements, in the order in which they open.
fn names(body: &[u8]) -> Result<Vec<String>, Error> {
    let mut reader = Reader::new(body)?;
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    loop {
        match reader.step()? {
            Step::Open(name) => {
                depth += 1;
                assert!(depth <= 64);
                names.push(name.local().to_owned());
            }
            Step::Close => depth = depth.checked_sub(1).expect("no end without a beginning"),
            Step::End => {
                assert!(depth == 0 && !names.is_empty());
                return Ok(names);
            }
        }
    }
}
