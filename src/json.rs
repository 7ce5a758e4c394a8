//! Reading JSON without giving up on it: a member of the wrong type is kept as [`Read::Wrong`],
//! so that one pass over the request finds everything that can't be read, each with its path,
//! while the members that nobody asks for are skipped and never stored.
//!
//! Text and numbers stay slices of the payload. That makes reading cheap, and it tells
//! [`crate::fix`] where in the original text a value stands.

use crate::reader::{Error, Form, Reader};
use std::borrow::Cow;
use std::fmt;

/// A member as the client wrote it.
#[derive(Debug, Default)]
pub enum Read<T> {
    /// Not there, or `null`: the API server reads both the same way.
    #[default]
    Absent,
    /// There, and of the right JSON type.
    Is(T),
    /// There, but of another JSON type: which.
    Wrong(Form),
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

/// What can be read from JSON.
pub trait Json<'a>: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error>;
}

/// Reads a whole text.
///
/// # Errors
/// When the text isn't JSON, or a member stands there twice.
pub fn read<'a, T: Json<'a>>(text: &'a str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A type that is read from one JSON type and refuses the others.
pub trait FromJson<'a>: Sized {
    /// The JSON type it is read from.
    const FORM: Form;

    /// Reads a value of that type.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Error>;
}

/// The name of a JSON type, with its article.
const fn name(form: Form) -> &'static str {
    match form {
        Form::Object => "an object",
        Form::List => "a list",
        Form::Text => "a string",
        Form::Boolean => "a boolean",
        Form::Number => "a number",
        Form::Null => "null",
    }
}

impl<'a> FromJson<'a> for Cow<'a, str> {
    const FORM: Form = Form::Text;

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Error> {
        reader.string()
    }
}

impl<'a, E: Json<'a>> FromJson<'a> for Vec<E> {
    const FORM: Form = Form::List;

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut elements = Self::new();
        reader.list(&mut |reader| {
            elements.push(E::read(reader)?);
            Ok(())
        })?;
        Ok(elements)
    }
}

impl<'a, T: FromJson<'a>> Json<'a> for Read<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let form = reader.form()?;
        if form == T::FORM {
            return T::from_json(reader).map(Self::Is);
        }
        reader.skip()?;
        if form == Form::Null {
            return Ok(Self::Absent);
        }
        reader.misread = true;
        Ok(Self::Wrong(form))
    }
}

/// A member that stands there twice: readers disagree about which one counts.
pub fn twice(reader: &Reader, key: &str) -> Error {
    reader.error(format!("the member {} stands there twice", Quoted(key)))
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

    /// The number, or another when it is absent; `None` for what can't be read.
    pub fn or(self, default: i64) -> Option<i64> {
        if self.is_absent() { Some(default) } else { self.get() }
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

impl<'a> Json<'a> for Int<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let it = Self(Some(reader.raw()?));
        reader.misread |= it.get().is_none() && !it.is_absent();
        Ok(it)
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
        let read = self.0.map(read::<Read<T>>);
        read.map_or(Read::Absent, |read| read.unwrap_or(Read::Wrong(Form::Null)))
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

impl<'a> Json<'a> for Lazy<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        reader.misread |= !matches!(reader.form()?, Form::Object | Form::Null);
        Ok(Self(Some(reader.raw()?)))
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

impl<'a, T: FromJson<'a>> Json<'a> for Editable<'a, T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let start = reader.place()?;
        let read = Read::read(reader)?;
        Ok(Self { text: Some(reader.since(start)), read })
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
            Self::Wrong(found) => report.push(wrong(at, name(*found), name(T::FORM))),
        }
    }
}

impl<T> Misreads for Members<'_, T> {
    fn misreads(&self, _: &Path, _: &mut Vec<Misread>) {}
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
            const FORM: $crate::reader::Form = $crate::reader::Form::Object;

            fn from_json(
                reader: &mut $crate::reader::Reader<$a>,
            ) -> Result<Self, $crate::reader::Error> {
                let mut view = Self::default();
                reader.object(&mut |reader, key| {
                    match &**key {
                        $( $key => {
                            if !view.$member.is_absent() {
                                return Err($crate::json::twice(reader, key));
                            }
                            view.$member = $crate::json::Json::read(reader)?;
                        } )*
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                Ok(view)
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

impl<'a, T: Json<'a>> FromJson<'a> for Members<'a, T> {
    const FORM: Form = Form::Object;

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut members = Vec::new();
        reader.object(&mut |reader, key| {
            members.push((key.clone(), T::read(reader)?));
            Ok(())
        })?;
        Ok(Self(members))
    }
}
