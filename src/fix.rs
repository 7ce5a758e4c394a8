//! Edits on the original text of an object: only the members that have to change are written,
//! every other byte stays as it came.

use crate::message::Joined;
use std::collections::BinaryHeap;
use std::fmt::{self, Display};

/// One edit.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Replaces a part of the object's text; an empty part is a place to insert at.
    Replace {
        /// The part, a slice of the payload.
        at: &'a str,
        /// What comes there.
        with: String,
    },
    /// Replaces a member of an object, key and value.
    ReplaceMember {
        /// Its value as it is now, a slice of the payload.
        value: &'a str,
        /// The new member, as JSON.
        with: String,
    },
}

/// A member that an edit sets.
#[derive(Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name.
    pub key: &'static str,
    /// Its value as it is now, `null` included; `None` when it isn't there.
    pub now: Option<&'a str>,
    /// The value to set, as JSON.
    pub value: String,
}

impl Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "\"{}\":{}", self.key, self.value)
    }
}

impl<'a> Edit<'a> {
    fn insert_before(text: &'a str, with: String) -> Self {
        Self::Replace { at: text.get(..0).unwrap_or_default(), with }
    }
}

/// Sets members of an object: replaces the values of those that are there and puts the others
/// first.
pub fn set<'a>(object: &'a str, members: &[Member<'a>]) -> Vec<Edit<'a>> {
    let mut edits = Vec::new();
    let mut missing: Vec<&Member> = Vec::new();
    for member in members {
        match member.now {
            Some(at) => edits.push(Edit::Replace { at, with: member.value.clone() }),
            None => missing.push(member),
        }
    }
    if missing.is_empty() {
        return edits;
    }
    let with = Joined(&missing, ",").to_string();
    edits.push(match object.strip_prefix('{') {
        Some(rest) if rest.trim_start().starts_with('}') => Edit::insert_before(rest, with),
        Some(rest) => Edit::insert_before(rest, with + ","),
        // `null`, which the API server reads like an empty object.
        None => Edit::Replace { at: object, with: format!("{{{with}}}") },
    });
    edits
}

/// A number of bytes that is enough for what edits write.
pub fn added(edits: &[Edit]) -> usize {
    let length = |edit: &Edit| match edit {
        Edit::Replace { with, .. } | Edit::ReplaceMember { with, .. } => with.len(),
    };
    edits.iter().map(length).sum()
}

/// Appends the object with its edits to `out`. `None`, which no rule's edits should bring about,
/// when an edit lies outside of the object or two of them overlap.
pub fn apply<'a>(object: &'a str, edits: Vec<Edit<'a>>, out: &mut String) -> Option<()> {
    let offset = |at: &str| at.as_ptr().addr().checked_sub(object.as_ptr().addr());
    // A heap is a good deal less code than the standard library's sort.
    let mut replacements = BinaryHeap::with_capacity(edits.len());
    for edit in edits {
        let (at, with) = match edit {
            Edit::Replace { at, with } => (at, with),
            Edit::ReplaceMember { value, with } => {
                let start = offset(value)?;
                let key = key_start(object.get(..start)?)?;
                (object.get(key..start + value.len())?, with)
            }
        };
        let start = offset(at)?;
        replacements.push((start, start.checked_add(at.len())?, with));
    }

    let mut copied = 0;
    for (start, end, with) in replacements.into_sorted_vec() {
        out.push_str(object.get(copied..start)?);
        out.push_str(&with);
        copied = end;
    }
    out.push_str(object.get(copied..)?);
    Some(())
}

/// Where the key begins that stands before a value.
fn key_start(before_value: &str) -> Option<usize> {
    let key = before_value.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?;
    // A quote that belongs to the key follows an odd number of backslashes.
    let escapes = |at: usize| {
        let before = key.as_bytes().get(..at).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count()
    };
    key.rmatch_indices('"').map(|(at, _)| at).find(|at| escapes(*at) % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited<'a>(object: &'a str, edits: Vec<Edit<'a>>) -> Option<String> {
        let mut out = String::new();
        apply(object, edits, &mut out).map(|()| out)
    }

    #[test]
    fn members_are_set_and_the_rest_stays() {
        for (object, now, expected) in [
            ("{}", None, r#"{"a":7}"#),
            ("{ }", None, r#"{"a":7 }"#),
            ("null", None, r#"{"a":7}"#),
            (r#"{"b" : [1, 2]}"#, None, r#"{"a":7,"b" : [1, 2]}"#),
            (r#"{"b":1, "a" : 9 }"#, Some("9"), r#"{"b":1, "a" : 7 }"#),
            (r#"{"a":null}"#, Some("null"), r#"{"a":7}"#),
        ] {
            let now = now.map(|now| object.find(now).map(|i| &object[i..i + now.len()]).unwrap());
            let member = Member { key: "a", now, value: "7".to_owned() };
            assert_eq!(edited(object, set(object, &[member])).as_deref(), Some(expected));
        }
    }

    #[test]
    fn two_missing_members_are_one_edit() {
        let members = ["a", "b"].map(|key| Member { key, now: None, value: "true".to_owned() });
        assert_eq!(edited("{}", set("{}", &members)).unwrap(), r#"{"a":true,"b":true}"#);
    }

    #[test]
    fn a_member_is_replaced_with_its_key() {
        for object in [
            r#"{"a":1,"secret":{"b":2},"c":3}"#,
            r#"{"a":1,"secr\u0065t":{"b":2},"c":3}"#,
            r#"{"a":1,"sec\"ret":{"b":2},"c":3}"#,
            r#"{"a":1,"sec\\":{"b":2},"c":3}"#,
            "{\"a\":1,\"secret\" :\n {\"b\":2},\"c\":3}",
        ] {
            let at = object.find("{\"b\"").unwrap();
            let (value, with) = (&object[at..at + 7], r#""new":4"#.to_owned());
            let edits = vec![Edit::ReplaceMember { value, with }];
            assert_eq!(edited(object, edits).as_deref(), Some(r#"{"a":1,"new":4,"c":3}"#));
        }
    }

    #[test]
    fn edits_apply_in_the_order_of_the_text() {
        let object = r#"{"a":1,"b":2}"#;
        let replace = |range, with: &str| Edit::Replace { at: &object[range], with: with.into() };
        let edits = vec![replace(11..12, "22"), replace(5..6, "11"), replace(1..1, r#""c":3,"#)];
        assert_eq!(edited(object, edits).unwrap(), r#"{"c":3,"a":11,"b":22}"#);
    }

    #[test]
    fn an_edit_that_does_not_fit_is_refused() {
        let (object, other) = (r#"{"a":1}"#, String::from("elsewhere"));
        let replace = |at| Edit::Replace { at, with: String::new() };
        assert_eq!(edited(object, vec![replace(&other)]), None);
        assert_eq!(edited(object, vec![replace(&object[1..4]), replace(&object[2..5])]), None);
    }
}
