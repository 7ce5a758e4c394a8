//! Reading settings: each member as its type, in one pass, every problem collected with its path.
//!
//! `null` leaves a setting as it is. So does a value of another type, which is a problem.

use crate::message::{Joined, Path, Quoted};
use crate::reader::{Error, Form, Reader};
use std::borrow::Cow;
use std::fmt::{self, Display};

/// What is wrong with settings.
#[derive(Debug, Default)]
pub struct Problems(Vec<(String, String)>);

impl Problems {
    /// Adds a problem, unless there is one at the same place or around it: what follows from that
    /// is no news.
    pub fn report(&mut self, at: &dyn Display, message: fmt::Arguments) {
        let at = at.to_string();
        let is_at = |(other, _): &(String, String)| {
            at.strip_prefix(&**other)
                .is_some_and(|rest| matches!(rest.get(..1), None | Some("." | "[")))
        };
        if !self.0.iter().any(is_at) {
            self.0.push((at, message.to_string()));
        }
    }

    /// `Ok` when there is none.
    ///
    /// # Errors
    /// All of them, in one line.
    pub fn into_result(self) -> Result<(), String> {
        let mut line = String::new();
        for (at, message) in &self.0 {
            let separator = if line.is_empty() { "" } else { "; " };
            line = line + separator + at + ": " + message;
        }
        if line.is_empty() { Ok(()) } else { Err(line) }
    }
}

/// A value that comes next in the text.
pub struct Value<'v, 'a> {
    /// What it is.
    pub form: Form,
    /// Where it is read from.
    pub reader: &'v mut Reader<'a>,
    /// The path of the setting.
    pub at: &'v Path<'v>,
    /// Where to report what is wrong with it.
    pub problems: &'v mut Problems,
}

impl Value<'_, '_> {
    /// Skips it, and reports that it isn't what was expected.
    fn refuse(self, expected: &dyn Display) -> Result<(), Error> {
        let Self { reader, at, problems, .. } = self;
        let text = reader.raw()?;
        problems.report(&Named(at), format_args!("is {}, not {expected}", shown(text)));
        Ok(())
    }
}

/// What a setting is read into.
pub trait Setting<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the text isn't JSON.
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error>;
}

/// An object among the settings.
pub trait Section<'a> {
    /// The names of its members.
    fn names(&self) -> &'static [&'static str];

    /// The bits of those that have to be there.
    fn required(&self) -> u32;

    /// The member with a name, and its bit.
    fn setting(&mut self, name: &str) -> Option<(u32, &mut dyn Setting<'a>)>;
}

/// Says which members of a type are settings, and which of them have to be there.
macro_rules! section {
    (
        $name:ident$(<$a:lifetime>)? { $( $key:literal => $member:ident, )* }
        $( required $( $required:literal ),+ )?
    ) => {
        impl$(<$a>)? $name$(<$a>)? {
            const NAMES: &'static [&'static str] = &[$( $key ),*];
        }

        impl<'a> $crate::section::Section<'a> for $name$(<$a>)? {
            fn names(&self) -> &'static [&'static str] {
                Self::NAMES
            }

            fn required(&self) -> u32 {
                const { 0 $( $( | $crate::section::bit(Self::NAMES, $required) )+ )? }
            }

            fn setting(
                &mut self,
                name: &str,
            ) -> Option<(u32, &mut dyn $crate::section::Setting<'a>)> {
                Some(match name {
                    $( $key => {
                        (const { $crate::section::bit(Self::NAMES, $key) }, &mut self.$member)
                    } )*
                    _ => return None,
                })
            }
        }

        impl<'a> $crate::section::Setting<'a> for $name$(<$a>)? {
            fn read(
                &mut self,
                value: $crate::section::Value<'_, 'a>,
            ) -> Result<(), $crate::reader::Error> {
                $crate::section::read_section(self, value)
            }
        }
    };
}
pub(crate) use section;

/// Reads an object, and reports the members that it doesn't have or that it misses.
///
/// # Errors
/// When the text isn't JSON.
pub fn read_section<'a>(section: &mut dyn Section<'a>, value: Value<'_, 'a>) -> Result<(), Error> {
    if value.form != Form::Object {
        return value.refuse(&"an object");
    }
    let Value { reader, at, problems, .. } = value;
    // A bit for each name: which were there, and which weren't `null`.
    let (mut there, mut set) = (0_u32, 0_u32);
    let names = section.names();
    reader.object(&mut |reader, key| {
        let at = at.member(key);
        let Some((bit, setting)) = section.setting(key) else {
            let nearest = nearest(key, names);
            problems.report(&at, format_args!("is not a setting; the nearest one is {nearest}"));
            return reader.skip();
        };
        if there & bit != 0 {
            problems.report(&at, format_args!("is there twice"));
        }
        there |= bit;
        let form = reader.form()?;
        if form == Form::Null {
            return reader.skip();
        }
        set |= bit;
        setting.read(Value { form, reader, at: &at, problems })
    })?;
    let missing = section.required() & !set;
    for (i, name) in names.iter().enumerate() {
        if missing & 1 << i != 0 {
            problems.report(&at.member(name), format_args!("is missing"));
        }
    }
    Ok(())
}

/// The bit that stands for one of at most 32 names; for another one this doesn't compile.
pub const fn bit(names: &[&str], name: &str) -> u32 {
    let mut index = 0;
    while !is_same(names[index], name) {
        index += 1;
    }
    1 << index
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Reads a whole text as settings; `null` leaves them as they are.
pub fn read<'a>(settings: &mut dyn Setting<'a>, text: &'a str, problems: &mut Problems) {
    let mut reader = Reader::new(text);
    let read = match reader.form() {
        Ok(Form::Null) => reader.skip(),
        Ok(form) => settings.read(Value { form, reader: &mut reader, at: &Path::OBJECT, problems }),
        Err(e) => Err(e),
    };
    if let Err(e) = read.and_then(|()| reader.end()) {
        problems.report(&Named(&Path::OBJECT), format_args!("{e}"));
    }
}

impl<'a, T: Setting<'a> + Default> Setting<'a> for Option<T> {
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error> {
        self.get_or_insert_default().read(value)
    }
}

impl<'a, T: Setting<'a> + Default> Setting<'a> for Vec<T> {
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error> {
        read_list(self, value)
    }
}

/// A list among the settings.
trait List<'a> {
    /// Takes the default elements out.
    fn clear(&mut self);

    /// A new element at the end.
    fn add(&mut self) -> &mut dyn Setting<'a>;
}

impl<'a, T: Setting<'a> + Default> List<'a> for Vec<T> {
    fn clear(&mut self) {
        self.clear();
    }

    fn add(&mut self) -> &mut dyn Setting<'a> {
        self.push_mut(T::default())
    }
}

fn read_list<'a>(list: &mut dyn List<'a>, value: Value<'_, 'a>) -> Result<(), Error> {
    if value.form != Form::List {
        return value.refuse(&"a list");
    }
    let Value { reader, at, problems, .. } = value;
    list.clear();
    let mut i = 0;
    reader.list(&mut |reader| {
        let at = at.element(i);
        i += 1;
        list.add().read(Value { form: reader.form()?, reader, at: &at, problems })
    })
}

impl<'a> Setting<'a> for Cow<'a, str> {
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error> {
        if value.form != Form::Text {
            return value.refuse(&"a string");
        }
        *self = value.reader.string()?;
        Ok(())
    }
}

impl<'a> Setting<'a> for bool {
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error> {
        if value.form != Form::Boolean {
            return value.refuse(&"a boolean");
        }
        *self = value.reader.raw()? == "true";
        Ok(())
    }
}

impl<'a> Setting<'a> for i64 {
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error> {
        let text = value.reader.raw()?;
        if let Ok(number) = text.parse() {
            *self = number;
        } else {
            let found = shown(text);
            value.problems.report(value.at, format_args!("is {found}, not an integer"));
        }
        Ok(())
    }
}

/// Gives the values of a type their names among the settings.
macro_rules! choice {
    ($name:ident { $( $text:literal => $value:ident, )* }) => {
        impl<'a> $crate::section::Setting<'a> for $name {
            fn read(
                &mut self,
                value: $crate::section::Value<'_, 'a>,
            ) -> Result<(), $crate::reader::Error> {
                match &*$crate::section::choose(&[$( $text ),*], value)? {
                    $( $text => *self = Self::$value, )*
                    _ => {}
                }
                Ok(())
            }
        }
    };
}
pub(crate) use choice;

/// Reads one of several names.
///
/// # Errors
/// When the text isn't JSON.
pub fn choose<'a>(names: &[&str], value: Value<'_, 'a>) -> Result<Cow<'a, str>, Error> {
    let expected = format_args!("one of {}", Joined(names, ", "));
    if value.form != Form::Text {
        return value.refuse(&expected).map(|()| Cow::default());
    }
    let name = value.reader.string()?;
    if !names.contains(&&*name) {
        let found = Quoted(&name);
        value.problems.report(value.at, format_args!("is {found}, not {expected}"));
    }
    Ok(name)
}

/// The name that a wrong one was meant to be.
fn nearest(key: &str, names: &[&'static str]) -> &'static str {
    names.iter().min_by_key(|name| distance(key, name)).copied().unwrap_or_default()
}

/// The path of a section, which may be all of them.
struct Named<'p>(&'p Path<'p>);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if matches!(self.0, Path::Keys([])) { f.write_str("the settings") } else { self.0.fmt(f) }
    }
}

fn string(text: &str) -> Option<Cow<'_, str>> {
    Reader::new(text).string().ok()
}

/// A value in a message, short enough to read.
fn shown(text: &str) -> String {
    match Reader::new(text).form() {
        Ok(Form::Object) => "an object".to_owned(),
        Ok(Form::List) => "a list".to_owned(),
        Ok(Form::Text) => string(text).map_or(String::new(), |text| Quoted(&text).to_string()),
        _ => text.chars().take(60).collect(),
    }
}

/// How many characters have to be added, removed or changed to make one word of the other
/// (Levenshtein's distance). Case counts as half a change.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).map(|i| 2 * i).collect();
    for (i, a) in one.chars().take(100).enumerate() {
        let mut diagonal = row[0];
        row[0] = 2 * (i + 1);
        for (j, b) in other.iter().enumerate() {
            let change = match (a == *b, a.eq_ignore_ascii_case(b)) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            let best = (diagonal + change).min(row[j] + 2).min(row[j + 1] + 2);
            (diagonal, row[j + 1]) = (row[j + 1], best);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn the_distance_counts_changes() {
        for (one, other, expected) in [
            ("", "", 0),
            ("mode", "mode", 0),
            ("Mode", "mode", 1),
            ("mod", "mode", 2),
            ("modes", "mode", 2),
            ("made", "mode", 2),
            ("", "mode", 8),
            ("fsgroup", "fsGroup", 1),
        ] {
            assert_eq!(distance(one, other), expected, "{one} and {other}");
        }
    }
}
