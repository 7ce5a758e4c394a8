//! What serde's derive leaves open: text that borrows from the payload, `null` for a default,
//! objects that are objects, and the field at which decoding failed.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// Text that borrows from the payload unless it has escapes in it; empty when absent or `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Option<Borrowed<'a>>", bound(deserialize = "'de: 'a"))]
pub struct Text<'a>(Cow<'a, str>);

/// In an `Option` a plain `Cow` would always be copied.
#[derive(Deserialize)]
#[serde(transparent)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<Option<Borrowed<'a>>> for Text<'a> {
    fn from(text: Option<Borrowed<'a>>) -> Self {
        Self(text.map_or(Cow::Borrowed(""), |text| text.0))
    }
}

impl From<&'static str> for Text<'_> {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A value that is its type's default when it is absent or `null`, as for the API server.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Option<T>", bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct OrDefault<T>(T);

impl<T: Default> From<Option<T>> for OrDefault<T> {
    fn from(value: Option<T>) -> Self {
        Self(value.unwrap_or_default())
    }
}

impl<T> Deref for OrDefault<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A struct that is decoded from a JSON object only. serde's derive would take an array as well,
/// with the fields in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
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

/// The path of the field at which serde_json gave up, and what it says about it. The path is empty
/// for text that isn't JSON.
pub fn locate(json: &str, error: &serde_json::Error) -> (String, String) {
    let message = error.to_string();
    if !error.is_data() {
        return (String::new(), message);
    }
    let lines = json.split_inclusive('\n').take(error.line().saturating_sub(1));
    let read = lines.map(str::len).sum::<usize>() + error.column();
    let path = path_at(json.get(..read).unwrap_or(json)).unwrap_or_default();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    (path, message[..end].to_owned())
}

/// A step into an object or a list.
enum Step {
    Key(String),
    Index(usize),
}

/// The path of the value at which a valid beginning of a JSON text ends.
fn path_at(json: &str) -> Option<String> {
    let (mut path, mut is_key, mut i) = (Vec::new(), false, 0);
    while let Some(byte) = json.as_bytes().get(i) {
        let start = i;
        i += 1;
        match byte {
            b'{' => {
                path.push(Step::Key(String::new()));
                is_key = true;
            }
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => drop(path.pop()),
            b',' => match path.last_mut()? {
                Step::Index(index) => *index += 1,
                Step::Key(_) => is_key = true,
            },
            b'"' => {
                while *json.as_bytes().get(i)? != b'"' {
                    i += if json.as_bytes()[i] == b'\\' { 2 } else { 1 };
                }
                i += 1;
                if is_key {
                    *path.last_mut()? = Step::Key(serde_json::from_str(json.get(start..i)?).ok()?);
                    is_key = false;
                }
            }
            _ => {}
        }
    }
    let steps = path.into_iter().map(|step| match step {
        Step::Key(key) if key.is_empty() => key,
        Step::Key(key) => format!(".{key}"),
        Step::Index(index) => format!("[{index}]"),
    });
    Some(steps.collect::<String>().trim_start_matches('.').to_owned())
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
        map: Option<BTreeMap<Text<'a>, Object<Sample<'a>>>>,
    }

    #[test]
    fn the_path_of_a_decode_error() {
        for (name, json, path) in [
            ("an array for the object", "[]", ""),
            ("text for the object", r#""x""#, ""),
            ("text for a number", r#"{"number":"1"}"#, "number"),
            ("a number for text", r#"{"x":[{"text":1}],"text":1}"#, "text"),
            ("a number that is too large", r#"{"number":10000000000000000000}"#, "number"),
            ("a fraction", "{\n  \"number\": 1.5\n}", "number"),
            ("an object for a list", r#"{"list":{}}"#, "list"),
            ("text in a list", r#"{"list":[{},{"text":"a,]}\"{["},"b"]}"#, "list[2]"),
            ("an array in a list", r#"{"list":[{"list":[]},[]]}"#, "list[1]"),
            (
                "a field of an element",
                r#"{"list":[{"x":[1,2]},{"number":true}]}"#,
                "list[1].number",
            ),
            ("a value of a map", r#"{"map":{"a":{},"b.c/d":3}}"#, "map.b.c/d"),
            ("a key with escapes", r#"{"map":{"\u0061":3}}"#, "map.a"),
            ("a duplicate", r#"{"list":[{}],"text":"x","list":[]}"#, "list"),
            ("a duplicate in an element", r#"{"list":[{"text":"x","text":"x"}]}"#, "list[0].text"),
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
        assert!(matches!(sample.text, Some(Text(Cow::Borrowed("plain")))));
        let sample: Object<Sample> = serde_json::from_str(r#"{"text":"\n"}"#).unwrap();
        assert!(matches!(&sample.text, Some(Text(Cow::Owned(text))) if text == "\n"));
    }
}
