//! Every token's effective lifetime is within the bound for its audience.

use super::{Finding, Remedy};
use crate::fix::{self, Member};
use crate::json::{Path, Quoted};
use crate::pod_spec::PodSpec;
use crate::settings::Settings;

const RULE: &str = "token-lifetime";

/// What a token gets that asks for nothing, in seconds (`pkg/apis/core/v1/defaults.go`,
/// `SetDefaults_ServiceAccountTokenProjection`).
const DEFAULT: i64 = 3600;

/// The one lifetime, in seconds, that the API server doesn't take at its word
/// (`pkg/serviceaccount/claims.go`, `WarnOnlyBoundTokenExpirationPeriod`) …
pub const EXTENDED_LIFETIME: i64 = 3607;

/// … and what it makes of it (`ExpirationExtensionSeconds`): a year.
const EXTENDED_TO: i64 = 365 * 24 * 60 * 60;

/// Reports each projected token that outlives its bound.
pub fn check<'a>(
    spec: &PodSpec<'a>,
    settings: &Settings,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    for (i, volume) in spec.volumes.elements() {
        for (j, token) in volume.tokens() {
            let Some(projection) = token.get() else { continue };
            let asked = projection.expiration_seconds;
            let audience = projection.audience.or_empty();
            // One that is there but can't be read is reported as unreadable.
            let seconds = if asked.is_absent() { Some(DEFAULT) } else { asked.get() };
            let Some(excess) = seconds.and_then(|asked| Excess::of(asked, audience, settings))
            else {
                continue;
            };
            let default = if asked.is_absent() { " (the default)" } else { "" };
            let (value, name) = (settings.lifetime_to_set(excess.bound), volume.name.or_empty());
            let member =
                Member { key: "expirationSeconds", now: asked.text(), value: value.to_string() };
            findings.push(Finding {
                path: at_token(at, i, j, "expirationSeconds"),
                rule: RULE,
                message: excess.message(default, audience, &format!("volume {}", Quoted(name))),
                remedy: Remedy::Edit(fix::set(token.text.unwrap_or("null"), &[member])),
            });
        }
    }
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
struct Excess {
    /// Seconds that were asked for.
    asked: i64,
    /// The bound, in seconds.
    bound: i64,
    /// True when the API server would make a year of it.
    extended: bool,
}

impl Excess {
    /// `None` when the effective lifetime is within the bound.
    fn of(asked: i64, audience: &str, settings: &Settings) -> Option<Self> {
        let extended = asked == EXTENDED_LIFETIME
            && settings.api_server.extends_tokens
            && settings.api_server.is_meant_by(audience);
        let lifetime = if extended { EXTENDED_TO } else { asked };
        let bound = settings.bound(audience);
        (lifetime > bound).then_some(Self { asked, bound, extended })
    }

    fn message(&self, default: &str, audience: &str, whose: &str) -> String {
        let Self { asked, bound, extended } = self;
        let audience = match audience {
            "" => "the API server's audience".to_owned(),
            named => format!("audience {}", Quoted(named)),
        };
        let over = format!("{asked}{default} is over the bound of {bound} s for {audience}");
        if *extended {
            format!(
                "{over} ({whose}): the API server extends exactly {EXTENDED_LIFETIME} s to one year \
                 ({EXTENDED_TO} s); ask for any other value, {bound} at most"
            )
        } else {
            format!("{over} ({whose}); ask for {bound} at most")
        }
    }
}
