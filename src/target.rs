//! Which object this is, and whether we look at it.

use crate::json::Read;
use crate::request::{GroupKind, Request};

/// The kinds that rules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `v1 Pod`
    Pod,
    /// A kind with a Pod's template in `spec.template`.
    Workload,
    /// `batch/v1 CronJob`
    CronJob,
    /// `v1 PodTemplate`
    PodTemplate,
    /// `authentication.k8s.io/v1 TokenRequest`
    TokenRequest,
    /// `v1 Secret`
    Secret,
    /// `storage.k8s.io/v1 CSIDriver`
    CsiDriver,
}

impl Kind {
    /// The kind of an object; `None` when no rule is about it.
    pub fn of(kind: &Read<GroupKind>) -> Option<Self> {
        let kind = kind.get()?;
        match (kind.group.or_empty(), kind.kind.or_empty()) {
            ("", "Pod") => Some(Self::Pod),
            ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("", "ReplicationController")
            | ("batch", "Job") => Some(Self::Workload),
            ("batch", "CronJob") => Some(Self::CronJob),
            ("", "PodTemplate") => Some(Self::PodTemplate),
            ("authentication.k8s.io", "TokenRequest") => Some(Self::TokenRequest),
            ("", "Secret") => Some(Self::Secret),
            ("storage.k8s.io", "CSIDriver") => Some(Self::CsiDriver),
            _ => None,
        }
    }
}

/// What there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A Pod that is about to be created.
    Pod,
    /// The debug containers that are about to be added to a Pod.
    EphemeralContainers,
    /// What the Pods of a workload will be like. Never mutated: a GitOps controller would undo
    /// it for ever, and the Pods are mutated when they are created.
    Template,
    /// A token that is about to be issued.
    TokenRequest,
    /// A Secret that is about to be created.
    Secret,
    /// The tokens that a CSI driver wants of each Pod.
    CsiDriver,
}

impl Target {
    /// Decides by kind, sub-resource and operation; `None` when there is nothing to look at.
    pub fn of(request: &Request) -> Option<Self> {
        let part = request.sub_resource.or_empty();
        match (Kind::of(&request.kind)?, part, request.operation.or_empty()) {
            // When a Pod is updated, its volumes and security context can't change any more, and
            // rejecting it would keep its finalizers, and so the Pod, alive.
            (Kind::Pod, "", "CREATE") => Some(Self::Pod),
            (Kind::Pod, "ephemeralcontainers", "UPDATE") => Some(Self::EphemeralContainers),
            (Kind::Workload | Kind::CronJob | Kind::PodTemplate, "", "CREATE" | "UPDATE") => {
                Some(Self::Template)
            }
            (Kind::TokenRequest, "token", "CREATE") => Some(Self::TokenRequest),
            // A Secret's type can't change any more.
            (Kind::Secret, "", "CREATE") => Some(Self::Secret),
            (Kind::CsiDriver, "", "CREATE" | "UPDATE") => Some(Self::CsiDriver),
            _ => None,
        }
    }
}
