//! Changes to an object: a field is set or removed, and all else stays as it came, byte for byte.

use crate::decode::Borrowed;
use crate::field_path::{FieldPath, Segment};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor, value::MapDeserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::fmt;

/// A field and its new value; `None` for one that is removed.
pub type Patch = (FieldPath, Option<Box<RawValue>>);

/// The new value of a field. What Kubernetes' types hold is always JSON.
pub fn new_value(value: impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(&value).ok()
}

/// An object with patches, none of which is about a field inside of another one's. Their paths have
/// to fit it.
pub fn apply(object: &str, patches: Vec<Patch>) -> serde_json::Result<Box<RawValue>> {
    let mut by_path = BTreeMap::new();
    by_path.extend(patches);
    let patches: Vec<_> = by_path.into_iter().collect();
    let along = Along {
        patches: &patches,
        depth: 0,
    };
    let patched = along.deserialize(&mut serde_json::Deserializer::from_str(object))?;
    to_raw_value(&patched.ok_or_else(|| Error::custom("there is nothing to patch"))?)
}

/// A value with patches: what isn't patched stays text.
#[derive(Serialize)]
#[serde(untagged)]
enum Patched<'a> {
    Raw(&'a RawValue),
    Object(#[serde(serialize_with = "as_map")] Vec<(Borrowed<'a>, Patched<'a>)>),
    List(Vec<Patched<'a>>),
}

fn as_map<S: Serializer>(fields: &[(Borrowed, Patched)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

/// The patches of a value, sorted, and how many segments of their paths lead to the value: what
/// decodes it as [`Patched`], or as `None` when it is removed.
#[derive(Clone, Copy, Default)]
struct Along<'a> {
    patches: &'a [Patch],
    depth: usize,
}

impl<'a> Along<'a> {
    fn segment_of(self, patch: &Patch) -> Option<Segment> {
        patch.0.get(self.depth).copied()
    }

    /// The patches of each field or element.
    fn inside(self) -> impl Iterator<Item = (Segment, Along<'a>)> {
        let groups = self
            .patches
            .chunk_by(move |a, b| self.segment_of(a) == self.segment_of(b));
        groups.filter_map(move |patches| {
            Some((
                self.segment_of(patches.first()?)?,
                Self {
                    patches,
                    depth: self.depth + 1,
                },
            ))
        })
    }
}

impl<'de> DeserializeSeed<'de> for Along<'de> {
    type Value = Option<Patched<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.patches {
            [] => <&RawValue>::deserialize(deserializer).map(|value| Some(Patched::Raw(value))),
            [patch, ..] if self.segment_of(patch).is_none() => {
                let value = patch.1.as_deref().map(Patched::Raw);
                IgnoredAny::deserialize(deserializer).map(|_| value)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Along<'de> {
    type Value = Option<Patched<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object or a list")
    }

    /// `null` counts as an object without fields.
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.visit_map(MapDeserializer::new(std::iter::empty::<((), ())>()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        let mut inside: Vec<_> = self.inside().collect();
        while let Some(name) = map.next_key::<Borrowed>()? {
            let patched = inside
                .iter()
                .position(|(segment, _)| segment.is_name(&name));
            let along = patched.map(|i| inside.remove(i).1).unwrap_or_default();
            fields.extend(map.next_value_seed(along)?.map(|value| (name, value)));
        }
        for (segment, along) in inside {
            let Segment::Name(name) = segment else {
                return Err(Error::custom("it is no list"));
            };
            let value = along.deserialize(().into_deserializer())?;
            fields.extend(value.map(|value| (Borrowed((*name).into()), value)));
        }
        Ok(Some(Patched::Object(fields)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        let mut inside = self.inside().peekable();
        loop {
            let next = inside.next_if(|(segment, _)| *segment == Segment::Index(elements.len()));
            match list.next_element_seed(next.map(|(_, along)| along).unwrap_or_default())? {
                Some(Some(element)) => elements.push(element),
                None if next.is_none() && inside.peek().is_none() => {
                    return Ok(Some(Patched::List(elements)));
                }
                _ => return Err(Error::custom("there is no such element to patch")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn path(names: &[&'static str]) -> FieldPath {
        FieldPath::new(names)
    }

    fn set(path: FieldPath, value: Value) -> Patch {
        (path, new_value(value))
    }

    fn apply_to<const N: usize>(object: &str, patches: [Patch; N]) -> serde_json::Result<String> {
        Ok(apply(object, patches.into())?.get().to_owned())
    }

    #[test]
    fn fields_are_set_and_removed_and_the_rest_stays() {
        let a = || path(&["a"]);
        for (name, object, patch, expected) in [
            ("a new field", "{}", set(a(), json!(7)), r#"{"a":7}"#),
            (
                "in place of null",
                r#"{"a":null}"#,
                set(a(), json!(7)),
                r#"{"a":7}"#,
            ),
            (
                "the rest as it came",
                r#"{"z": [1e3, 1.50, "\u0061"] , "a":1}"#,
                set(a(), json!({})),
                r#"{"z":[1e3, 1.50, "\u0061"],"a":{}}"#,
            ),
            (
                "objects that lead to it",
                r#"{"a":null}"#,
                set(path(&["a", "b", "c"]), json!(7)),
                r#"{"a":{"b":{"c":7}}}"#,
            ),
            (
                "a removed field",
                r#"{"a":1,"b":2}"#,
                (a(), None),
                r#"{"b":2}"#,
            ),
            (
                "a removed field that is absent",
                r#"{"b":2}"#,
                (a(), None),
                r#"{"b":2}"#,
            ),
            (
                "a field with escapes in its name",
                r#"{"\u0061":{"b":1}}"#,
                set(path(&["a", "b"]), json!(2)),
                r#"{"a":{"b":2}}"#,
            ),
        ] {
            assert_eq!(apply_to(object, [patch]).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn several_fields_of_one_object_are_patched() {
        let element = |i: usize| FieldPath::default().element("l", i);
        let patches = [
            set(element(2).child("a"), json!(30)),
            set(element(0).child("b"), json!(20)),
            (element(0).child("a"), None),
            set(path(&["k"]), json!(true)),
        ];
        let patched = apply_to(r#"{"l":[{"a":1,"x":0},{},{"a":3}]}"#, patches).unwrap();
        assert_eq!(patched, r#"{"l":[{"x":0,"b":20},{},{"a":30}],"k":true}"#);
    }

    #[test]
    fn a_path_that_does_not_fit_is_an_error() {
        let element = |i: usize| FieldPath::default().element("l", i);
        for (name, object, patch) in [
            ("no such element", r#"{"l":[1]}"#, set(element(1), json!(1))),
            ("no list", r#"{"l":{}}"#, set(element(0), json!(1))),
            ("an absent list", "{}", set(element(0), json!(1))),
            (
                "no object",
                r#"{"l":[1]}"#,
                set(path(&["l", "a"]), json!(1)),
            ),
            ("text", r#"{"l":"x"}"#, set(path(&["l", "a"]), json!(1))),
            ("a removed element", r#"{"l":[1]}"#, (element(0), None)),
        ] {
            assert!(apply_to(object, [patch]).is_err(), "{name}");
        }
    }
}
