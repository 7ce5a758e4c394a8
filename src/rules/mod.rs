//! The rules: each reads the borrowed view of an object and reports findings.

use crate::fix::Edit;
use crate::json::{Json, Read};
use crate::lookup::Cluster;
use crate::message::{Misread, Path};
use crate::pod_spec::Pod;
use crate::request::{Object, Request};
use crate::settings::Settings;
use crate::target::Target;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

mod audience;
mod fs_group;
mod legacy_secret;
mod legacy_token;
mod token_lifetime;

pub use token_lifetime::EXTENDED_LIFETIME;

/// The name under which a field that can't be read is reported.
pub const READABLE: &str = "readable";

/// The name under which a failed question to the cluster is reported.
pub const LOOKUP: &str = "lookup";

/// All these names, sorted.
pub const NAMES: [&str; 6] =
    [audience::RULE, fs_group::RULE, legacy_token::RULE, LOOKUP, READABLE, token_lifetime::RULE];

/// What a rule knows beside the object.
pub struct Context<'c> {
    /// The settings for the request's namespace.
    pub settings: &'c Settings<'c>,
    /// The request's namespace.
    pub namespace: &'c str,
    /// The service account that the object is about.
    pub service_account: Option<&'c str>,
    /// Who answers questions about the cluster.
    pub cluster: &'c dyn Cluster,
}

/// One violation of a rule.
#[derive(Debug)]
pub struct Finding<'a> {
    /// Where, as the client wrote the object.
    pub path: String,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong: the value, the bound and the way out.
    pub message: String,
    /// What mode `mutate` does about it.
    pub remedy: Remedy<'a>,
}

/// What can be done about a violation.
#[derive(Debug)]
pub enum Remedy<'a> {
    /// Only the author can mend it.
    Reject,
    /// These edits mend it.
    Edit(Vec<Edit<'a>>),
    /// It could be mended, but that might break the workload: why it is left as it is.
    Leave(String),
}

impl Finding<'_> {
    /// True for what keeps the policy from looking: that is rejected in every mode.
    pub fn is_blind(&self) -> bool {
        self.rule == READABLE || self.rule == LOOKUP
    }
}

impl Ord for Finding<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.path, &self.message).cmp(&(&other.path, &other.message))
    }
}

impl PartialOrd for Finding<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Finding<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Finding<'_> {}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl From<Misread> for Finding<'_> {
    fn from(Misread { path, message }: Misread) -> Self {
        Self { path, rule: READABLE, message, remedy: Remedy::Reject }
    }
}

/// All that is wrong with an object, sorted by path.
pub fn check<'a>(request: &Request<'a>, target: Target, context: &Context) -> Vec<Finding<'a>> {
    let mut findings = Vec::new();
    let mut misreads = Vec::new();
    if request.misread && target != Target::EphemeralContainers {
        request.object.misreads(&Path::OBJECT, &mut misreads);
    }
    match (&request.object, target) {
        (Object::Pod(pod), Target::EphemeralContainers) => {
            check_ephemeral_containers(request, pod, context, &mut findings, &mut misreads);
        }
        (object, Target::Pod | Target::Template) => {
            check_pod(object, context, &mut findings, &mut misreads);
        }
        (object, _) => check_other(object, context, &mut findings, &mut misreads),
    }
    findings.extend(misreads.into_iter().map(Finding::from));
    sorted(findings)
}

/// A heap is a good deal less code than the standard library's sort.
fn sorted<T: Ord>(these: impl IntoIterator<Item = T>) -> Vec<T> {
    these.into_iter().collect::<BinaryHeap<_>>().into_sorted_vec()
}

/// A Pod or a template of Pods.
fn check_pod<'a>(
    object: &Object<'a>,
    context: &Context,
    findings: &mut Vec<Finding<'a>>,
    misreads: &mut Vec<Misread>,
) {
    let at = Path::Keys(object.pod_path());
    let Some(pod) = object.pod() else {
        if misreads.is_empty() {
            misreads.push(Misread::missing(&at));
        }
        return;
    };
    let at = at.member("spec");
    match &pod.spec.read {
        Read::Absent => misreads.push(Misread::missing(&at)),
        Read::Wrong(_) => {}
        Read::Is(spec) => {
            let settings = context.settings;
            token_lifetime::check(spec, settings, &at, findings);
            audience::check(spec, settings, &at, findings);
            let converted = legacy_token::check(spec, context, &at, findings);
            fs_group::check(&pod.spec, &converted, settings, &at, findings);
        }
    }
}

/// A Pod to which ephemeral containers are being added. What was there before isn't looked at.
fn check_ephemeral_containers<'a>(
    request: &Request<'a>,
    pod: &Read<Pod<'a>>,
    context: &Context,
    findings: &mut Vec<Finding<'a>>,
    misreads: &mut Vec<Misread>,
) {
    let at = Path::Keys(&["spec"]);
    match pod.get().map(|pod| &pod.spec.read) {
        Some(Read::Is(spec)) => {
            let old = request.old_ephemeral_containers();
            let old = sorted(old.elements().map(|(_, it)| it.name.or_empty()));
            spec.ephemeral_containers.misreads(&at.member("ephemeralContainers"), misreads);
            legacy_token::check_ephemeral_containers(spec, &old, context, &at, findings);
        }
        Some(spec @ Read::Wrong(_)) => spec.misreads(&at, misreads),
        Some(Read::Absent) => misreads.push(Misread::missing(&at)),
        None if pod.is_absent() => misreads.push(Misread::missing(&Path::OBJECT)),
        None => pod.misreads(&Path::OBJECT, misreads),
    }
}

/// An object that has no Pod in it.
fn check_other<'a>(
    object: &Object<'a>,
    context: &Context,
    findings: &mut Vec<Finding<'a>>,
    misreads: &mut Vec<Misread>,
) {
    if object.is_absent() {
        misreads.push(Misread::missing(&Path::OBJECT));
    }
    match object {
        Object::TokenRequest(it) => {
            let Some(it) = it.get() else { return };
            match it.spec.get() {
                Some(spec) => {
                    token_lifetime::check_request(&it.spec, context, findings);
                    audience::check_request(spec, context, findings);
                }
                None if it.spec.is_absent() => {
                    misreads.push(Misread::missing(&Path::Keys(&["spec"])));
                }
                None => {}
            }
        }
        Object::CsiDriver(it) => {
            let Some(spec) = it.get().and_then(|driver| driver.spec.get()) else { return };
            token_lifetime::check_csi_driver(spec, context.settings, findings);
            audience::check_csi_driver(spec, context.settings, findings);
        }
        Object::Secret(it) => {
            let Some(secret) = it.get() else { return };
            legacy_secret::check(secret, context, findings);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, Finding, Remedy, check};
    use crate::json::{Lazy, Read};
    use crate::lookup::Host;
    use crate::request::{Payload, Request};
    use crate::settings::Settings;
    use crate::target::Target;

    /// What one rule finds in a Pod with this `spec`: each line, and what would be done about it.
    pub fn findings(rule: &str, spec: &str, settings: &str) -> Vec<(String, String)> {
        let object = format!(r#"{{"spec":{spec}}}"#);
        let payload = format!(
            r#"{{"request":{{"kind":{{"kind":"Pod"}},"operation":"CREATE","object":{object}}}}}"#
        );
        let found = in_request(rule, &payload, settings, |finding| remedy(&payload, finding));
        let (before, after) = payload.split_once(&object).unwrap();
        let spec_of = |it: String| match it.strip_prefix(before) {
            Some(it) => it.strip_suffix(after).unwrap()[8..].strip_suffix('}').unwrap().to_owned(),
            None => it,
        };
        found.into_iter().map(|(line, it)| (line, spec_of(it))).collect()
    }

    fn in_request(
        rule: &str,
        payload: &str,
        settings: &str,
        remedy: impl Fn(Finding) -> String,
    ) -> Vec<(String, String)> {
        let payload: Payload = match Payload::read(payload, None).unwrap() {
            Read::Is(payload) => payload,
            other => panic!("{other:?}"),
        };
        let request: &Request = payload.request.get().unwrap();
        let settings = Settings::read(settings).unwrap();
        let service_account = request.service_account();
        let context = Context {
            settings: &settings,
            namespace: "payments",
            service_account: service_account.as_deref(),
            cluster: &Host,
        };
        let found = check(request, Target::of(request).unwrap(), &context).into_iter();
        let found = found.filter(|finding| finding.rule == rule);
        found.map(|finding| (finding.to_string(), remedy(finding))).collect()
    }

    fn remedy(payload: &str, finding: Finding) -> String {
        let mut edited = String::new();
        match finding.remedy {
            Remedy::Reject => "reject".to_owned(),
            Remedy::Leave(why) => format!("leave: {why}"),
            Remedy::Edit(edits) => {
                let object = Lazy::whole(payload).at(&["request", "object"]).text().unwrap();
                let start = object.as_ptr().addr() - payload.as_ptr().addr();
                crate::fix::apply(object, edits, &mut edited).unwrap();
                payload[..start].to_owned() + &edited + &payload[start + object.len()..]
            }
        }
    }
}
