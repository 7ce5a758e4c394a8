//! Every token's effective lifetime is within the bound for its audience.

use super::{Context, Finding, Remedy};
use crate::fix::{self, Member};
use crate::json::{Editable, Int};
use crate::message::{Path, Quoted};
use crate::objects::{CsiDriverSpec, TokenRequestSpec};
use crate::pod_spec::{PodSpec, TokenProjection};
use crate::settings::Settings;

/// The rule's name.
pub const RULE: &str = "token-lifetime";

/// What a token gets that asks for nothing, in seconds (`pkg/apis/core/v1/defaults.go`,
/// `SetDefaults_ServiceAccountTokenProjection`).
const DEFAULT: i64 = 3600;

/// The one lifetime, in seconds, that the API server doesn't take at its word
/// (`pkg/serviceaccount/claims.go`, `WarnOnlyBoundTokenExpirationPeriod`) …
pub const EXTENDED_LIFETIME: i64 = 3607;

/// … and what it makes of it (`ExpirationExtensionSeconds`): a year.
const EXTENDED_TO: i64 = 365 * 24 * 60 * 60;

/// Reports each projected token of a Pod that outlives its bound.
pub fn check<'a>(
    spec: &PodSpec<'a>,
    settings: &Settings,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, volume) in spec.volumes.elements() {
        for (j, token) in volume.tokens() {
            let whose = || format!("volume {}", Quoted(volume.name.or_empty()));
            let path = || at_token(at, i, j, "expirationSeconds");
            findings.extend(check_token(token, settings, path, whose));
        }
    }
}

/// Reports each token of a CSI driver that outlives its bound. The kubelet asks for them like for
/// a projected token, bound to the Pod (`pkg/volume/csi/csi_plugin.go`,
/// `podServiceAccountTokenAttrs`).
pub fn check_csi_driver<'a>(
    driver: &CsiDriverSpec<'a>,
    settings: &Settings,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, token) in driver.token_requests.get().into_iter().flatten().enumerate() {
        let whose = || "each Pod with a volume of this driver".to_owned();
        let path = || format!("spec.tokenRequests[{i}].expirationSeconds");
        findings.extend(check_token(token, settings, path, whose));
    }
}

/// Reports a request for a token that outlives its bound. With several audiences the smallest
/// bound counts.
pub fn check_request<'a>(
    spec: &Editable<'a, TokenRequestSpec<'a>>,
    context: &Context,
    findings: &mut Vec<Finding<'a>>,
) {
    let (Some(request), Some(text)) = (spec.get(), spec.text) else { return };
    let settings = context.settings;
    let mut audiences: Vec<&str> = request.audiences.elements().map(|(_, it)| &**it).collect();
    if audiences.is_empty() {
        audiences.push("");
    }
    let bound_object = request.bound_object_ref.get().map(|object| object.kind.or_empty());
    // Only a token that is bound to a Pod, for nobody but the API server, is extended
    // (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`).
    let own = bound_object == Some("Pod")
        && audiences.iter().all(|audience| settings.api_server.is_meant_by(audience));
    let Some(asked) = request.expiration_seconds.or(DEFAULT) else { return };
    let strictest = audiences.into_iter().min_by_key(|audience| settings.bound(audience));
    let Some(excess) = Excess::of(asked, strictest.unwrap_or(""), own, settings) else { return };
    let whose = context
        .service_account
        .map_or(String::new(), |account| format!(" (service account {})", Quoted(account)));
    findings.push(excess.finding(
        "spec.expirationSeconds".to_owned(),
        request.expiration_seconds,
        text,
        &whose,
        settings,
    ));
}

fn check_token<'a>(
    token: &TokenProjection<'a>,
    settings: &Settings,
    path: impl FnOnce() -> String,
    whose: impl FnOnce() -> String,
) -> Option<Finding<'a>> {
    let projection = token.get()?;
    let audience = projection.audience.or_empty();
    let own = settings.api_server.is_meant_by(audience);
    let asked = projection.expiration_seconds;
    let excess = Excess::of(asked.or(DEFAULT)?, audience, own, settings)?;
    let whose = format!(" ({})", whose());
    Some(excess.finding(path(), asked, token.text?, &whose, settings))
}

/// The path of a member of a projected token.
pub fn at_token(spec: &Path, volume: usize, source: usize, member: &str) -> String {
    let volumes = spec.member("volumes");
    let projected = volumes.element(volume);
    let sources = projected.member("projected");
    let sources = sources.member("sources");
    sources.element(source).member("serviceAccountToken").member(member).to_string()
}

/// A lifetime over its bound.
struct Excess<'t> {
    /// Seconds that were asked for.
    asked: i64,
    /// Whom the token is for.
    audience: &'t str,
    /// The bound, in seconds.
    bound: i64,
    /// True when the API server would make a year of it.
    extended: bool,
}

impl<'t> Excess<'t> {
    /// `None` when the effective lifetime is within the bound. `own` tells whether the token is
    /// one that the API server extends.
    fn of(asked: i64, audience: &'t str, own: bool, settings: &Settings) -> Option<Self> {
        let extended = own && asked == EXTENDED_LIFETIME && settings.api_server.extends_tokens;
        let lifetime = if extended { EXTENDED_TO } else { asked };
        let bound = settings.bound(audience);
        (lifetime > bound).then_some(Self { asked, audience, bound, extended })
    }

    fn finding<'a>(
        &self,
        path: String,
        asked: Int<'a>,
        object: &'a str,
        whose: &str,
        settings: &Settings,
    ) -> Finding<'a> {
        let value = settings.lifetime_to_set(self.bound).to_string();
        let member = Member { key: "expirationSeconds", now: asked.text(), value };
        let default = if asked.is_absent() { " (the default)" } else { "" };
        let remedy = Remedy::Edit(fix::set(object, &[member]));
        Finding { path, rule: RULE, message: self.message(default, whose), remedy }
    }

    fn message(&self, default: &str, whose: &str) -> String {
        let Self { asked, audience, bound, extended } = self;
        let audience = match *audience {
            "" => "the API server's audience".to_owned(),
            named => format!("audience {}", Quoted(named)),
        };
        let over = format!("{asked}{default} is over the bound of {bound} s for {audience}{whose}");
        if *extended {
            format!(
                "{over}: the API server extends exactly {EXTENDED_LIFETIME} s to one year \
                 ({EXTENDED_TO} s); ask for any other value, {bound} at most"
            )
        } else {
            format!("{over}; ask for {bound} at most")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings;

    fn spec(token: &str) -> String {
        format!(
            r#"{{"volumes":[{{"name":"t","projected":{{"sources":[{{"configMap":{{}}}},{{"serviceAccountToken":{token}}}]}}}}]}}"#
        )
    }

    #[test]
    fn lifetimes_over_the_bound() {
        const API: &str = "the API server's audience";
        const VAULT: &str = r#"audience "vault""#;
        let extends = r#"{"maxExpirationSeconds":7200,"apiServer":{"audiences":["own"]}}"#;
        let honest = r#"{"maxExpirationSeconds":7200,"apiServer":{"extendsTokens":false}}"#;
        let year = r#"{"maxExpirationSeconds":31536000}"#;
        let vault = r#"{"audiences":[{"audience":"va*","maxExpirationSeconds":600},{"audience":"*","maxExpirationSeconds":9000}]}"#;
        let own = r#"{"maxExpirationSeconds":7200,"apiServer":{"audiences":["a","b"]},"audiences":[{"audience":"b","maxExpirationSeconds":600}]}"#;
        // The token, the settings, and of the finding: value, bound, audience, whether extended.
        for (token, settings, expected) in [
            ("{}", "{}", None),
            (r#"{"expirationSeconds":3600}"#, "{}", None),
            (r#"{"expirationSeconds":3601}"#, "{}", Some(("3601", 3600, API, false))),
            (r#"{"expirationSeconds":600}"#, "{}", None),
            (r#"{"expirationSeconds":-5}"#, "{}", None),
            (r#"{"expirationSeconds":null}"#, "{}", None),
            (
                "{}",
                r#"{"maxExpirationSeconds":600}"#,
                Some(("3600 (the default)", 600, API, false)),
            ),
            (
                r#"{"expirationSeconds":9223372036854775807}"#,
                "{}",
                Some(("9223372036854775807", 3600, API, false)),
            ),
            (r#"{"expirationSeconds":3607}"#, "{}", Some(("3607", 3600, API, true))),
            (r#"{"expirationSeconds":3607}"#, extends, Some(("3607", 7200, API, true))),
            (
                r#"{"audience":"","expirationSeconds":3607}"#,
                extends,
                Some(("3607", 7200, API, true)),
            ),
            (
                r#"{"audience":"own","expirationSeconds":3607}"#,
                extends,
                Some(("3607", 7200, r#"audience "own""#, true)),
            ),
            (r#"{"audience":"Own","expirationSeconds":3607}"#, extends, None),
            (r#"{"audience":"vault","expirationSeconds":3607}"#, extends, None),
            (r#"{"expirationSeconds":3606}"#, extends, None),
            (r#"{"expirationSeconds":3607}"#, honest, None),
            (r#"{"expirationSeconds":3607}"#, year, None),
            (
                r#"{"audience":"vault","expirationSeconds":3600}"#,
                vault,
                Some(("3600", 600, VAULT, false)),
            ),
            (r#"{"audience":"other","expirationSeconds":9000}"#, vault, None),
            (r#"{"expirationSeconds":3600}"#, own, Some(("3600", 600, API, false))),
            (r#"{"audience":"a","expirationSeconds":3600}"#, own, None),
        ] {
            let found = findings(super::RULE, &spec(token), settings);
            let Some((value, bound, audience, extended)) = expected else {
                assert_eq!(found, [], "{token} with {settings}");
                continue;
            };
            let [(line, mended)] = &found[..] else { panic!("{token} with {settings}: {found:?}") };
            let path = "spec.volumes[0].projected.sources[1].serviceAccountToken.expirationSeconds";
            let start = format!(
                r#"{path}: {value} is over the bound of {bound} s for {audience} (volume "t")"#
            );
            assert!(line.starts_with(&start), "{line}, not {start}");
            assert_eq!(line.contains("to one year (31536000 s)"), extended, "{line}");
            assert!(mended.contains(&format!(r#""expirationSeconds":{bound}"#)), "{mended}");
            assert_eq!(findings(super::RULE, mended, settings), [], "{mended} with {settings}");
        }
    }

    #[test]
    fn the_lifetime_that_is_set_is_never_extended() {
        let settings = r#"{"maxExpirationSeconds":3607,"apiServer":{"extendsTokens":false}}"#;
        let found = findings(super::RULE, &spec(r#"{"expirationSeconds":3608}"#), settings);
        assert!(found[0].1.contains(r#""expirationSeconds":3606"#), "{found:?}");
    }
}
