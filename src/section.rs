//! Reading settings: each member as its type, every problem collected with its path.

use crate::json::{Path, Quoted};
use crate::reader::{Error, Form, Reader};
use std::borrow::Cow;
use std::fmt::Display;

/// An object among the settings.
pub struct Section<'p, 'a> {
    path: &'p Path<'p>,
    members: Vec<(Cow<'a, str>, &'a str)>,
    asked: Vec<&'static str>,
    problems: &'p mut Vec<String>,
}

impl<'p, 'a> Section<'p, 'a> {
    /// Reads an object with `read`, and reports the members that it didn't ask for.
    pub fn read<T>(
        path: &'p Path<'p>,
        text: &'a str,
        problems: &'p mut Vec<String>,
        read: impl FnOnce(&mut Section<'_, 'a>) -> T,
    ) -> T {
        let mut section = Section { path, members: Vec::new(), asked: Vec::new(), problems };
        let mut reader = Reader::new(text);
        match reader.form() {
            Ok(Form::Null) => {
                if let Err(e) = reader.skip().and_then(|()| reader.end()) {
                    section.problems.push(format!("{}: {e}", named(path)));
                }
            }
            Ok(Form::Object) => section.read_members(text),
            Ok(_) => {
                section.problems.push(format!(
                    "{}: is {}, not an object",
                    named(path),
                    shown(text)
                ));
            }
            Err(e) => section.problems.push(format!("{}: {e}", named(path))),
        }
        let it = read(&mut section);
        section.report_unknown();
        it
    }

    fn read_members(&mut self, text: &'a str) {
        let Self { members, problems, path, .. } = self;
        let mut reader = Reader::new(text);
        let read = reader.object(&mut |reader, key| {
            if members.iter().any(|(name, _)| name == key) {
                problems.push(format!("{}: is there twice", path.member(key)));
            }
            members.push((key.clone(), reader.raw()?));
            Ok(())
        });
        if let Err(e) = read.and_then(|()| reader.end()) {
            self.problems.push(format!("{}: {e}", named(self.path)));
        }
    }

    fn report_unknown(&mut self) {
        for (key, _) in &self.members {
            let nearest = self.asked.iter().min_by_key(|known| distance(key, known));
            let known = nearest.copied().unwrap_or_default();
            let path = self.path.member(key);
            self.problems.push(format!("{path}: is not a setting; the nearest one is {known}"));
        }
    }

    /// The path of a member.
    pub fn path_of<'k>(&'k self, key: &'k str) -> Path<'k> {
        self.path.member(key)
    }

    /// The text of a member, unless it is `null`.
    fn take(&mut self, key: &'static str) -> Option<&'a str> {
        self.asked.push(key);
        let at = self.members.iter().position(|(name, _)| name == key)?;
        Some(self.members.swap_remove(at).1).filter(|text| *text != "null")
    }

    fn wrong(&mut self, path: &impl Display, text: &str, expected: &str) {
        self.problems.push(format!("{path}: is {}, not {expected}", shown(text)));
    }

    /// A value, if `parse` can make one of the member's text.
    fn scalar<T>(
        &mut self,
        key: &'static str,
        expected: impl FnOnce() -> String,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let text = self.take(key)?;
        let value = parse(text);
        if value.is_none() {
            let path = self.path.member(key);
            self.wrong(&path, text, &expected());
        }
        value
    }

    /// An integer.
    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.scalar(key, || "an integer".to_owned(), |text| text.parse().ok())
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.scalar(key, || "a boolean".to_owned(), |text| text.parse().ok())
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<Cow<'a, str>> {
        self.scalar(key, || "a string".to_owned(), string)
    }

    /// One of several names.
    pub fn choice<T: Copy>(&mut self, key: &'static str, names: &[(&str, T)]) -> Option<T> {
        let named = |text: &str| {
            let text = string(text)?;
            names.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice)
        };
        let expected = || {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            format!("one of {}", names.join(", "))
        };
        self.scalar(key, expected, named)
    }

    /// A nested object.
    pub fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'a>) -> T,
    ) -> Option<T> {
        let text = self.take(key)?;
        Some(Section::read(&self.path.member(key), text, self.problems, read))
    }

    /// A list of objects.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Section<'_, 'a>) -> T,
    ) -> Option<Vec<T>> {
        let path = self.path.member(key);
        let elements = self.elements(key)?.into_iter().enumerate();
        let read_one = |(i, text)| Section::read(&path.element(i), text, self.problems, &read);
        Some(elements.map(read_one).collect())
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Cow<'a, str>>> {
        let path = self.path.member(key);
        let text = self.take(key)?;
        let (mut texts, mut i) = (Vec::new(), 0);
        let read = Reader::new(text).list(&mut |reader| {
            if reader.form()? == Form::Text {
                texts.push(reader.string()?);
            } else {
                self.wrong(&path.element(i), reader.raw()?, "a string");
            }
            i += 1;
            Ok(())
        });
        if read.is_err() {
            self.wrong(&path, text, "a list");
        }
        read.ok().map(|()| texts)
    }

    /// The texts of a list's elements.
    fn elements(&mut self, key: &'static str) -> Option<Vec<&'a str>> {
        let text = self.take(key)?;
        let elements = elements(text);
        if elements.is_err() {
            let path = self.path.member(key);
            self.wrong(&path, text, "a list");
        }
        elements.ok()
    }

    /// Reports a member that has to be there, unless what is there has been reported already.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: fn(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        let problems = self.problems.len();
        let value = read(self, key);
        if value.is_none() && self.problems.len() == problems {
            let path = self.path.member(key);
            self.problems.push(format!("{path}: is missing"));
        }
        value
    }
}

fn form(text: &str) -> Option<Form> {
    Reader::new(text).form().ok()
}

fn string(text: &str) -> Option<Cow<'_, str>> {
    Reader::new(text).string().ok()
}

fn elements(text: &str) -> Result<Vec<&str>, Error> {
    let mut elements = Vec::new();
    Reader::new(text).list(&mut |reader| {
        elements.push(reader.raw()?);
        Ok(())
    })?;
    Ok(elements)
}

fn named(path: &Path) -> String {
    if matches!(path, Path::Keys([])) { "the settings".to_owned() } else { path.to_string() }
}

/// A value in a message, short enough to read.
fn shown(text: &str) -> String {
    match form(text) {
        Some(Form::Object) => "an object".to_owned(),
        Some(Form::List) => "a list".to_owned(),
        Some(Form::Text) => string(text).map_or(String::new(), |text| Quoted(&text).to_string()),
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
