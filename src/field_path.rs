//! The path of a field in an object, as in apimachinery's `field.Path`: `spec.volumes[2].projected`.

use derive_more::Deref;
use std::fmt;

/// A path, from the object. Paths are ordered as people do: `volumes[2]` before `volumes[10]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deref)]
pub struct FieldPath(Vec<Segment>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    Index(usize),
    Name(&'static str),
    /// The key of a map, such as that of an annotation.
    Key(&'static str),
}

impl Segment {
    pub fn is_name(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if *own == name)
    }
}

impl FieldPath {
    pub fn new(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| Segment::Name(name)).collect())
    }

    pub fn child(&self, name: &'static str) -> Self {
        self.join(&[Segment::Name(name)])
    }

    pub fn element(&self, list: &'static str, index: usize) -> Self {
        self.join(&[Segment::Name(list), Segment::Index(index)])
    }

    pub fn key(&self, key: &'static str) -> Self {
        self.join(&[Segment::Key(key)])
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
                Segment::Key(key) => write!(f, "[{key}]"),
                Segment::Name(name) => write!(f, "{}{name}", if i == 0 { "" } else { "." }),
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
