//! The containers of a Pod: where each is in its spec, and whether it may be root.

use crate::field_path::FieldPath;
use crate::kubelet::users::{may_be_root, may_change_groups};
use crate::objects::{Container, PodSpec};

/// A container, and what is asked about it more than once.
#[derive(Debug, Clone, Copy)]
pub struct ContainerFacts<'r> {
    pub container: &'r Container<'r>,
    /// The list that it is in, and its index there.
    pub list: &'static str,
    pub index: usize,
    pub may_be_root: bool,
    pub may_change_groups: bool,
}

impl<'r> ContainerFacts<'r> {
    /// The facts about all containers of a Pod.
    pub fn of_all(spec: &'r PodSpec<'r>) -> Vec<Self> {
        let mut all = Vec::new();
        for (list, containers) in spec.container_lists() {
            for (index, container) in containers.iter().enumerate() {
                all.push(Self::new(spec, list, index, container));
            }
        }
        all
    }

    pub fn new(
        spec: &PodSpec,
        list: &'static str,
        index: usize,
        container: &'r Container<'r>,
    ) -> Self {
        Self {
            container,
            list,
            index,
            may_be_root: may_be_root(spec, container),
            may_change_groups: may_change_groups(spec, container),
        }
    }

    /// The path of the container, in a Pod whose spec has this path.
    pub fn path(&self, spec: &FieldPath) -> FieldPath {
        spec.element(self.list, self.index)
    }
}
