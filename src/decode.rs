//! What serde's derive leaves open: text that borrows from the payload, `null` for a default,
//! objects that are objects, and the field at which decoding failed.

use derive_more::Deref;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, marker::PhantomData};

/// A value that is its type's default when it is absent or `null`, as for the API server.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Deref)]
#[deref(forward)]
#[serde(
    from = "Option<T>",
    bound(deserialize = "T: Deserialize<'de> + Default")
)]
pub struct OrDefault<T>(T);

impl<T> OrDefault<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> OrDefault<Object<T>> {
    pub fn into_object(self) -> T {
        self.0.0
    }
}

impl<T: Default> From<Option<T>> for OrDefault<T> {
    fn from(value: Option<T>) -> Self {
        Self(value.unwrap_or_default())
    }
}

/// Text; empty when absent or `null`.
pub type Text<'a> = OrDefault<Borrowed<'a>>;

/// Text that borrows from the payload unless it has escapes in it. In an `Option` a plain `Cow`
/// would always be copied.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, Deref)]
#[deref(forward)]
#[serde(transparent)]
pub struct Borrowed<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A struct that is decoded from a JSON object only. serde's derive would take an array as well,
/// with the fields in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deref)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// The value at a path of members.
pub fn find_value<'a>(json: &'a str, path: &[&str]) -> Option<&'a RawValue> {
    let (first, rest) = path.split_first()?;
    let value = find_member(json, first)?;
    if rest.is_empty() {
        return Some(value);
    }
    find_value(value.get(), rest)
}

/// A member of an object that may have very many, such as annotations: none of the others is kept.
/// The last of a name counts, as for the API server.
fn find_member<'a>(json: &'a str, key: &str) -> Option<&'a RawValue> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(MemberVisitor { key }).ok()?
}

struct MemberVisitor<'k> {
    key: &'k str,
}

impl<'de> Visitor<'de> for MemberVisitor<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((key, value)) = members.next_entry::<Borrowed, &RawValue>()? {
            if *key == *self.key {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

/// The field at which decoding an object failed, and why. The path is empty for the object itself.
#[derive(Debug)]
pub struct DecodeError {
    pub path: String,
    pub message: String,
}

/// Decodes an object.
pub fn decode_object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, DecodeError> {
    let decoded: Result<Object<T>, _> = serde_json::from_str(json);
    decoded.map(|Object(object)| object).map_err(|e| {
        let (path, message) = locate(json, &e);
        DecodeError { path, message }
    })
}

/// The path of the field at which serde_json gave up, and what it says about it. The path is empty
/// for text that isn't JSON.
fn locate(json: &str, error: &serde_json::Error) -> (String, String) {
    let message = error.to_string();
    if !error.is_data() {
        return (String::new(), message);
    }
    let lines = json
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1));
    let read = lines.map(str::len).sum::<usize>() + error.column();
    let path = path_at(json, read).unwrap_or_default();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    (path, message[..end].to_owned())
}

/// The path of the value at which reading a JSON text ended.
fn path_at(json: &str, end: usize) -> Option<String> {
    // For each object and list that is open, the key or the index.
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(i) = json.get(at..end)?.find(['{', '[', '}', ']', ',', '"']) {
        at += i + 1;
        match json.as_bytes()[at - 1] {
            b'{' => path.push((String::new(), None)),
            b'[' => path.push((String::new(), Some(0))),
            b',' => {
                let (_, index) = path.last_mut()?;
                *index = index.map(|index| index + 1);
            }
            b'"' => {
                let rest = serde_json::Deserializer::from_str(&json[at - 1..]);
                let text: &RawValue = rest.into_iter().next()?.ok()?;
                at += text.get().len() - 1;
                if json[at..].trim_start().starts_with(':') {
                    path.last_mut()?.0 = serde_json::from_str(text.get()).ok()?;
                }
            }
            _ => drop(path.pop()), // } or ]
        }
    }
    let steps = path.into_iter().map(|(key, index)| match index {
        Some(index) => format!("[{index}]"),
        None => format!(".{key}"),
    });
    Some(steps.collect::<String>().trim_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only whether it can be decoded counts")]
    struct Sample<'a> {
        #[serde(borrow)]
        text: Option<Text<'a>>,
        number: Option<i64>,
        list: Option<Vec<Object<Sample<'a>>>>,
        map: Option<BTreeMap<String, Object<Sample<'a>>>>,
    }

    #[test]
    fn the_path_of_a_decode_error() {
        for (name, json, path) in [
            ("an array for the object", "[]", ""),
            ("text for the object", r#""x""#, ""),
            ("text for a number", r#"{"number":"1"}"#, "number"),
            (
                "a number for text",
                r#"{"x":[{"text":1}],"text":1}"#,
                "text",
            ),
            (
                "a number that is too large",
                r#"{"number":10000000000000000000}"#,
                "number",
            ),
            ("a fraction", "{\n  \"number\": 1.5\n}", "number"),
            ("an object for a list", r#"{"list":{}}"#, "list"),
            (
                "text in a list",
                r#"{"list":[{},{"text":"a,]}\"{["},"b"]}"#,
                "list[2]",
            ),
            (
                "an array in a list",
                r#"{"list":[{"list":[]},[]]}"#,
                "list[1]",
            ),
            (
                "a field of an element",
                r#"{"list":[{"x":[1,2]},{"number":true}]}"#,
                "list[1].number",
            ),
            (
                "a value of a map",
                r#"{"map":{"a":{},"b.c/d":3}}"#,
                "map.b.c/d",
            ),
            ("a key with escapes", r#"{"map":{"\u0061":3}}"#, "map.a"),
            (
                "half a character before it",
                r#"{"x":"\ud800","number":true}"#,
                "number",
            ),
            (
                "a duplicate",
                r#"{"list":[{}],"text":"x","list":[]}"#,
                "list",
            ),
            (
                "a duplicate in an element",
                r#"{"list":[{"text":"x","text":"x"}]}"#,
                "list[0].text",
            ),
        ] {
            let error = serde_json::from_str::<Object<Sample>>(json).expect_err(name);
            let (found, message) = locate(json, &error);
            assert_eq!(found, path, "{name}: {message}");
            assert!(!message.contains(" at line "), "{name}: {message}");
        }
    }

    #[test]
    fn text_that_is_not_json_has_no_path() {
        for json in ["", "{", r#"{"text":"#, r#"{"text":"a\"#, "x"] {
            let error = serde_json::from_str::<Object<Sample>>(json).expect_err(json);
            let (path, message) = locate(json, &error);
            assert_eq!(path, "", "{json}");
            assert!(message.contains(" at line "), "{json}: {message}");
        }
    }

    #[test]
    fn text_borrows_unless_it_has_escapes() {
        let sample: Object<Sample> = serde_json::from_str(r#"{"text":"plain"}"#).unwrap();
        assert!(matches!(
            sample.text,
            Some(OrDefault(Borrowed(Cow::Borrowed("plain"))))
        ));
        let sample: Object<Sample> = serde_json::from_str(r#"{"text":"\n"}"#).unwrap();
        assert!(
            matches!(&sample.text, Some(OrDefault(Borrowed(Cow::Owned(text)))) if text == "\n")
        );
    }
}
