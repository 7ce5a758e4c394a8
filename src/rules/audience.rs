//! Tokens are asked for only the audiences that the operator allows.

use super::{Context, Finding, Remedy, token_lifetime::at_token};
use crate::message::{Joined, Path, Quoted};
use crate::objects::{CsiDriverSpec, TokenRequestSpec};
use crate::pod_spec::PodSpec;
use crate::settings::Settings;

/// The rule's name.
pub const RULE: &str = "audience";

/// Reports each projected token of a Pod for an audience that isn't allowed.
pub fn check<'a>(
    spec: &PodSpec<'a>,
    settings: &Settings,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, volume) in spec.volumes.elements() {
        for (j, token) in volume.tokens() {
            let Some(projection) = token.get() else { continue };
            let whose = || format!(" (volume {})", Quoted(volume.name.or_empty()));
            let path = || at_token(at, i, j, "audience");
            findings.extend(check_audience(projection.audience.or_empty(), settings, path, whose));
        }
    }
}

/// Reports each token of a CSI driver for an audience that isn't allowed.
pub fn check_csi_driver<'a>(
    driver: &CsiDriverSpec<'a>,
    settings: &Settings,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, token) in driver.token_requests.get().into_iter().flatten().enumerate() {
        let Some(token) = token.get() else { continue };
        let path = || format!("spec.tokenRequests[{i}].audience");
        let audience = token.audience.or_empty();
        findings.extend(check_audience(audience, settings, path, String::new));
    }
}

/// Reports each audience of a request for a token that isn't allowed.
pub fn check_request<'a>(
    request: &TokenRequestSpec<'a>,
    context: &Context,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, audience) in request.audiences.elements() {
        let path = || format!("spec.audiences[{i}]");
        findings.extend(check_audience(audience, context.settings, path, String::new));
    }
}

fn check_audience<'a>(
    audience: &str,
    settings: &Settings,
    path: impl FnOnce() -> String,
    whose: impl FnOnce() -> String,
) -> Option<Finding<'a>> {
    if settings.allows_audience(audience) {
        return None;
    }
    let allowed = settings.allowed_audiences.as_deref().unwrap_or_default();
    let message = format!(
        "{} is not an allowed audience{}; allowed are the API server's own{}{}",
        Quoted(audience),
        whose(),
        if allowed.is_empty() { "" } else { " and " },
        Joined(allowed, ", "),
    );
    Some(Finding { path: path(), rule: RULE, message, remedy: Remedy::Reject })
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings;

    #[test]
    fn audiences_that_are_not_allowed() {
        let open = "{}";
        let none = r#"{"allowedAudiences":[]}"#;
        let some = r#"{"allowedAudiences":["vault","sts.*"],"apiServer":{"audiences":["own"]}}"#;
        for (audience, settings, allowed) in [
            ("null", open, true),
            (r#""anything""#, open, true),
            ("null", none, true),
            (r#""""#, none, true),
            (r#""vault""#, none, false),
            ("null", some, true),
            (r#""own""#, some, true),
            (r#""vault""#, some, true),
            (r#""Vault""#, some, false),
            (r#""vault/""#, some, false),
            (r#""sts.amazonaws.com""#, some, true),
            (r#""xsts.amazonaws.com""#, some, false),
        ] {
            let spec = format!(
                r#"{{"volumes":[{{"name":"t","projected":{{"sources":[{{"serviceAccountToken":{{"audience":{audience}}}}}]}}}}]}}"#
            );
            let found = findings(super::RULE, &spec, settings);
            assert_eq!(found.is_empty(), allowed, "{audience} with {settings}: {found:?}");
            for (line, remedy) in found {
                let path = "spec.volumes[0].projected.sources[0].serviceAccountToken.audience";
                let start = format!("{path}: {audience} is not an allowed audience (volume \"t\")");
                assert!(line.starts_with(&start), "{line}");
                assert_eq!(remedy, "reject");
            }
        }
    }
}
