//! Reading settings: each member as its type, every problem collected with its path.

use serde_json::{Map, Value};

/// An object among the settings.
pub struct Section<'p> {
    path: String,
    members: Map<String, Value>,
    asked: Vec<&'static str>,
    problems: &'p mut Vec<String>,
}

impl<'p> Section<'p> {
    /// Reads an object with `read`, and reports the members that it didn't ask for.
    pub fn read<T>(
        path: String,
        value: Value,
        problems: &'p mut Vec<String>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let members = match value {
            Value::Object(members) => members,
            Value::Null => Map::new(),
            other => {
                problems.push(format!("{}: is {}, not an object", named(&path), shown(&other)));
                Map::new()
            }
        };
        let mut section = Self { path, members, asked: Vec::new(), problems };
        let it = read(&mut section);
        section.report_unknown();
        it
    }

    fn report_unknown(&mut self) {
        for key in self.members.keys() {
            let nearest = self.asked.iter().min_by_key(|known| distance(key, known));
            let known = nearest.copied().unwrap_or_default();
            let path = self.path_of(key);
            self.problems.push(format!("{path}: is not a setting; the nearest one is {known}"));
        }
    }

    /// The path of a member.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.members.remove(key).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, path: &str, value: &Value, expected: &str) {
        self.problems.push(format!("{path}: is {}, not {expected}", shown(value)));
    }

    /// An integer.
    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        let value = self.take(key)?;
        let number = value.as_i64();
        if number.is_none() {
            self.wrong(&self.path_of(key), &value, "an integer");
        }
        number
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.wrong(&self.path_of(key), &value, "a boolean");
        }
        boolean
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(&self.path_of(key), &other, "a string");
                None
            }
        }
    }

    /// One of several names.
    pub fn choice<T: Copy>(&mut self, key: &'static str, names: &[(&str, T)]) -> Option<T> {
        let value = self.take(key)?;
        let choice = names.iter().find(|(name, _)| value.as_str() == Some(name));
        if choice.is_none() {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            let names = format!("one of {}", names.join(", "));
            self.wrong(&self.path_of(key), &value, &names);
        }
        choice.map(|(_, choice)| *choice)
    }

    /// A nested object.
    pub fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section) -> T,
    ) -> Option<T> {
        let value = self.take(key)?;
        Some(Section::read(self.path_of(key), value, self.problems, read))
    }

    /// A list of objects.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Section) -> T,
    ) -> Option<Vec<T>> {
        let elements = self.elements(key)?;
        let read_one = |(path, value)| Section::read(path, value, self.problems, &read);
        Some(elements.into_iter().map(read_one).collect())
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for (path, value) in self.elements(key)? {
            match value {
                Value::String(text) => texts.push(text),
                other => self.wrong(&path, &other, "a string"),
            }
        }
        Some(texts)
    }

    fn elements(&mut self, key: &'static str) -> Option<Vec<(String, Value)>> {
        let path = self.path_of(key);
        match self.take(key)? {
            Value::Array(elements) => {
                let numbered = elements.into_iter().enumerate();
                Some(numbered.map(|(i, value)| (format!("{path}[{i}]"), value)).collect())
            }
            other => {
                self.wrong(&path, &other, "a list");
                None
            }
        }
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
            let path = self.path_of(key);
            self.problems.push(format!("{path}: is missing"));
        }
        value
    }
}

fn named(path: &str) -> &str {
    if path.is_empty() { "the settings" } else { path }
}

/// A value in a message, short enough to read.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        scalar => scalar.to_string().chars().take(60).collect(),
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
