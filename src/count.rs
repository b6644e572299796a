//! How many there are of something, as people read it.

/// "1 file", "2 files".
pub fn counted(number: impl ToString, one: &str) -> String {
    let number = number.to_string();
    let ending = if number == "1" { "" } else { "s" };
    format!("{number} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let said = [0, 1, 2].map(|number| counted(number, "file"));
        assert_eq!(said, ["0 files", "1 file", "2 files"]);
    }
}
