//! What a browser sees at `/`: one static page that explains the addresses; and what search engines see, which is nothing.
//!
//! It knows nobody's name, runs no script and sets no cookie.

use super::target::{FORMS, Urls};
use super::xml::escape;

/// The page, with a place for the addresses.
const FRAME: &str = include_str!("page.html");

/// The headers of the page.
pub const HEADERS: [(&str, &str); 5] = [
    ("Content-Type", "text/html; charset=utf-8"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
];

/// `/robots.txt`, as text/plain (RFC 9309): calendars are nothing for a search engine.
pub const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// The page as HTML, with the addresses that are `served`.
pub fn html(urls: &Urls, served: impl Fn(&str) -> bool) -> String {
    let rows: String = FORMS
        .iter()
        .filter(|(form, _)| served(form))
        .map(|(form, what)| {
            let (url, what) = (escape(&format!("{}{form}", urls.base())), escape(what));
            format!("<tr><td><code>{url}</code></td><td>{what}</td></tr>\n")
        })
        .collect();
    FRAME.replace("<!-- addresses -->\n", &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_form_below_the_base() {
        let page = html(&Urls::new(Some("https://cal.example.org/x"), None), |_| true);
        for (form, _) in FORMS {
            assert!(page.contains(&format!("<code>https://cal.example.org/x{form}</code>")), "{form}");
        }
        assert!(!page.contains("<!--"));
        let page = html(&Urls::default(), |form| form.ends_with(".ics"));
        assert!(page.contains("<code>/ical/main.ics</code>") && !page.contains(".ifb</code>"));
    }

    #[test]
    fn the_page_runs_nothing_and_a_base_cannot_write_into_it() {
        let page = html(&Urls::new(Some("https://h<script>\"&"), None), |_| true);
        assert!(page.contains("<code>https://h&lt;script&gt;&quot;&amp;/ical/main.ics</code>"));
        assert!(!page.contains("<script"));
    }
}
