//! Tokens are asked for only the audiences that the operator allows.

use super::{Finding, Remedy, token_lifetime::at_token};
use crate::json::{Path, Quoted};
use crate::pod_spec::PodSpec;
use crate::settings::Settings;

const RULE: &str = "audience";

/// Reports each projected token for an audience that isn't allowed.
pub fn check<'a>(
    spec: &PodSpec<'a>,
    settings: &Settings,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, volume) in spec.volumes.elements() {
        for (j, token) in volume.tokens() {
            let Some(projection) = token.get() else { continue };
            let audience = projection.audience.or_empty();
            if settings.allows_audience(audience) {
                continue;
            }
            let (audience, name) = (Quoted(audience), Quoted(volume.name.or_empty()));
            let allowed = settings.allowed_audiences.as_deref().unwrap_or_default().join(", ");
            findings.push(Finding {
                path: at_token(at, i, j, "audience"),
                rule: RULE,
                message: format!(
                    "{audience} is not an allowed audience (volume {name}); allowed are the API \
                     server's own{}{allowed}",
                    if allowed.is_empty() { "" } else { " and " },
                ),
                remedy: Remedy::Reject,
            });
        }
    }
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
