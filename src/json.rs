//! Reading JSON without giving up on it: a member of the wrong type is kept as [`Read::Wrong`],
//! so that one pass over the request finds everything that can't be read, each with its path,
//! while the members that nobody asks for are skipped and never stored.
//!
//! Text and numbers stay slices of the payload. That makes reading cheap, and it tells
//! [`crate::fix`] where in the original text a value stands.

use crate::message::{Misread, Path, Quoted};
use crate::reader::{Error, Form, Reader};
use std::borrow::Cow;

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

/// What a value is read into. The loops over members and elements know nothing else of what they
/// read, so that there is one of each in the module and not one for each type.
pub trait Json<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error>;

    /// True when nothing was read yet, or `null`.
    fn is_absent(&self) -> bool;

    /// Reports each [`Misread`] in what was read at `at`.
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>);
}

/// Reads a whole text.
///
/// # Errors
/// When the text isn't JSON, or a member stands there twice.
pub fn read<'a, T: Json<'a> + Default>(text: &'a str) -> Result<T, Error> {
    let (mut reader, mut value) = (Reader::new(text), T::default());
    value.read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A type that is read from one JSON type and refuses the others.
pub trait FromJson<'a>: Default {
    /// The JSON type it is read from.
    const FORM: Form;

    /// Reads a value of that type.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error>;

    /// Reports each [`Misread`] below `at`.
    fn misreads_below(&self, _: &Path, _: &mut Vec<Misread>) {}
}

/// An object of which only some members are looked at.
pub trait View<'a> {
    /// The member with a key, if it is looked at.
    fn member(&mut self, key: &str) -> Option<&mut dyn Json<'a>>;

    /// Shows every member that is looked at, with its key.
    fn visit(&self, visit: &mut dyn FnMut(&'static str, &dyn Json<'a>));

    /// Reads or skips a member that isn't among these.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    fn other(&mut self, _: &str, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.skip()
    }
}

/// Reads an object, member by member.
///
/// # Errors
/// When the text isn't JSON, or a member stands there twice.
pub fn read_view<'a>(view: &mut dyn View<'a>, reader: &mut Reader<'a>) -> Result<(), Error> {
    reader.object(&mut |reader, key| read_member(view, key, reader))
}

/// Reads the member under a key.
///
/// # Errors
/// When the text isn't JSON, or a member stands there twice.
pub fn read_member<'a>(
    view: &mut dyn View<'a>,
    key: &str,
    reader: &mut Reader<'a>,
) -> Result<(), Error> {
    match view.member(key) {
        Some(member) if member.is_absent() => member.read(reader),
        Some(_) => Err(twice(reader, key)),
        None => view.other(key, reader),
    }
}

/// Reports what is unreadable in an object's members.
pub fn view_misreads(view: &dyn View, at: &Path, report: &mut Vec<Misread>) {
    view.visit(&mut |key, member| member.misreads(&at.member(key), report));
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

    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        *self = reader.string()?;
        Ok(())
    }
}

impl<'a, E: Json<'a> + Default> FromJson<'a> for Vec<E> {
    const FORM: Form = Form::List;

    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        read_elements(self, reader)
    }

    fn misreads_below(&self, at: &Path, report: &mut Vec<Misread>) {
        elements_misreads(self, at, report);
    }
}

/// A list whose elements are read one by one.
trait Elements<'a> {
    /// A new element at the end.
    fn add(&mut self) -> &mut dyn Json<'a>;

    /// The element at an index.
    fn at(&self, index: usize) -> Option<&dyn Json<'a>>;
}

impl<'a, E: Json<'a> + Default> Elements<'a> for Vec<E> {
    fn add(&mut self) -> &mut dyn Json<'a> {
        self.push_mut(E::default())
    }

    fn at(&self, index: usize) -> Option<&dyn Json<'a>> {
        Some(self.get(index)?)
    }
}

fn read_elements<'a>(list: &mut dyn Elements<'a>, reader: &mut Reader<'a>) -> Result<(), Error> {
    reader.list(&mut |reader| list.add().read(reader))
}

fn elements_misreads(list: &dyn Elements, at: &Path, report: &mut Vec<Misread>) {
    let mut i = 0;
    while let Some(element) = list.at(i) {
        element.misreads(&at.element(i), report);
        i += 1;
    }
}

impl<'a, T: FromJson<'a>> Json<'a> for Read<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let found = other_than(T::FORM, reader)?;
        // Nobody reads it twice; to know it spares the code that frees what was there.
        let Self::Absent = self else { return Ok(()) };
        match found {
            None => {
                *self = Self::Is(T::default());
                // Filled where it stays: some of these are large.
                let Self::Is(value) = self else { return Ok(()) };
                return value.fill(reader);
            }
            Some(Form::Null) => {}
            Some(form) => *self = Self::Wrong(form),
        }
        Ok(())
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        match self {
            Self::Absent => {}
            Self::Is(value) => value.misreads_below(at, report),
            Self::Wrong(found) => report_wrong(at, name(*found), name(T::FORM), report),
        }
    }
}

/// Skips a value of another JSON type than the expected one, and returns which.
fn other_than(expected: Form, reader: &mut Reader) -> Result<Option<Form>, Error> {
    let form = reader.form()?;
    if form == expected {
        return Ok(None);
    }
    reader.skip()?;
    reader.misread |= form != Form::Null;
    Ok(Some(form))
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
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.0 = Some(reader.raw()?);
        reader.misread |= self.get().is_none() && !self.is_absent();
        Ok(())
    }

    fn is_absent(&self) -> bool {
        (*self).is_absent()
    }

    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        if let Some(text) = self.0
            && !self.is_absent()
            && self.get().is_none()
        {
            // A string is quoted in JSON already; anything else is safe to show as it is, but cut.
            let text: String = text.chars().take(60).collect();
            report_wrong(at, &text, "a 64-bit integer", report);
        }
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
        keys.iter().fold(self, |object, key| object.member(key))
    }

    /// The member under a key; the last one when there are several, as in the API server.
    pub fn member(self, key: &str) -> Self {
        let mut found = None;
        let mut reader = Reader::new(self.0.unwrap_or("null"));
        let read = reader.object(&mut |reader, name| {
            let value = reader.raw()?;
            if name == key {
                found = Some(value);
            }
            Ok(())
        });
        Self(found.filter(|_| read.is_ok()))
    }

    /// The string under a key.
    pub fn text_at(self, key: &str) -> Option<String> {
        let text = self.member(key).0?;
        Reader::new(text).string().ok().map(Cow::into_owned)
    }

    /// Reads it, whatever it is.
    ///
    /// # Errors
    /// When the text isn't JSON.
    pub fn read_text(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.0 = Some(reader.raw()?);
        Ok(())
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
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.misread |= !matches!(reader.form()?, Form::Object | Form::Null);
        self.read_text(reader)
    }

    fn is_absent(&self) -> bool {
        (*self).is_absent()
    }

    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        let form = Reader::new(self.0.unwrap_or("null")).form();
        if let Ok(form) = form
            && !matches!(form, Form::Object | Form::Null)
        {
            report_wrong(at, name(form), name(Form::Object), report);
        }
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
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let start = reader.place()?;
        self.read.read(reader)?;
        self.text = Some(reader.since(start));
        Ok(())
    }

    fn is_absent(&self) -> bool {
        self.read.is_absent()
    }

    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        self.read.misreads(at, report);
    }
}

#[cold]
#[inline(never)]
fn report_wrong(at: &Path, found: &str, expected: &str, report: &mut Vec<Misread>) {
    let message = format!("is {found}, not {expected}");
    report.push(Misread { path: at.to_string(), message });
}

/// Declares a borrowed view of a JSON object: which members are looked at, and as what.
/// Every other member is skipped, or handed to a method. A member that stands there twice is an
/// error.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident<$a:lifetime> {
        $( $(#[$member_doc:meta])* $key:literal => $member:ident: $type:ty, )*
        $( .. => $other:ident, $( $(#[$more_doc:meta])* $more:ident: $more_type:ty, )* )?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name<$a> {
            $( $(#[$member_doc])* pub $member: $type, )*
            $( $( $(#[$more_doc])* pub $more: $more_type, )* )?
        }

        impl<$a> $crate::json::View<$a> for $name<$a> {
            fn member(&mut self, key: &str) -> Option<&mut dyn $crate::json::Json<$a>> {
                match key {
                    $( $key => Some(&mut self.$member), )*
                    _ => None,
                }
            }

            fn visit(&self, visit: &mut dyn FnMut(&'static str, &dyn $crate::json::Json<$a>)) {
                $( visit($key, &self.$member); )*
            }

            $( fn other(
                &mut self,
                key: &str,
                reader: &mut $crate::reader::Reader<$a>,
            ) -> Result<(), $crate::reader::Error> {
                self.$other(key, reader)
            } )?
        }

        impl<$a> $crate::json::FromJson<$a> for $name<$a> {
            const FORM: $crate::reader::Form = $crate::reader::Form::Object;

            fn fill(
                &mut self,
                reader: &mut $crate::reader::Reader<$a>,
            ) -> Result<(), $crate::reader::Error> {
                $crate::json::read_view(self, reader)
            }

            fn misreads_below(
                &self,
                at: &$crate::message::Path,
                report: &mut Vec<$crate::message::Misread>,
            ) {
                $crate::json::view_misreads(self, at, report);
            }
        }
    };
}
pub(crate) use view;
