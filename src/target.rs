//! Which object this is, and whether we look at it.

use crate::json::Read;
use crate::pod_spec::Pod;
use crate::request::{GroupKind, Object, Request};

/// The kinds that rules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `v1 Pod`
    Pod,
}

impl Kind {
    /// The kind of an object; `None` when no rule is about it.
    pub fn of(kind: &Read<GroupKind>) -> Option<Self> {
        let kind = kind.get()?;
        match (kind.group.or_empty(), kind.kind.or_empty()) {
            ("", "Pod") => Some(Self::Pod),
            _ => None,
        }
    }
}

/// What there is to look at.
#[derive(Debug)]
pub enum Target<'r, 'a> {
    /// Nothing: not a kind, an operation or a part of the object that any rule is about.
    Nothing,
    /// A Pod that is about to be created.
    Pod(&'r Read<Pod<'a>>),
}

impl<'r, 'a> Target<'r, 'a> {
    /// Decides by kind, sub-resource and operation.
    pub fn of(request: &'r Request<'a>) -> Self {
        let part = request.sub_resource.or_empty();
        match (Kind::of(&request.kind), part, request.operation.or_empty()) {
            (Some(Kind::Pod), "", "CREATE") => match &request.object {
                Object::Pod(pod) => Self::Pod(pod),
                Object::Absent | Object::Skipped => Self::Pod(&Read::Absent),
            },
            // A Pod's volumes and security context can't change any more, and rejecting an
            // update would keep its finalizers, and so the Pod, alive.
            _ => Self::Nothing,
        }
    }
}
