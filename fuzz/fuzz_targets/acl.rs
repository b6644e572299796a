//! `.acl.json`: what is taken says what it says when written again, what is unknown is refused, and the most specific entry decides.

#![no_main]

use kalends::acl::{Acl, Groups, GroupsUnknown, Principal, Role, Subject};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let acl = match Acl::parse(text) {
        Ok(acl) => acl,
        Err(error) => {
            assert!(error.line() <= text.split('\n').count(), "{error}");
            return;
        }
    };
    let written = acl.to_text();
    assert_eq!(Acl::parse(&written).expect("our own text"), acl, "{written}");
    nothing_unknown_was_taken(text, &acl);
    let askers = ["alice", "bob", "eve"].map(|name| user(name, Groups::Known(groups(&acl))));
    let others = [user("bob", Groups::Known(Vec::new())), user("bob", Groups::Unknown), Principal::Nobody];
    askers.iter().chain(&others).for_each(|who| assert_eq!(role(&acl, who), by_hand(&acl, who), "{who:?}"));
});

fn user(name: &str, groups: Groups) -> Principal {
    Principal::User { name: name.to_owned(), groups }
}

/// Every other group that the file names.
fn groups(acl: &Acl) -> Vec<String> {
    let named = acl.entries().filter_map(|(subject, _)| match subject {
        Subject::Group(group) => Some(group.clone()),
        _ => None,
    });
    named.step_by(2).collect()
}

fn nothing_unknown_was_taken(text: &str, acl: &Acl) {
    let Ok(Value::Object(entries)) = serde_json::from_str(text) else { panic!("no object was taken") };
    assert_eq!(acl.entries().count(), entries.len());
    for (subject, role) in entries {
        let subject: Subject = subject.parse().expect("a subject");
        let role: Role = role.as_str().expect("a text").parse().expect("a role");
        assert!(acl.entries().any(|entry| entry == (&subject, role)), "{subject}");
    }
}

fn role(acl: &Acl, who: &Principal) -> Result<Role, GroupsUnknown> {
    acl.role(who).map(|(role, _)| role)
}

/// The rule of the design, step by step.
fn by_hand(acl: &Acl, who: &Principal) -> Result<Role, GroupsUnknown> {
    let of = |wanted: &Subject| acl.entries().find(|(subject, _)| *subject == wanted).map(|(_, role)| role);
    let Principal::User { name, groups } = who else { return Ok(of(&Subject::Anyone).unwrap_or(Role::None)) };
    let names_groups = acl.entries().any(|(subject, _)| matches!(subject, Subject::Group(_)));
    let mut of_groups = Vec::new();
    match groups {
        Groups::Unknown if names_groups => return Err(GroupsUnknown),
        Groups::Unknown => {}
        Groups::Known(groups) => {
            of_groups.extend(groups.iter().filter_map(|group| of(&Subject::Group(group.clone()))));
        }
    }
    let by_group =
        if of_groups.contains(&Role::None) { Some(Role::None) } else { of_groups.into_iter().max() };
    let found = of(&Subject::User(name.clone())).or(by_group).or(of(&Subject::Authenticated));
    Ok(found.or(of(&Subject::Anyone)).unwrap_or(Role::None))
}
