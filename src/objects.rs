//! The borrowed views of the objects beside Pods that rules are about.
//!
//! The names are those of the Kubernetes API; a test compares them with k8s-openapi's types.

use crate::json::{Editable, Int, List, Read, Text, view};
use crate::pod_spec::{Metadata, Pod};
use std::borrow::Cow;

view! {
    /// Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController and Job; and
    /// `JobTemplateSpec`, which is a Job without a status
    Workload<'a> {
        /// Where the template is.
        "spec" => spec: Read<WorkloadSpec<'a>>,
    }
}

view! {
    /// `DeploymentSpec` and its like
    WorkloadSpec<'a> {
        /// What the Pods will be like.
        "template" => template: Read<Pod<'a>>,
    }
}

view! {
    /// `batch/v1 CronJob`
    CronJob<'a> {
        /// Where the Job's template is.
        "spec" => spec: Read<CronJobSpec<'a>>,
    }
}

view! {
    /// `CronJobSpec`
    CronJobSpec<'a> {
        /// What the Jobs will be like.
        "jobTemplate" => job_template: Read<Workload<'a>>,
    }
}

view! {
    /// `v1 PodTemplate`
    PodTemplate<'a> {
        /// What the Pods will be like.
        "template" => template: Read<Pod<'a>>,
    }
}

view! {
    /// `authentication.k8s.io/v1 TokenRequest`
    TokenRequest<'a> {
        /// What is asked for.
        "spec" => spec: Editable<'a, TokenRequestSpec<'a>>,
    }
}

view! {
    /// `TokenRequestSpec`
    TokenRequestSpec<'a> {
        /// Whom the token is for; the API server when absent or empty.
        "audiences" => audiences: List<Cow<'a, str>>,
        /// Seconds; 3600 when absent.
        "expirationSeconds" => expiration_seconds: Int<'a>,
        /// The object with which the token ends.
        "boundObjectRef" => bound_object_ref: Read<BoundObjectReference<'a>>,
    }
}

view! {
    /// `BoundObjectReference`
    BoundObjectReference<'a> {
        /// Its kind.
        "kind" => kind: Text<'a>,
    }
}

view! {
    /// `v1 Secret`, less its data, which the policy never looks at
    Secret<'a> {
        /// The annotation that names the service account.
        "metadata" => metadata: Read<Metadata<'a>>,
        /// What the Secret is for.
        "type" => kind: Text<'a>,
    }
}

impl Secret<'_> {
    /// The type of a Secret that the API server puts a token in.
    pub const TOKEN: &'static str = "kubernetes.io/service-account-token";

    /// The annotation that names the service account.
    pub const OWNER: &'static str = "kubernetes.io/service-account.name";
}

view! {
    /// `storage.k8s.io/v1 CSIDriver`
    CsiDriver<'a> {
        /// What the driver wants.
        "spec" => spec: Read<CsiDriverSpec<'a>>,
    }
}

view! {
    /// `CSIDriverSpec`
    CsiDriverSpec<'a> {
        /// The tokens of each Pod that the kubelet hands to the driver.
        "tokenRequests" => token_requests: Read<Vec<CsiTokenRequest<'a>>>,
    }
}

/// `TokenRequest` of a CSI driver, with its text for a fix. Its members are those of a projected
/// token.
pub type CsiTokenRequest<'a> = crate::pod_spec::TokenProjection<'a>;
