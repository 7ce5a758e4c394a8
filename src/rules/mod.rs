//! The rules: each reads the borrowed view of an object and reports findings.

use crate::fix::Edit;
use crate::json::{Misread, Misreads, Path, Read};
use crate::pod_spec::Pod;
use crate::settings::Settings;
use std::fmt;

mod audience;
mod fs_group;
mod token_lifetime;

pub use token_lifetime::EXTENDED_LIFETIME;

/// The name under which a field that can't be read is reported.
pub const READABLE: &str = "readable";

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

/// All that is wrong with a Pod, sorted by path.
pub fn check_pod<'a>(pod: &Read<Pod<'a>>, settings: &Settings) -> Vec<Finding<'a>> {
    let object = Path::Object;
    let at = object.member("spec");
    let mut misreads = Vec::new();
    let mut findings = Vec::new();
    pod.misreads(&object, &mut misreads);
    match pod.get().map(|pod| &pod.spec) {
        None if pod.is_absent() => misreads.push(Misread::missing(&object)),
        Some(Read::Absent) => misreads.push(Misread::missing(&at)),
        Some(Read::Is(spec)) => {
            token_lifetime::check(spec, settings, &at, &mut findings);
            audience::check(spec, settings, &at, &mut findings);
            fs_group::check(spec, settings, &at, &mut findings);
        }
        None | Some(Read::Wrong(_)) => {}
    }
    findings.extend(misreads.into_iter().map(Finding::from));
    findings.sort_by(|a, b| a.path.cmp(&b.path));
    findings
}

#[cfg(test)]
mod tests {
    use super::{Finding, Remedy, check_pod};
    use crate::json::Read;
    use crate::pod_spec::Pod;
    use crate::settings::Settings;

    /// What one rule finds in a Pod with this `spec`: each line, and what would be done about it.
    pub fn findings(rule: &str, spec: &str, settings: &str) -> Vec<(String, String)> {
        let object = format!(r#"{{"spec":{spec}}}"#);
        let pod: Read<Pod> = serde_json::from_str(&object).unwrap();
        let settings = Settings::read(settings).unwrap();
        let found = check_pod(&pod, &settings).into_iter().filter(|finding| finding.rule == rule);
        found.map(|finding| (finding.to_string(), remedy(&object, finding))).collect()
    }

    fn remedy(object: &str, finding: Finding) -> String {
        let mut edited = String::new();
        match finding.remedy {
            Remedy::Reject => "reject".to_owned(),
            Remedy::Leave(why) => format!("leave: {why}"),
            Remedy::Edit(edits) => {
                crate::fix::apply(object, edits, &mut edited).unwrap();
                let edited = edited.strip_prefix(r#"{"spec":"#).unwrap().strip_suffix('}');
                edited.unwrap().to_owned()
            }
        }
    }
}
