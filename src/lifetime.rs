//! How long a token lives: what is asked for, what the API server makes of it, and what is left of
//! that once the request is admitted.

use crate::review::RequestedToken;
use crate::settings::{EXTENDED_LIFETIME, Mode, Settings};

/// What a token gets that asks for nothing, in seconds (`pkg/apis/core/v1/defaults.go`,
/// `SetDefaults_ServiceAccountTokenProjection`).
pub const DEFAULT_LIFETIME: i64 = 3600;

/// What the API server makes of [`EXTENDED_LIFETIME`] at most, in seconds: a year
/// (`pkg/serviceaccount/claims.go`, `ExpirationExtensionSeconds`).
pub const YEAR: i64 = 365 * 24 * 60 * 60;

/// The lifetime that a token asks for, in seconds.
pub fn asked(token: &RequestedToken) -> i64 {
    token.expiration_seconds.unwrap_or(DEFAULT_LIFETIME)
}

/// How long, in seconds, the API server will honour a copy of the token
/// (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`). Where nobody knows which
/// audiences are its own, any may be.
pub fn effective(token: &RequestedToken, settings: &Settings) -> i64 {
    let api_server = &settings.api_server;
    let is_extended = token.expiration_seconds == Some(EXTENDED_LIFETIME)
        && token.is_bound_to_pod
        && api_server.extends_tokens
        && (api_server.audiences.is_empty() || is_for_api_server(token, settings));
    if is_extended { YEAR } else { asked(token) }
}

/// True for a token that is known to be for the API server itself, and for nobody else.
pub fn is_for_api_server(token: &RequestedToken, settings: &Settings) -> bool {
    let mut audiences = token.audiences.iter();
    audiences.all(|audience| settings.api_server.is_own(audience))
}

/// Of several audiences the one with the lowest maximum, and that, in seconds; the API server's has
/// no name.
pub fn strictest_maximum<'r>(token: &RequestedToken<'r>, settings: &Settings) -> (&'r str, i64) {
    let audiences = token.audiences.iter();
    let maxima = audiences.map(|audience| (*audience, settings.maximum(audience)));
    let strictest = maxima.min_by_key(|(_, maximum)| *maximum);
    strictest.unwrap_or_else(|| ("", settings.maximum("")))
}

/// The lifetime, in seconds, that a mutation sets for a token whose maximum is exceeded. Where 3607
/// seconds may be an hour and not a year, for an audience that hardly is the API server's, it sets no
/// more than an hour: no mutation lengthens a token.
pub fn to_set(token: &RequestedToken, maximum: i64, settings: &Settings) -> i64 {
    let mut audiences = token.audiences.iter();
    let may_be_an_hour = token.expiration_seconds == Some(EXTENDED_LIFETIME)
        && !audiences.all(|audience| settings.api_server.is_presumably_own(audience));
    let maximum = if may_be_an_hour {
        maximum.min(DEFAULT_LIFETIME)
    } else {
        maximum
    };
    never_extended(maximum)
}

/// The lifetime, in seconds, of a token for the API server that comes in place of a legacy one.
pub fn of_new_token(settings: &Settings) -> i64 {
    never_extended(settings.maximum(""))
}

/// A lifetime that isn't the one which the API server would extend, whatever the settings say about
/// it.
fn never_extended(seconds: i64) -> i64 {
    if seconds == EXTENDED_LIFETIME {
        seconds - 1
    } else {
        seconds
    }
}

/// How long, in seconds, the token will live once the request is admitted.
pub fn admitted(token: &RequestedToken, settings: &Settings) -> i64 {
    let (_, maximum) = strictest_maximum(token, settings);
    let lifetime = effective(token, settings);
    if settings.mode == Mode::Mutate && lifetime > maximum {
        return to_set(token, maximum, settings);
    }
    lifetime
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_path::FieldPath;
    use crate::review::TokenSource;

    fn token<'r>(
        audiences: &[&'r str],
        seconds: Option<i64>,
        is_bound_to_pod: bool,
    ) -> RequestedToken<'r> {
        RequestedToken {
            path: FieldPath::default(),
            source: TokenSource::TokenRequest,
            audiences: audiences.to_vec(),
            expiration_seconds: seconds,
            is_bound_to_pod,
            is_authored: true,
        }
    }

    #[test]
    fn lifetimes_that_the_api_server_makes_of_a_request() {
        let own = r#""apiServer": {"audiences": ["own"]}"#;
        let not_extended = r#""apiServer": {"extendsTokens": false}"#;
        let maximum_of_3607 = format!(r#""maxExpirationSeconds": 3607, {not_extended}"#);
        for (name, token, settings, expected, expected_when_admitted) in [
            ("nothing asked", token(&[], None, true), "", 3600, 3600),
            (
                "below the maximum",
                token(&[], Some(600), true),
                "",
                600,
                600,
            ),
            ("a day", token(&[], Some(86400), true), "", 86400, 3600),
            (
                "a day in mode reject",
                token(&[], Some(86400), true),
                r#""mode": "reject""#,
                86400,
                86400,
            ),
            ("3607", token(&[], Some(3607), true), "", YEAR, 3600),
            (
                "3607, bound to no Pod",
                token(&[], Some(3607), false),
                "",
                3607,
                3600,
            ),
            (
                "3607, which this API server doesn't extend",
                token(&[], Some(3607), true),
                not_extended,
                3607,
                3600,
            ),
            (
                "3607 as the maximum",
                token(&[], Some(3607), true),
                &maximum_of_3607,
                3607,
                3607,
            ),
            (
                "3607 for an audience that may be the API server's",
                token(&["vault"], Some(3607), true),
                "",
                YEAR,
                3600,
            ),
            (
                "3607 for one that is known not to be",
                token(&["vault"], Some(3607), true),
                own,
                3607,
                3600,
            ),
            (
                "3607 for one that is known to be",
                token(&["own"], Some(3607), true),
                own,
                YEAR,
                3600,
            ),
        ] {
            let settings = Settings::read(&format!("{{{settings}}}")).unwrap();
            assert_eq!(effective(&token, &settings), expected, "{name}");
            assert_eq!(
                admitted(&token, &settings),
                expected_when_admitted,
                "{name}, admitted"
            );
        }
    }

    #[test]
    fn no_mutation_lengthens_a_token() {
        let day = r#""maxExpirationSeconds": 86400"#;
        let own = r#""apiServer": {"audiences": ["own"]}"#;
        for (name, audiences, seconds, settings, expected) in [
            (
                "a day for an hour's maximum",
                &["vault"][..],
                86400,
                "",
                3600,
            ),
            ("3607 for the API server", &[], 3607, day, 86400),
            ("3607 for nobody knows whom", &["vault"], 3607, day, 3600),
            (
                "3607 for what is called like the API server",
                &["https://kubernetes.default.svc.cluster.local"],
                3607,
                day,
                86400,
            ),
            (
                "3607 for the API server by its name",
                &["own"],
                3607,
                &format!("{day}, {own}"),
                86400,
            ),
            (
                "3607 for one more",
                &["own", "vault"],
                3607,
                &format!("{day}, {own}"),
                3600,
            ),
            (
                "3607 with a lower maximum",
                &["vault"],
                3607,
                r#""maxExpirationSeconds": 600"#,
                600,
            ),
            (
                "a maximum that would be extended",
                &[],
                86400,
                r#""maxExpirationSeconds": 3607, "apiServer": {"extendsTokens": false}"#,
                3606,
            ),
        ] {
            let settings = Settings::read(&format!("{{{settings}}}")).unwrap();
            let token = token(audiences, Some(seconds), true);
            let (_, maximum) = strictest_maximum(&token, &settings);
            assert_eq!(to_set(&token, maximum, &settings), expected, "{name}");
        }
    }
}
