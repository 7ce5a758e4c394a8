//! Changes to an object: a field is set or removed, and all else stays as it came, byte for byte.

use crate::decode::Text;
use crate::field_path::{FieldPath, Segment};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::fmt;

/// Fields and their new values; `None` for one that is removed.
pub type Patches = Vec<(FieldPath, Option<Box<RawValue>>)>;

/// The new value of a field. What Kubernetes' types hold is always JSON.
pub fn new_value(value: impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(&value).ok()
}

/// A value with patches: what isn't patched stays text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Patched<'a> {
    Raw(&'a RawValue),
    Object(BTreeMap<Text<'a>, Patched<'a>>),
    List(Vec<Patched<'a>>),
}

/// The value at a path in a JSON text, with patches, none of which is about a field inside of
/// another one's. Their paths begin at the value.
///
/// # Errors
/// When a path doesn't fit the value.
pub fn apply(json: &str, at: &FieldPath, patches: Patches) -> serde_json::Result<Box<RawValue>> {
    let patches = patches.into_iter().map(|(path, value)| (at.join(path.segments()), value));
    let patches: Patches = patches.collect();
    let along = Along(patches.iter().map(|it| (it.0.segments(), it.1.as_deref())).collect());
    let mut value = along.deserialize(&mut serde_json::Deserializer::from_str(json))?;
    for segment in at.segments() {
        value = match (value, segment) {
            (Some(Patched::Object(mut fields)), Segment::Name(name)) => {
                fields.remove(&Text::from(*name))
            }
            _ => None,
        };
    }
    to_raw_value(&value.ok_or_else(|| Error::custom("there is nothing to patch"))?)
}

/// The patches of a value with the rest of their paths: what decodes it as [`Patched`].
#[derive(Default)]
struct Along<'a>(Vec<(&'a [Segment], Option<&'a RawValue>)>);

impl<'a> Along<'a> {
    /// The patches of each field or element.
    fn by_segment(&self) -> BTreeMap<Segment, Self> {
        let mut inside: BTreeMap<Segment, Self> = BTreeMap::new();
        for (path, value) in &self.0 {
            if let Some((first, rest)) = path.split_first() {
                inside.entry(*first).or_default().0.push((rest, *value));
            }
        }
        inside
    }

    /// A field that is absent, as the patches make it.
    fn on_absent<E: Error>(&self) -> Result<Option<Patched<'a>>, E> {
        match &*self.0 {
            [([], value), ..] => Ok(value.map(Patched::Raw)),
            _ => with_absent_fields(BTreeMap::new(), self.by_segment()).map(Some),
        }
    }
}

/// An object with patched fields that it hasn't got.
fn with_absent_fields<'a, E: Error>(
    mut fields: BTreeMap<Text<'a>, Patched<'a>>,
    absent: BTreeMap<Segment, Along<'a>>,
) -> Result<Patched<'a>, E> {
    for (segment, along) in absent {
        let Segment::Name(name) = segment else {
            return Err(E::custom("an object has no elements"));
        };
        if let Some(field) = along.on_absent()? {
            fields.insert(Text::from(name), field);
        }
    }
    Ok(Patched::Object(fields))
}

impl<'de> DeserializeSeed<'de> for Along<'de> {
    /// `None` for a field that is removed.
    type Value = Option<Patched<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match &*self.0 {
            [] => <&RawValue>::deserialize(deserializer).map(|value| Some(Patched::Raw(value))),
            [([], value), ..] => {
                IgnoredAny::deserialize(deserializer).map(|_| value.map(Patched::Raw))
            }
            [([Segment::Index(_), ..], _), ..] => deserializer.deserialize_seq(self),
            _ => deserializer.deserialize_option(self),
        }
    }
}

impl<'de> Visitor<'de> for Along<'de> {
    type Value = Option<Patched<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object or a list")
    }

    /// `null` counts as absent.
    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        self.on_absent()
    }

    fn visit_some<D: Deserializer<'de>>(self, object: D) -> Result<Self::Value, D::Error> {
        object.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut fields, mut inside) = (BTreeMap::new(), self.by_segment());
        while let Some(name) = map.next_key::<Text>()? {
            let patched =
                inside.keys().copied().find(|it| matches!(it, Segment::Name(it) if *it == &*name));
            let along = patched.and_then(|segment| inside.remove(&segment)).unwrap_or_default();
            if let Some(field) = map.next_value_seed(along)? {
                fields.insert(name, field);
            }
        }
        with_absent_fields(fields, inside).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut elements, mut inside) = (Vec::new(), self.by_segment());
        loop {
            let along = inside.remove(&Segment::Index(elements.len())).unwrap_or_default();
            let Some(element) = list.next_element_seed(along)? else { break };
            elements.push(element.ok_or_else(|| A::Error::custom("an element can't be removed"))?);
        }
        let exists =
            |path: &[Segment]| matches!(path, [Segment::Index(i), ..] if *i < elements.len());
        if self.0.iter().all(|(path, _)| exists(path)) {
            return Ok(Some(Patched::List(elements)));
        }
        Err(A::Error::custom("there is no such element"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn path(names: &[&'static str]) -> FieldPath {
        FieldPath::new(names)
    }

    fn set(path: FieldPath, value: Value) -> (FieldPath, Option<Box<RawValue>>) {
        (path, new_value(value))
    }

    fn apply_to<const N: usize>(
        object: &str,
        patches: [(FieldPath, Option<Box<RawValue>>); N],
    ) -> serde_json::Result<String> {
        let payload = format!(r#"{{"x":[1],"request":{{"object":{object},"y":{{}}}},"z":1}}"#);
        let patched = apply(&payload, &path(&["request", "object"]), patches.into())?;
        Ok(patched.get().to_owned())
    }

    #[test]
    fn fields_are_set_and_removed_and_the_rest_stays() {
        let a = || path(&["a"]);
        for (name, object, patch, expected) in [
            ("a new field", "{}", set(a(), json!(7)), r#"{"a":7}"#),
            ("in place of null", r#"{"a":null}"#, set(a(), json!(7)), r#"{"a":7}"#),
            (
                "the rest as it came",
                r#"{"z": [1e3, 1.50, "\u0061"] , "a":1}"#,
                set(a(), json!({})),
                r#"{"a":{},"z":[1e3, 1.50, "\u0061"]}"#,
            ),
            (
                "objects that lead to it",
                r#"{"a":null}"#,
                set(path(&["a", "b", "c"]), json!(7)),
                r#"{"a":{"b":{"c":7}}}"#,
            ),
            ("a removed field", r#"{"a":1,"b":2}"#, (a(), None), r#"{"b":2}"#),
            ("a removed field that is absent", r#"{"b":2}"#, (a(), None), r#"{"b":2}"#),
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
        assert_eq!(patched, r#"{"k":true,"l":[{"b":20,"x":0},{},{"a":30}]}"#);
    }

    #[test]
    fn a_path_that_does_not_fit_is_an_error() {
        let element = |i: usize| FieldPath::default().element("l", i);
        for (name, object, patch) in [
            ("no such element", r#"{"l":[1]}"#, set(element(1), json!(1))),
            ("no list", r#"{"l":{}}"#, set(element(0), json!(1))),
            ("an absent list", "{}", set(element(0), json!(1))),
            ("no object", r#"{"l":[1]}"#, set(path(&["l", "a"]), json!(1))),
            ("text", r#"{"l":"x"}"#, set(path(&["l", "a"]), json!(1))),
            ("a removed element", r#"{"l":[1]}"#, (element(0), None)),
        ] {
            assert!(apply_to(object, [patch]).is_err(), "{name}");
        }
    }
}
