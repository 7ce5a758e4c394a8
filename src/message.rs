//! What messages are made of: the path of a value, text from a request, what can't be read.

use std::fmt;

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
            Path::Keys(keys) => Joined(keys, ".").fmt(f),
            Path::Member(Path::Keys([]), key) => f.write_str(key),
            Path::Member(parent, key) => write!(f, "{parent}.{key}"),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Several things in a message, with a separator between them.
pub struct Joined<'j, T>(pub &'j [T], pub &'static str);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(self.1)?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

/// Text from a request in a message: quoted as JSON, so that it stays on one line, and cut to
/// the longest name that Kubernetes allows, so that a request can't blow up its own rejection.
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const LONGEST: usize = 253;
        let end = self.0.char_indices().nth(LONGEST).map(|(end, _)| end);
        let (text, more) = match end.and_then(|end| self.0.get(..end)) {
            Some(cut) => (cut, "…"),
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
