//! The properties by which programs tell that an item was edited.

use super::line::Property;

/// A property that tells versions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    RecurrenceId,
    Dtstamp,
    LastModified,
    Sequence,
    Generation,
}

impl Stamp {
    pub fn of(property: &Property<'_>) -> Option<Stamp> {
        match property.name.as_bytes()[0].to_ascii_uppercase() {
            b'R' if property.is("RECURRENCE-ID") => Some(Stamp::RecurrenceId),
            b'D' if property.is("DTSTAMP") => Some(Stamp::Dtstamp),
            b'L' if property.is("LAST-MODIFIED") => Some(Stamp::LastModified),
            b'S' if property.is("SEQUENCE") => Some(Stamp::Sequence),
            b'X' if property.is("X-MOZ-GENERATION") => Some(Stamp::Generation),
            _ => None,
        }
    }
}

/// The digits of a value as one number.
pub fn digits(value: &str) -> u64 {
    value
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}
