//! The 207 that answers a PROPFIND: for each resource the properties that it has, and the names of those it has not.

use std::fmt::Write;
use std::time::SystemTime;

use actix_web::HttpResponse;

use super::{DAV, Wanted};
use crate::acl::Role;
use crate::http::headers::http_date;
use crate::http::xml::{QName, escape};

/// The namespace of `calendar-color`, which is Apple's and which all clients read.
const APPLE: &str = "http://apple.com/ns/ical/";

/// The Content-Type of what is written here.
const XML_TYPE: &str = "application/xml; charset=utf-8";

const FINITE_DEPTH: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";

/// What an address is to DAV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An `.ics` address: a plain resource of type `text/calendar`, with no members.
    Calendar,
    Collection,
}

/// What a PROPFIND tells of one address.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The path of the URL, percent-encoded.
    pub href: String,
    pub kind: Kind,
    pub display_name: Option<String>,
    /// `#RRGGBB`
    pub color: Option<String>,
    /// With its quotes, as in the header.
    pub etag: Option<String>,
    pub modified: Option<SystemTime>,
    /// In bytes, of what a GET answers.
    pub length: Option<u64>,
    /// What the asker may do here.
    pub role: Role,
}

/// Every property that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    ResourceType,
    ContentType,
    ContentLength,
    Etag,
    LastModified,
    DisplayName,
    SupportedLock,
    Color,
    Privileges,
}

impl Property {
    const EVERY: [Property; 9] = [
        Property::ResourceType,
        Property::ContentType,
        Property::ContentLength,
        Property::Etag,
        Property::LastModified,
        Property::DisplayName,
        Property::SupportedLock,
        Property::Color,
        Property::Privileges,
    ];

    fn of(name: &QName) -> Option<Property> {
        Property::EVERY.into_iter().find(|property| name.is(property.namespace(), property.local()))
    }

    fn namespace(self) -> &'static str {
        if self == Property::Color { APPLE } else { DAV }
    }

    fn local(self) -> &'static str {
        match self {
            Property::ResourceType => "resourcetype",
            Property::ContentType => "getcontenttype",
            Property::ContentLength => "getcontentlength",
            Property::Etag => "getetag",
            Property::LastModified => "getlastmodified",
            Property::DisplayName => "displayname",
            Property::SupportedLock => "supportedlock",
            Property::Color => "calendar-color",
            Property::Privileges => "current-user-privilege-set",
        }
    }

    /// The element's name with the prefix that the root declares.
    fn tag(self) -> String {
        format!("{}:{}", if self.namespace() == APPLE { "A" } else { "D" }, self.local())
    }

    /// The value as XML, if the resource has this property.
    fn value(self, resource: &Resource) -> Option<String> {
        match self {
            Property::ResourceType => Some(match resource.kind {
                Kind::Calendar => String::new(),
                Kind::Collection => "<D:collection/>".to_owned(),
            }),
            // With a charset Thunderbird would not take it for a calendar.
            Property::ContentType => (resource.kind == Kind::Calendar).then(|| "text/calendar".to_owned()),
            Property::ContentLength => resource.length.map(|length| length.to_string()),
            Property::Etag => resource.etag.as_deref().map(escape),
            Property::LastModified => resource.modified.map(http_date),
            Property::DisplayName => resource.display_name.as_deref().map(escape),
            // No kind of lock is supported (RFC 4918 §15.10).
            Property::SupportedLock => Some(String::new()),
            Property::Color => resource.color.as_deref().map(escape),
            Property::Privileges => Some(privileges(resource.role)),
        }
    }

    fn print(self, value: &str) -> String {
        let tag = self.tag();
        if value.is_empty() { format!("<{tag}/>") } else { format!("<{tag}>{value}</{tag}>") }
    }
}

/// The privileges of a role (RFC 3744 §3). Clients take a calendar for writable by `write-content` or `write`;
/// the latter holds `write-properties`, which only a master has.
fn privileges(role: Role) -> String {
    let names: &[&str] = match role {
        Role::None | Role::Freebusy => &[],
        Role::Viewer => &["read", "read-current-user-privilege-set"],
        Role::Contributor => &["read", "read-current-user-privilege-set", "write-content", "bind"],
        Role::Editor => &["read", "read-current-user-privilege-set", "write-content", "bind", "unbind"],
        Role::Master => &[
            "all",
            "read",
            "read-current-user-privilege-set",
            "write",
            "write-content",
            "write-properties",
            "bind",
            "unbind",
        ],
    };
    names.iter().map(|name| format!("<D:privilege><D:{name}/></D:privilege>")).collect()
}

/// The answer to a PROPFIND: what is wanted of each of these.
pub fn multi_status(wanted: &Wanted, resources: &[Resource]) -> HttpResponse {
    HttpResponse::MultiStatus().content_type(XML_TYPE).body(written(wanted, resources))
}

/// The answer to one of infinite depth on a collection (RFC 4918 §9.1.1).
pub fn finite_depth() -> HttpResponse {
    HttpResponse::Forbidden().content_type(XML_TYPE).body(FINITE_DEPTH)
}

/// The body of a 207 (RFC 4918 §13).
fn written(wanted: &Wanted, resources: &[Resource]) -> String {
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"{DAV}\" xmlns:A=\"{APPLE}\">\n"
    );
    for resource in resources {
        let _ = writeln!(
            body,
            "<D:response><D:href>{}</D:href>{}</D:response>",
            escape(&resource.href),
            propstats(wanted, resource)
        );
    }
    body.push_str("</D:multistatus>\n");
    body
}

fn propstats(wanted: &Wanted, resource: &Resource) -> String {
    match wanted {
        Wanted::Names => {
            let has = Property::EVERY.into_iter().filter(|property| property.value(resource).is_some());
            propstat("200 OK", &has.map(|property| property.print("")).collect::<String>())
        }
        Wanted::Only(names) => found_and_missing(names, String::new(), resource),
        Wanted::All { include } => {
            // RFC 3744 §5.4 keeps the privileges out unless they are asked for.
            let common = Property::EVERY.into_iter().filter(|property| *property != Property::Privileges);
            let values = common.filter_map(|property| Some(property.print(&property.value(resource)?)));
            let beside: Vec<QName> = include
                .iter()
                .filter(|name| Property::of(name).is_none_or(|known| known == Property::Privileges))
                .cloned()
                .collect();
            found_and_missing(&beside, values.collect(), resource)
        }
    }
}

/// The properties in `names` after those already in `found`, and in a 404 those that the resource has not.
fn found_and_missing(names: &[QName], mut found: String, resource: &Resource) -> String {
    let mut missing = String::new();
    for name in names {
        match Property::of(name).and_then(|property| Some(property.print(&property.value(resource)?))) {
            Some(property) => found.push_str(&property),
            None => missing.push_str(&empty(name)),
        }
    }
    match (found.is_empty(), missing.is_empty()) {
        (false, false) => propstat("200 OK", &found) + &propstat("404 Not Found", &missing),
        (true, false) => propstat("404 Not Found", &missing),
        (_, true) => propstat("200 OK", &found),
    }
}

fn propstat(status: &str, properties: &str) -> String {
    format!("<D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>")
}

/// An element of that name in whatever namespace, without content.
fn empty(name: &QName) -> String {
    let (namespace, local) = (name.namespace(), name.local());
    match Property::of(name) {
        Some(known) => known.print(""),
        None if namespace.is_empty() => format!("<{local}/>"),
        None if namespace == DAV => format!("<D:{local}/>"),
        None => format!("<X:{local} xmlns:X=\"{}\"/>", escape(namespace)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::xml::{Reader, Step};
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
        <D:multistatus xmlns:D=\"DAV:\" xmlns:A=\"http://apple.com/ns/ical/\">\n";

    fn calendar() -> Resource {
        Resource {
            href: "/ical/folder/R&D.ics".to_owned(),
            kind: Kind::Calendar,
            display_name: Some("R&D <new>".to_owned()),
            color: Some("#FF8800".to_owned()),
            etag: Some("\"abc\"".to_owned()),
            modified: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)),
            length: Some(1234),
            role: Role::Viewer,
        }
    }

    fn folder() -> Resource {
        Resource {
            href: "/ical/folder/".to_owned(),
            kind: Kind::Collection,
            display_name: None,
            color: None,
            etag: None,
            modified: None,
            length: None,
            role: Role::Master,
        }
    }

    fn answer(body: &str, resources: &[Resource]) -> String {
        written(&Wanted::parse(body.as_bytes()).expect("a good propfind"), resources)
    }

    #[test]
    fn thunderbird_sees_a_calendar_it_can_read() {
        let body = "<D:propfind xmlns:D=\"DAV:\" xmlns:A=\"http://apple.com/ns/ical/\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">\
            <D:prop><D:getcontenttype/><D:resourcetype/><D:displayname/><A:calendar-color/>\
            <D:current-user-privilege-set/><C:calendar-description/></D:prop></D:propfind>";
        let expected = format!(
            "{HEAD}<D:response><D:href>/ical/folder/R&amp;D.ics</D:href><D:propstat><D:prop>\
            <D:getcontenttype>text/calendar</D:getcontenttype><D:resourcetype/>\
            <D:displayname>R&amp;D &lt;new&gt;</D:displayname><A:calendar-color>#FF8800</A:calendar-color>\
            <D:current-user-privilege-set><D:privilege><D:read/></D:privilege>\
            <D:privilege><D:read-current-user-privilege-set/></D:privilege></D:current-user-privilege-set>\
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop>\
            <X:calendar-description xmlns:X=\"urn:ietf:params:xml:ns:caldav\"/>\
            </D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>\n</D:multistatus>\n"
        );
        assert_eq!(answer(body, &[calendar()]), expected);
    }

    #[test]
    fn an_empty_body_is_answered_with_all_but_the_privileges() {
        let expected = format!(
            "{HEAD}<D:response><D:href>/ical/folder/</D:href><D:propstat><D:prop>\
            <D:resourcetype><D:collection/></D:resourcetype><D:supportedlock/>\
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n\
            <D:response><D:href>/ical/folder/R&amp;D.ics</D:href><D:propstat><D:prop>\
            <D:resourcetype/><D:getcontenttype>text/calendar</D:getcontenttype>\
            <D:getcontentlength>1234</D:getcontentlength><D:getetag>&quot;abc&quot;</D:getetag>\
            <D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>\
            <D:displayname>R&amp;D &lt;new&gt;</D:displayname><D:supportedlock/>\
            <A:calendar-color>#FF8800</A:calendar-color>\
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n</D:multistatus>\n"
        );
        assert_eq!(answer("", &[folder(), calendar()]), expected);
    }

    #[test]
    fn include_adds_what_all_leaves_out_and_nothing_twice() {
        let body = "<propfind xmlns=\"DAV:\"><allprop/><include><resourcetype/><owner/><current-user-privilege-set/></include></propfind>";
        let viewer = Resource { role: Role::None, ..folder() };
        let expected = format!(
            "{HEAD}<D:response><D:href>/ical/folder/</D:href><D:propstat><D:prop>\
            <D:resourcetype><D:collection/></D:resourcetype><D:supportedlock/><D:current-user-privilege-set/>\
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop><D:owner/>\
            </D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>\n</D:multistatus>\n"
        );
        assert_eq!(answer(body, &[viewer]), expected);
    }

    #[test]
    fn propname_names_what_is_there() {
        let expected = format!(
            "{HEAD}<D:response><D:href>/ical/folder/</D:href><D:propstat><D:prop>\
            <D:resourcetype/><D:supportedlock/><D:current-user-privilege-set/>\
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n</D:multistatus>\n"
        );
        assert_eq!(answer("<propfind xmlns=\"DAV:\"><propname/></propfind>", &[folder()]), expected);
    }

    #[test]
    fn what_a_resource_has_not_is_missing_under_its_own_name() {
        let body = "<propfind xmlns=\"DAV:\" xmlns:A=\"http://apple.com/ns/ical/\"><prop><getcontenttype/><A:calendar-color/>\
            <n xmlns=\"\"/><q:m xmlns:q=\"a&quot;b\"/></prop></propfind>";
        let expected = format!(
            "{HEAD}<D:response><D:href>/ical/folder/</D:href><D:propstat><D:prop>\
            <D:getcontenttype/><A:calendar-color/><n/><X:m xmlns:X=\"a&quot;b\"/>\
            </D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>\n</D:multistatus>\n"
        );
        assert_eq!(answer(body, &[folder()]), expected);
    }

    #[test]
    fn no_resources_and_no_properties_are_answers_too() {
        assert_eq!(answer("", &[]), format!("{HEAD}</D:multistatus>\n"));
        let expected = format!(
            "{HEAD}<D:response><D:href>/ical/folder/</D:href><D:propstat><D:prop></D:prop>\
            <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n</D:multistatus>\n"
        );
        assert_eq!(answer("<propfind xmlns=\"DAV:\"><prop/></propfind>", &[folder()]), expected);
    }

    #[test]
    fn who_may_write_is_told_so() {
        for (role, writes) in [
            (Role::None, false),
            (Role::Freebusy, false),
            (Role::Viewer, false),
            (Role::Contributor, true),
            (Role::Editor, true),
            (Role::Master, true),
        ] {
            let set = privileges(role);
            assert_eq!(set.contains("<D:write-content/>"), writes, "{role}");
            assert_eq!(set.contains("<D:read/>"), role >= Role::Viewer, "{role}");
            assert_eq!(set.contains("<D:write-properties/>"), role == Role::Master, "{role}");
            assert_eq!(set.contains("<D:write/>"), role == Role::Master, "{role}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_and_told_the_answer_is_sound(
            text in "\\PC*|[\\x00-\\x7f]{0,20}",
            namespace in "\\PC{0,10}",
            local in "\\PC{0,4}|[a-z_][a-z0-9.-]{0,5}",
        ) {
            let asked = [QName::new(&namespace, &local), QName::new(DAV, "displayname")];
            let wanted = Wanted::Only(asked.into_iter().flatten().collect());
            let resource = Resource { display_name: Some(text.clone()), href: text, ..calendar() };
            let body = written(&wanted, &[resource]);
            let mut reader = Reader::new(body.as_bytes()).expect("UTF-8");
            while reader.step().expect("sound XML") != Step::End {}
        }
    }
}
