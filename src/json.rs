//! Reading JSON without giving up on it: a member of the wrong type is kept as [`Read::Wrong`],
//! so that one pass over the request finds everything that can't be read, each with its path,
//! while the members that nobody asks for are skipped and never stored.
//!
//! Text and numbers stay slices of the payload. That makes reading cheap, and it tells
//! [`crate::fix`] where in the original text a value stands.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A member as the client wrote it.
#[derive(Debug, Default)]
pub enum Read<T> {
    /// Not there, or `null`: the API server reads both the same way.
    #[default]
    Absent,
    /// There, and of the right JSON type.
    Is(T),
    /// There, but of another JSON type: what stands there instead.
    Wrong(&'static str),
}

/// A string.
pub type Text<'a> = Read<Cow<'a, str>>;

/// A list of objects or strings.
pub type List<T> = Read<Vec<Read<T>>>;

impl<T> Read<T> {
    /// The value, when it is there and readable.
    pub const fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }

    /// True when the member isn't there or `null`.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T> List<T> {
    /// The readable elements with their indices.
    pub fn elements(&self) -> impl Iterator<Item = (usize, &T)> {
        let elements = self.get().map_or(&[][..], Vec::as_slice);
        elements.iter().enumerate().filter_map(|(i, element)| Some((i, element.get()?)))
    }
}

impl Text<'_> {
    /// The string, or `""` when it is absent or unreadable.
    pub fn or_empty(&self) -> &str {
        self.get().map_or("", |text| text)
    }
}

/// A type that is read from one JSON type and refuses the others.
pub trait FromJson<'de>: Sized {
    /// The JSON type it is read from, with its article.
    const EXPECTED: &'static str;

    /// Reads an object.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Read<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Read::Wrong("an object"))
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the text isn't JSON.
    fn from_seq<A: SeqAccess<'de>>(mut list: A) -> Result<Read<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Read::Wrong("a list"))
    }

    /// Reads a string.
    fn from_text(_: Cow<'de, str>) -> Read<Self> {
        Read::Wrong("a string")
    }
}

impl<'de> FromJson<'de> for Cow<'de, str> {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: Cow<'de, str>) -> Read<Self> {
        Read::Is(text)
    }
}

impl<'de, E: Deserialize<'de>> FromJson<'de> for Vec<E> {
    const EXPECTED: &'static str = "a list";

    fn from_seq<A: SeqAccess<'de>>(mut list: A) -> Result<Read<Self>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Read::Is(elements))
    }
}

impl<'de, T: FromJson<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadVisitor(PhantomData))
    }
}

struct ReadVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for ReadVisitor<T> {
    type Value = Read<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Read::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Read::Wrong("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Read::Wrong("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Read::Wrong("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Read::Wrong("a number"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(T::from_text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::from_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::from_map(map)
    }
}

/// The next key of an object.
///
/// # Errors
/// When the text isn't JSON.
pub fn next_key<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    match map.next_key()? {
        Some(Read::Is(key)) => Ok(Some(key)),
        Some(_) => Err(A::Error::custom("a key that is not a string")),
        None => Ok(None),
    }
}

/// A member that stands there twice: readers disagree about which one counts.
pub fn twice<E: Error>(key: &str) -> E {
    E::custom(format_args!("the member {} stands there twice", Quoted(key)))
}

/// An integer in the range of Go's `int64`, as its text in the payload.
#[derive(Debug, Clone, Copy, Default)]
pub struct Int<'a>(Option<&'a str>);

impl<'a> Int<'a> {
    /// The number, when it is there and readable. As in the API server, `3607.0` and `3.607e3`
    /// are no integers.
    pub fn get(self) -> Option<i64> {
        self.0?.parse().ok()
    }

    /// Where it stands in the payload.
    pub const fn text(self) -> Option<&'a str> {
        self.0
    }

    /// True when the member isn't there or `null`.
    pub fn is_absent(self) -> bool {
        matches!(self.0, None | Some("null"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Int<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Some(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

/// An object that is read only when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lazy<'a>(Option<&'a str>);

impl<'a> Lazy<'a> {
    /// A whole text.
    pub const fn whole(text: &'a str) -> Self {
        Self(Some(text))
    }

    /// Reads it now.
    pub fn read<T: FromJson<'a>>(self) -> Read<T> {
        let read = self.0.map(serde_json::from_str);
        read.map_or(Read::Absent, |read| read.unwrap_or(Read::Wrong("not JSON we can read")))
    }

    /// The member at the end of a path of keys.
    pub fn at(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |object, key| match object.read() {
            Read::Is(Members(mut members)) => {
                let member = members.iter().position(|(name, _)| name == key);
                member.map_or(Self(None), |i| members.swap_remove(i).1)
            }
            Read::Absent | Read::Wrong(_) => Self(None),
        })
    }

    /// Its text in the payload.
    pub const fn text(self) -> Option<&'a str> {
        self.0
    }

    /// True when the member isn't there or `null`.
    pub fn is_absent(self) -> bool {
        matches!(self.0, None | Some("null"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lazy<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Some(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

/// A small object that is read and whose text is kept, so that a fix can edit it.
#[derive(Debug)]
pub struct Editable<'a, T> {
    /// Its text in the payload, `None` when the member isn't there.
    pub text: Option<&'a str>,
    /// What it says.
    pub read: Read<T>,
}

impl<T> Default for Editable<'_, T> {
    fn default() -> Self {
        Self { text: None, read: Read::Absent }
    }
}

impl<T> Editable<'_, T> {
    /// The value, when it is there and readable.
    pub const fn get(&self) -> Option<&T> {
        self.read.get()
    }

    /// True when the member isn't there or `null`.
    pub const fn is_absent(&self) -> bool {
        self.read.is_absent()
    }
}

impl<'de: 'a, 'a, T: FromJson<'a>> Deserialize<'de> for Editable<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let read = serde_json::from_str(text).map_err(D::Error::custom)?;
        Ok(Self { text: Some(text), read })
    }
}

/// Where a value stands in the object, built while walking down and written out only for a
/// finding: `spec.volumes[2].projected`.
#[derive(Debug, Clone, Copy)]
pub enum Path<'p> {
    /// What is at the end of these keys, from the object; the object itself when there are none.
    Keys(&'p [&'p str]),
    /// A member of the object at the parent's path.
    Member(&'p Path<'p>, &'p str),
    /// An element of the list at the parent's path.
    Element(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    /// The path of the object itself.
    pub const OBJECT: Self = Path::Keys(&[]);

    /// The path of a member.
    pub const fn member(&'p self, key: &'p str) -> Self {
        Path::Member(self, key)
    }

    /// The path of an element.
    pub const fn element(&'p self, index: usize) -> Self {
        Path::Element(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Path::Keys([]) => f.write_str("object"),
            Path::Keys(keys) => f.write_str(&keys.join(".")),
            Path::Member(Path::Keys([]), key) => f.write_str(key),
            Path::Member(parent, key) => write!(f, "{parent}.{key}"),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Text from a request in a message: quoted as JSON, so that it stays on one line, and cut to
/// the longest name that Kubernetes allows, so that a request can't blow up its own rejection.
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const LONGEST: usize = 253;
        let (text, more) = match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => (&self.0[..end], "…"),
            None => (self.0, ""),
        };
        let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
        write!(f, "{quoted}{more}")
    }
}

/// Something that can't be read, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Misread {
    /// Its path.
    pub path: String,
    /// What stands there and what belongs there.
    pub message: String,
}

impl Misread {
    /// A member that has to be there and isn't.
    pub fn missing(at: &Path) -> Self {
        Self { path: at.to_string(), message: "is missing".to_owned() }
    }
}

/// Everything below a value that can't be read.
pub trait Misreads {
    /// Reports each [`Misread`] below `at`.
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>);
}

fn wrong(at: &Path, found: &str, expected: &str) -> Misread {
    Misread { path: at.to_string(), message: format!("is {found}, not {expected}") }
}

impl<'a, T: FromJson<'a> + Misreads> Misreads for Read<T> {
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        match self {
            Self::Absent => {}
            Self::Is(value) => value.misreads(at, report),
            Self::Wrong(found) => report.push(wrong(at, found, T::EXPECTED)),
        }
    }
}

impl<E: Misreads> Misreads for Vec<E> {
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        for (i, element) in self.iter().enumerate() {
            element.misreads(&at.element(i), report);
        }
    }
}

impl<'a, T: FromJson<'a> + Misreads> Misreads for Editable<'a, T> {
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        self.read.misreads(at, report);
    }
}

impl Misreads for Cow<'_, str> {
    fn misreads(&self, _: &Path, _: &mut Vec<Misread>) {}
}

impl Misreads for Lazy<'_> {
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        let found = match self.0.unwrap_or("null").as_bytes() {
            [b'{' | b'n', ..] => return,
            [b'[', ..] => "a list",
            [b'"', ..] => "a string",
            [b't' | b'f', ..] => "a boolean",
            _ => "a number",
        };
        report.push(wrong(at, found, "an object"));
    }
}

impl Misreads for Int<'_> {
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        if let Some(text) = self.0
            && !self.is_absent()
            && self.get().is_none()
        {
            // A string is quoted in JSON already; anything else is safe to show as it is, but cut.
            let text: String = text.chars().take(60).collect();
            report.push(wrong(at, &text, "a 64-bit integer"));
        }
    }
}

/// Declares a borrowed view of a JSON object: which members are looked at, and as what.
/// Every other member is skipped. A member that stands there twice is an error.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident<$a:lifetime> {
        $( $(#[$member_doc:meta])* $key:literal => $member:ident: $type:ty, )*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name<$a> { $( $(#[$member_doc])* pub $member: $type, )* }

        impl<$a> $crate::json::FromJson<$a> for $name<$a> {
            const EXPECTED: &'static str = "an object";

            fn from_map<A: serde::de::MapAccess<$a>>(
                mut map: A,
            ) -> Result<$crate::json::Read<Self>, A::Error> {
                let mut view = Self::default();
                while let Some(key) = $crate::json::next_key(&mut map)? {
                    match &*key {
                        $( $key if !view.$member.is_absent() => {
                            return Err($crate::json::twice($key));
                        }
                        $key => view.$member = map.next_value()?, )*
                        _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                    }
                }
                Ok($crate::json::Read::Is(view))
            }
        }

        impl $crate::json::Misreads for $name<'_> {
            fn misreads(&self, at: &$crate::json::Path, report: &mut Vec<$crate::json::Misread>) {
                $( self.$member.misreads(&at.member($key), report); )*
            }
        }
    };
}
pub(crate) use view;

/// The members of an object whose names aren't known beforehand, such as annotations.
#[derive(Debug, Default)]
pub struct Members<'a, T>(Vec<(Cow<'a, str>, T)>);

impl<T> Members<'_, Read<T>> {
    /// The value under a key; the last one when there are several, as in the API server.
    pub fn get(&self, key: &str) -> Option<&T> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| name == key)?;
        value.get()
    }
}

impl<'de, T: Deserialize<'de>> FromJson<'de> for Members<'de, T> {
    const EXPECTED: &'static str = "an object";

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Read<Self>, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = next_key(&mut map)? {
            members.push((key, map.next_value()?));
        }
        Ok(Read::Is(Self(members)))
    }
}
