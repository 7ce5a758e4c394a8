//! The path of a field in an object, as in apimachinery's `field.Path`: `spec.volumes[2].projected`.

use derive_more::Deref;
use std::cmp::Ordering;
use std::fmt;

/// A path, from the object. Paths are ordered as people do: `volumes[2]` before `volumes[10]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deref)]
pub struct FieldPath(Vec<Segment>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    Index(usize),
    Name(Literal),
    /// The key of a map, such as that of an annotation.
    Key(Literal),
}

/// A name in this program's text. Two that lie in the same place are equal: paths share most of their
/// names, and tens of thousands of them are sorted.
#[derive(Debug, Clone, Copy, Eq, Deref)]
pub struct Literal(&'static str);

impl Ord for Literal {
    fn cmp(&self, other: &Self) -> Ordering {
        if std::ptr::eq(self.0, other.0) {
            return Ordering::Equal;
        }
        self.0.cmp(other.0)
    }
}

impl PartialOrd for Literal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Segment {
    pub fn is_name(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if own.0 == name)
    }
}

impl FieldPath {
    pub fn new(names: &[&'static str]) -> Self {
        Self(
            names
                .iter()
                .map(|name| Segment::Name(Literal(name)))
                .collect(),
        )
    }

    pub fn child(&self, name: &'static str) -> Self {
        self.join(&[Segment::Name(Literal(name))])
    }

    pub fn element(&self, list: &'static str, index: usize) -> Self {
        self.join(&[Segment::Name(Literal(list)), Segment::Index(index)])
    }

    pub fn key(&self, key: &'static str) -> Self {
        self.join(&[Segment::Key(Literal(key))])
    }

    fn join(&self, path: &[Segment]) -> Self {
        Self([&*self.0, path].concat())
    }

    /// The path of the object that the field is in.
    pub fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(i, segment)| match segment {
                Segment::Index(index) => write!(f, "[{index}]"),
                Segment::Key(key) => write!(f, "[{}]", key.0),
                Segment::Name(name) => write!(f, "{}{}", if i == 0 { "" } else { "." }, name.0),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn paths_are_written_as_kubernetes_writes_them() {
        let volume = FieldPath::new(&["spec"]).element("volumes", 2);
        for (path, expected) in [
            (FieldPath::default(), ""),
            (volume.child("projected"), "spec.volumes[2].projected"),
            (volume.child("secret").parent(), "spec.volumes[2]"),
            (FieldPath::new(&["data"]).key("ca.crt"), "data[ca.crt]"),
        ] {
            assert_eq!(path.to_string(), expected);
        }
    }

    #[test]
    fn indices_are_ordered_by_number() {
        let spec = FieldPath::new(&["spec"]);
        let mut paths = [
            spec.element("volumes", 10),
            spec.element("volumes", 2),
            spec.child("volumes"),
        ];
        paths.sort();
        let paths = paths.map(|path| path.to_string());
        assert_eq!(
            paths,
            ["spec.volumes", "spec.volumes[2]", "spec.volumes[10]"]
        );
    }
}
