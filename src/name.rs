//! Checked names: of directories in the tree, and of users, whose homes are such. Checked once, then trusted.

use std::fmt;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// One segment of a path: UTF-8, NFC, 1 to 250 bytes, free of what a file system, a shell or a reader could misread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name, brought to NFC, if it keeps the rules.
    pub fn new(text: &str) -> Option<Name> {
        let name: String = if is_nfc(text) { text.to_owned() } else { text.nfc().collect() };
        Name::check(&name).then_some(Name(name))
    }

    fn check(name: &str) -> bool {
        (1..=250).contains(&name.len())
            && !name.starts_with(['.', '~'])
            && !name.ends_with(['.', ' '])
            && !name.chars().any(|c| matches!(c, '/' | '\\') || c.is_control() || is_bidi(c))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change the direction of what stands around them (Unicode UAX #9): what has them lies about itself.
pub fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mislead_are_refused() {
        let long = "x".repeat(251);
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "~alice",
            "a/b",
            "a\\b",
            "a\0",
            "a\n",
            "end.",
            "end ",
            "a\u{202e}b",
            "\u{7f}",
            &long,
        ] {
            assert_eq!(Name::new(name), None, "{name:?}");
        }
    }

    #[test]
    fn odd_but_honest_names_are_taken() {
        let long = "x".repeat(250);
        for name in
            ["a", "Work Projects", "#%20", "it's \"quoted\"", "\u{1f4c5}", " lead", "a~", "x.ics", &long]
        {
            assert_eq!(Name::new(name).as_ref().map(Name::as_str), Some(name));
        }
    }

    #[test]
    fn a_decomposed_name_is_composed() {
        assert_eq!(Name::new("Mu\u{308}ller").as_ref().map(Name::as_str), Some("M\u{fc}ller"));
    }
}
