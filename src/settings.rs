//! What an operator writes, checked: all problems at once, each with its path.
//!
//! Empty settings, and `null`, mean the defaults; so does a member that is `null`.

use crate::message::{Path, Quoted};
use crate::pattern;
use crate::reader::Error;
use crate::rules::EXTENDED_LIFETIME;
use crate::section::{self, Problems, Setting, Value, choice, section};
use kubewarden_policy_sdk::settings::Validatable;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// The lifetimes, in seconds, that the API server takes for a token
/// (`pkg/apis/authentication/validation` and `pkg/apis/core/validation`).
const LIFETIMES: RangeInclusive<i64> = 600..=1 << 32;

/// The group ids that the API server takes (`staging/src/k8s.io/apimachinery/pkg/util/validation`,
/// `IsValidGroupID`).
const GROUPS: RangeInclusive<i64> = 0..=i32::MAX as i64;

/// The policy's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings<'a> {
    /// What to do about a violation.
    pub mode: Mode,
    /// The bound, in seconds, for every audience without one of its own.
    pub max_expiration_seconds: i64,
    /// Other bounds; the first match wins.
    pub audiences: Vec<AudienceBound<'a>>,
    /// Patterns of the audiences that may be asked for beside the API server's own; `None` for
    /// any.
    pub allowed_audiences: Option<Vec<Cow<'a, str>>>,
    /// How the API server is run.
    pub api_server: ApiServer<'a>,
    /// What to do about tokens that never expire.
    pub legacy_tokens: LegacyTokens,
    /// The groups that may read tokens.
    pub fs_group: FsGroup,
    /// Patterns of the namespaces that the policy leaves alone.
    pub exempt_namespaces: Vec<Cow<'a, str>>,
    /// The service accounts that the policy leaves alone.
    pub exempt_service_accounts: Vec<AccountPattern<'a>>,
    /// The annotation with which a Pod, or a template, takes itself out when it is `"true"`.
    pub opt_out_annotation: Option<Cow<'a, str>>,
    /// Other settings for some namespaces; the first match wins.
    pub overrides: Vec<Override<'a>>,
}

/// What to do about a violation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Mend it, and reject what can't be mended.
    #[default]
    Mutate,
    /// Reject it.
    Reject,
    /// Accept it with a warning.
    Warn,
}

/// A bound for some audiences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudienceBound<'a> {
    /// A pattern.
    pub audience: Cow<'a, str>,
    /// The bound in seconds.
    pub max_expiration_seconds: i64,
}

/// How the API server is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServer<'a> {
    /// Its `--service-account-extend-token-expiration`.
    pub extends_tokens: bool,
    /// Its `--api-audiences`.
    pub audiences: Vec<Cow<'a, str>>,
}

/// What to do about tokens that never expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacyTokens {
    /// Whether they are a violation.
    pub rule: LegacyRule,
    /// How a Secret with a token is told from others.
    pub detect: Detect,
}

/// Whether tokens that never expire are a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyRule {
    /// They are.
    Reject,
    /// They are not.
    Allow,
}

/// How a Secret with a token is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detect {
    /// By its name, or by where a container mounts it.
    Name,
    /// By its type, which the cluster tells.
    Lookup,
}

/// Some service accounts: a pattern for the namespace and one for the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountPattern<'a> {
    /// The pattern of the namespace.
    pub namespace: Cow<'a, str>,
    /// The pattern of the name.
    pub name: Cow<'a, str>,
}

/// Other settings for some namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override<'a> {
    /// Patterns of the namespaces.
    pub namespaces: Vec<Cow<'a, str>>,
    /// What to do about a violation, if that is different.
    pub mode: Option<Mode>,
    /// The bound, in seconds, for every audience without one of its own, if that is different.
    pub max_expiration_seconds: Option<i64>,
}

/// The groups that may read tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsGroup {
    /// What is asked of a Pod.
    pub rule: GroupRule,
    /// The allowed groups.
    pub ranges: Vec<GroupRange>,
    /// The group to set for a Pod whose containers don't share an allowed one; see
    /// [`FsGroup::group_to_set`].
    pub default: Option<i64>,
    /// What to do for a Pod with a volume that outlives it.
    pub persistent_volumes: PersistentVolumes,
}

/// As in Kubewarden's policies that replace Pod security policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupRule {
    /// A group must be set, and allowed.
    MustRunAs,
    /// A group that is set must be allowed.
    MayRunAs,
    /// Nothing is asked.
    RunAsAny,
}

/// What to do for a Pod that needs an fsGroup and has a volume that outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersistentVolumes {
    /// Leave it as it is, with a warning.
    Leave,
    /// Set the group all the same.
    Set,
    /// Reject it.
    Reject,
}

/// Allowed groups, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRange {
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl fmt::Display for GroupRange {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

section! { Settings<'a> {
    "mode" => mode,
    "maxExpirationSeconds" => max_expiration_seconds,
    "audiences" => audiences,
    "allowedAudiences" => allowed_audiences,
    "apiServer" => api_server,
    "legacyTokens" => legacy_tokens,
    "fsGroup" => fs_group,
    "exemptNamespaces" => exempt_namespaces,
    "exemptServiceAccounts" => exempt_service_accounts,
    "optOutAnnotation" => opt_out_annotation,
    "overrides" => overrides,
} }

section! { AudienceBound<'a> {
    "audience" => audience,
    "maxExpirationSeconds" => max_expiration_seconds,
} required "audience", "maxExpirationSeconds" }

section! { ApiServer<'a> {
    "extendsTokens" => extends_tokens,
    "audiences" => audiences,
} }

section! { LegacyTokens {
    "rule" => rule,
    "detect" => detect,
} }

section! { FsGroup {
    "rule" => rule,
    "ranges" => ranges,
    "default" => default,
    "persistentVolumes" => persistent_volumes,
} }

section! { GroupRange {
    "min" => min,
    "max" => max,
} required "min", "max" }

section! { Override<'a> {
    "namespaces" => namespaces,
    "mode" => mode,
    "maxExpirationSeconds" => max_expiration_seconds,
} required "namespaces" }

choice! { Mode { "mutate" => Mutate, "reject" => Reject, "warn" => Warn, } }
choice! { GroupRule { "MustRunAs" => MustRunAs, "MayRunAs" => MayRunAs, "RunAsAny" => RunAsAny, } }
choice! { LegacyRule { "Reject" => Reject, "Allow" => Allow, } }
choice! { Detect { "Name" => Name, "Lookup" => Lookup, } }
choice! { PersistentVolumes { "Leave" => Leave, "Set" => Set, "Reject" => Reject, } }

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            mode: Mode::Mutate,
            max_expiration_seconds: 3600,
            audiences: Vec::new(),
            allowed_audiences: None,
            api_server: ApiServer { extends_tokens: true, audiences: Vec::new() },
            legacy_tokens: LegacyTokens { rule: LegacyRule::Reject, detect: Detect::Name },
            fs_group: FsGroup::default(),
            exempt_namespaces: Vec::new(),
            exempt_service_accounts: Vec::new(),
            opt_out_annotation: None,
            overrides: Vec::new(),
        }
    }
}

impl Default for GroupRange {
    fn default() -> Self {
        Self { min: *GROUPS.start(), max: *GROUPS.end() }
    }
}

impl Default for FsGroup {
    fn default() -> Self {
        Self {
            rule: GroupRule::MustRunAs,
            ranges: vec![GroupRange::default()],
            default: None,
            persistent_volumes: PersistentVolumes::Leave,
        }
    }
}

impl ApiServer<'_> {
    /// True for a token that the API server itself accepts.
    pub fn is_meant_by(&self, audience: &str) -> bool {
        audience.is_empty() || self.audiences.iter().any(|own| own == audience)
    }
}

impl FsGroup {
    /// The group to set for a Pod whose containers don't share an allowed one: `nobody`'s, unless
    /// the operator chose another.
    pub fn group_to_set(&self) -> i64 {
        self.default.unwrap_or(65534)
    }

    /// True for a group that may read tokens.
    pub fn allows(&self, group: i64) -> bool {
        self.ranges.iter().any(|range| (range.min..=range.max).contains(&group))
    }
}

impl<'a> Settings<'a> {
    /// The bound, in seconds, for an audience. Without an audience a token is for the API
    /// server: the smallest bound of all its audiences counts.
    pub fn bound(&self, audience: &str) -> i64 {
        let bound = |audience: &str| {
            let mut bounds = self.audiences.iter();
            let own = bounds.find(|bound| pattern::matches(&bound.audience, audience));
            own.map_or(self.max_expiration_seconds, |bound| bound.max_expiration_seconds)
        };
        match (audience, &*self.api_server.audiences) {
            ("", [_, ..]) => {
                let bounds = self.api_server.audiences.iter().map(|audience| bound(audience));
                bounds.min().unwrap_or(self.max_expiration_seconds)
            }
            _ => bound(audience),
        }
    }

    /// The lifetime, in seconds, that a mutation sets for a bound: never the one that the API
    /// server would extend, whatever the settings say about it.
    pub fn lifetime_to_set(&self, bound: i64) -> i64 {
        if bound == EXTENDED_LIFETIME { bound - 1 } else { bound }
    }

    /// True for an audience that may be asked for. The API server's own always may.
    pub fn allows_audience(&self, audience: &str) -> bool {
        self.api_server.is_meant_by(audience)
            || self.allowed_audiences.as_ref().is_none_or(|allowed| any(allowed, audience))
    }

    /// True for a namespace that the policy leaves alone. What is in no namespace is in none of
    /// these.
    pub fn exempts_namespace(&self, namespace: &str) -> bool {
        !namespace.is_empty() && any(&self.exempt_namespaces, namespace)
    }

    /// True for a service account that the policy leaves alone.
    pub fn exempts_service_account(&self, namespace: &str, name: &str) -> bool {
        self.exempt_service_accounts.iter().any(|account| {
            pattern::matches(&account.namespace, namespace) && pattern::matches(&account.name, name)
        })
    }

    /// The settings for a namespace: the first override that is about it counts.
    #[must_use]
    pub fn for_namespace(mut self, namespace: &str) -> Self {
        let about = |it: &&Override| !namespace.is_empty() && any(&it.namespaces, namespace);
        if let Some(found) = self.overrides.iter().find(about) {
            self.mode = found.mode.unwrap_or(self.mode);
            let seconds = found.max_expiration_seconds;
            self.max_expiration_seconds = seconds.unwrap_or(self.max_expiration_seconds);
        }
        self
    }

    /// Reads settings from JSON.
    ///
    /// # Errors
    /// All that is wrong with them, in one line.
    pub fn read(json: &'a str) -> Result<Self, String> {
        let (mut settings, mut problems) = (Self::default(), Problems::default());
        section::read(&mut settings, json, &mut problems);
        settings.check(&mut problems);
        problems.into_result().map(|()| settings)
    }

    fn check(&self, problems: &mut Problems) {
        let extends = self.api_server.extends_tokens;
        let seconds = self.max_expiration_seconds;
        check_lifetime(&Path::Keys(&["maxExpirationSeconds"]), seconds, extends, problems);
        self.check_audiences(problems);
        for (at, patterns) in [
            ("allowedAudiences", self.allowed_audiences.as_deref().unwrap_or_default()),
            ("apiServer.audiences", &self.api_server.audiences),
            ("exemptNamespaces", &self.exempt_namespaces),
        ] {
            check_patterns(&Path::Keys(&[at]), patterns, problems);
        }
        for (i, it) in self.exempt_service_accounts.iter().enumerate() {
            it.check(&Path::Keys(&["exemptServiceAccounts"]).element(i), problems);
        }
        if let Some(key) = &self.opt_out_annotation {
            check_annotation(&Path::Keys(&["optOutAnnotation"]), key, problems);
        }
        for (i, it) in self.overrides.iter().enumerate() {
            it.check(&Path::Keys(&["overrides"]).element(i), extends, problems);
        }
        self.fs_group.check(problems);
    }

    fn check_audiences(&self, problems: &mut Problems) {
        // Sorted: a set is a good deal more code.
        let mut seen: Vec<&str> = Vec::new();
        for (i, bound) in self.audiences.iter().enumerate() {
            let at = Path::Keys(&["audiences"]);
            let at = at.element(i);
            let (seconds, extends) = (bound.max_expiration_seconds, self.api_server.extends_tokens);
            check_lifetime(&at.member("maxExpirationSeconds"), seconds, extends, problems);
            check_pattern(&at.member("audience"), &bound.audience, problems);
            if let Err(place) = seen.binary_search(&&*bound.audience) {
                seen.insert(place, &bound.audience);
            } else {
                let audience = Quoted(&bound.audience);
                problems.report(&at.member("audience"), format_args!("{audience} is there twice"));
            }
        }
    }
}

impl Validatable for Settings<'_> {
    fn validate(&self) -> Result<(), String> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        problems.into_result()
    }
}

impl<'a> Setting<'a> for AccountPattern<'a> {
    fn read(&mut self, value: Value<'_, 'a>) -> Result<(), Error> {
        let mut text = Cow::default();
        Setting::read(&mut text, value)?;
        *self = Self::from(text);
        Ok(())
    }
}

impl AccountPattern<'_> {
    fn check(&self, path: &Path, problems: &mut Problems) {
        let Self { namespace, name } = self;
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            let shown = if name.is_empty() && !namespace.contains('/') {
                namespace.to_string()
            } else {
                format!("{namespace}/{name}")
            };
            let shown = Quoted(&shown);
            problems.report(path, format_args!("{shown} is not of the form namespace/name"));
        }
    }
}

impl<'a> From<Cow<'a, str>> for AccountPattern<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        let (namespace, name) = match text {
            Cow::Borrowed(text) => {
                let (namespace, name) = text.split_once('/').unwrap_or((text, ""));
                (namespace.into(), name.into())
            }
            Cow::Owned(text) => {
                let (namespace, name) = text.split_once('/').unwrap_or((&text, ""));
                (namespace.to_owned().into(), name.to_owned().into())
            }
        };
        Self { namespace, name }
    }
}

impl Override<'_> {
    fn check(&self, path: &Path, extends: bool, problems: &mut Problems) {
        let namespaces = path.member("namespaces");
        if self.namespaces.is_empty() {
            problems.report(&namespaces, format_args!("is empty"));
        }
        check_patterns(&namespaces, &self.namespaces, problems);
        if let Some(seconds) = self.max_expiration_seconds {
            check_lifetime(&path.member("maxExpirationSeconds"), seconds, extends, problems);
        }
    }
}

impl FsGroup {
    fn check(&self, problems: &mut Problems) {
        for (i, GroupRange { min, max }) in self.ranges.iter().enumerate() {
            let at = Path::Keys(&["fsGroup", "ranges"]);
            let at = at.element(i);
            for (key, group) in [("min", min), ("max", max)] {
                if !GROUPS.contains(group) {
                    let span = span(&GROUPS);
                    problems.report(&at.member(key), format_args!("{group} is outside {span}"));
                }
            }
            if min > max {
                problems.report(&at, format_args!("min {min} is over max {max}"));
            }
        }
        let must_run_as = self.rule == GroupRule::MustRunAs;
        if self.ranges.is_empty() {
            if self.rule != GroupRule::RunAsAny {
                let message = format_args!("is empty; no group would be allowed");
                problems.report(&"fsGroup.ranges", message);
            }
        } else if (must_run_as || self.default.is_some()) && !self.allows(self.group_to_set()) {
            let group = self.group_to_set();
            let default = if self.default.is_none() { " (the default)" } else { "" };
            let message = format_args!("{group}{default} is outside fsGroup.ranges");
            problems.report(&"fsGroup.default", message);
        }
    }
}

fn check_lifetime(path: &Path, seconds: i64, extended: bool, problems: &mut Problems) {
    if !LIFETIMES.contains(&seconds) {
        let span = span(&LIFETIMES);
        problems.report(path, format_args!("{seconds} is outside {span} seconds"));
    } else if seconds == EXTENDED_LIFETIME && extended {
        problems.report(
            path,
            format_args!(
                "{seconds} is the one lifetime that the API server extends to a year; choose \
                 another, or set apiServer.extendsTokens to false if it runs with \
                 --service-account-extend-token-expiration=false"
            ),
        );
    }
}

fn check_pattern(path: &Path, pattern: &str, problems: &mut Problems) {
    if pattern.is_empty() {
        problems.report(path, format_args!("is empty"));
    }
}

fn check_patterns(path: &Path, patterns: &[Cow<str>], problems: &mut Problems) {
    for (i, pattern) in patterns.iter().enumerate() {
        check_pattern(&path.element(i), pattern, problems);
    }
}

/// The API server's form of a key (`k8s.io/apimachinery/pkg/util/validation`, `IsQualifiedName`),
/// less its limits of length.
fn check_annotation(path: &Path, key: &str, problems: &mut Problems) {
    let (prefix, name) = key.split_once('/').unwrap_or(("x", key));
    let fits = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        edge(part.chars().next()) && edge(part.chars().next_back()) && part.chars().all(inner)
    };
    if !fits(prefix) || !fits(name) {
        let example = "tokens.example.com/exempt";
        let key = Quoted(key);
        problems
            .report(path, format_args!("{key} is not the key of an annotation, such as {example}"));
    }
}

fn span(range: &RangeInclusive<i64>) -> String {
    format!("{}-{}", range.start(), range.end())
}

fn any(patterns: &[Cow<str>], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern::matches(pattern, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_settings_are_the_defaults() {
        for json in ["{}", "null", " { } ", r#"{"mode":null,"fsGroup":null,"audiences":null}"#] {
            assert_eq!(Settings::read(json), Ok(Settings::default()), "{json}");
        }
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn every_setting_is_read() {
        let json = r#"{
            "mode": "warn",
            "maxExpirationSeconds": 600,
            "audiences": [{"audience": "sts.*", "maxExpirationSeconds": 4294967296}],
            "allowedAudiences": ["vault"],
            "apiServer": {"extendsTokens": false, "audiences": ["own"]},
            "fsGroup": {
                "rule": "MayRunAs", "ranges": [{"min": 1, "max": 2}, {"min": 5, "max": 5}],
                "default": 5, "persistentVolumes": "Set"
            },
            "legacyTokens": {"rule": "Allow", "detect": "Lookup"},
            "exemptNamespaces": ["kube-*"],
            "exemptServiceAccounts": ["ci-*/builder"],
            "optOutAnnotation": "tokens.example.com/exempt",
            "overrides": [
                {"namespaces": ["ci-*"], "mode": "reject", "maxExpirationSeconds": 86400},
                {"namespaces": ["a", "b"]}
            ]
        }"#;
        let expected = Settings {
            mode: Mode::Warn,
            max_expiration_seconds: 600,
            audiences: vec![AudienceBound {
                audience: "sts.*".into(),
                max_expiration_seconds: 1 << 32,
            }],
            allowed_audiences: Some(vec!["vault".into()]),
            api_server: ApiServer { extends_tokens: false, audiences: vec!["own".into()] },
            fs_group: FsGroup {
                rule: GroupRule::MayRunAs,
                ranges: vec![GroupRange { min: 1, max: 2 }, GroupRange { min: 5, max: 5 }],
                default: Some(5),
                persistent_volumes: PersistentVolumes::Set,
            },
            legacy_tokens: LegacyTokens { rule: LegacyRule::Allow, detect: Detect::Lookup },
            exempt_namespaces: vec!["kube-*".into()],
            exempt_service_accounts: vec![Cow::Borrowed("ci-*/builder").into()],
            opt_out_annotation: Some("tokens.example.com/exempt".into()),
            overrides: vec![
                Override {
                    namespaces: vec!["ci-*".into()],
                    mode: Some(Mode::Reject),
                    max_expiration_seconds: Some(86400),
                },
                Override {
                    namespaces: vec!["a".into(), "b".into()],
                    mode: None,
                    max_expiration_seconds: None,
                },
            ],
        };
        assert_eq!(Settings::read(json), Ok(expected));
    }

    #[test]
    fn settings_that_are_accepted() {
        for json in [
            r#"{"maxExpirationSeconds": 3607, "apiServer": {"extendsTokens": false}}"#,
            r#"{"fsGroup": {"rule": "RunAsAny", "ranges": []}}"#,
            r#"{"fsGroup": {"rule": "MayRunAs", "ranges": [{"min": 1000, "max": 2000}]}}"#,
            r#"{"allowedAudiences": []}"#,
            r#"{"audiences": []}"#,
        ] {
            assert!(Settings::read(json).is_ok(), "{json}: {:?}", Settings::read(json));
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn settings_that_are_wrong() {
        for (json, expected) in [
            ("", "the settings: the text ends here at byte 0"),
            ("{} {}", "the settings: expected the end at byte 3"),
            ("null+", "the settings: expected the end at byte 4"),
            ("nil", "the settings: expected a value at byte 0"),
            (r#"{"mode": "warn", "mode": "mutate"}"#, "mode: is there twice"),
            ("[]", "the settings: is a list, not an object"),
            ("\"mutate\"", "the settings: is \"mutate\", not an object"),
            ("5", "the settings: is 5, not an object"),
            (r#"{"mod": "warn"}"#, "mod: is not a setting; the nearest one is mode"),
            (
                r#"{"maxexpirationseconds": 1}"#,
                "maxexpirationseconds: is not a setting; the nearest one is maxExpirationSeconds",
            ),
            (
                r#"{"fsGroup": {"persistentVolume": "Set"}}"#,
                "fsGroup.persistentVolume: is not a setting; the nearest one is persistentVolumes",
            ),
            (
                r#"{"audiences": [{"audience": "a", "maxExpirationSeconds": 600, "max": 1}]}"#,
                "audiences[0].max: is not a setting; the nearest one is audience",
            ),
            (r#"{"mode": "Mutate"}"#, "mode: is \"Mutate\", not one of mutate, reject, warn"),
            (r#"{"mode": 1}"#, "mode: is 1, not one of mutate, reject, warn"),
            (
                r#"{"maxExpirationSeconds": "1h"}"#,
                "maxExpirationSeconds: is \"1h\", not an integer",
            ),
            (r#"{"maxExpirationSeconds": 1.5}"#, "maxExpirationSeconds: is 1.5, not an integer"),
            (
                r#"{"maxExpirationSeconds": 599}"#,
                "maxExpirationSeconds: 599 is outside 600-4294967296 seconds",
            ),
            (
                r#"{"maxExpirationSeconds": 4294967297}"#,
                "maxExpirationSeconds: 4294967297 is outside 600-4294967296 seconds",
            ),
            (
                r#"{"maxExpirationSeconds": 3607}"#,
                "maxExpirationSeconds: 3607 is the one lifetime that the API server extends to a year",
            ),
            (
                r#"{"audiences": [{"audience": "a", "maxExpirationSeconds": 3607}]}"#,
                "audiences[0].maxExpirationSeconds: 3607 is the one lifetime",
            ),
            (
                r#"{"audiences": [{"audience": "a", "maxExpirationSeconds": 1}]}"#,
                "audiences[0].maxExpirationSeconds: 1 is outside 600-4294967296 seconds",
            ),
            (
                r#"{"audiences": [{"audience": ""}]}"#,
                "audiences[0].maxExpirationSeconds: is missing; audiences[0].audience: is empty",
            ),
            (
                r#"{"audiences": [{}]}"#,
                "audiences[0].audience: is missing; audiences[0].maxExpirationSeconds: is missing",
            ),
            (r#"{"audiences": [5]}"#, "audiences[0]: is 5, not an object"),
            (r#"{"audiences": {"a": 600}}"#, "audiences: is an object, not a list"),
            (
                r#"{"audiences": [
                    {"audience": "a", "maxExpirationSeconds": 600},
                    {"audience": "a", "maxExpirationSeconds": 700}
                ]}"#,
                "audiences[1].audience: \"a\" is there twice",
            ),
            (r#"{"allowedAudiences": "a"}"#, "allowedAudiences: is \"a\", not a list"),
            (r#"{"allowedAudiences": ["a", 1]}"#, "allowedAudiences[1]: is 1, not a string"),
            (r#"{"allowedAudiences": [""]}"#, "allowedAudiences[0]: is empty"),
            (r#"{"apiServer": []}"#, "apiServer: is a list, not an object"),
            (
                r#"{"apiServer": {"extendsTokens": "no"}}"#,
                "apiServer.extendsTokens: is \"no\", not a boolean",
            ),
            (r#"{"apiServer": {"audiences": [""]}}"#, "apiServer.audiences[0]: is empty"),
            (r#"{"exemptNamespaces": [""]}"#, "exemptNamespaces[0]: is empty"),
            (
                r#"{"legacyTokens": {"rule": "Deny", "detect": "Type"}}"#,
                "legacyTokens.rule: is \"Deny\", not one of Reject, Allow; legacyTokens.detect: is \"Type\", not one of Name, Lookup",
            ),
            (
                r#"{"exemptServiceAccounts": ["builder"]}"#,
                "exemptServiceAccounts[0]: \"builder\" is not of the form namespace/name",
            ),
            (
                r#"{"exemptServiceAccounts": ["/builder"]}"#,
                "exemptServiceAccounts[0]: \"/builder\" is not of the form",
            ),
            (
                r#"{"exemptServiceAccounts": ["ci/"]}"#,
                "exemptServiceAccounts[0]: \"ci\" is not of the form",
            ),
            (
                r#"{"exemptServiceAccounts": ["a/b/c"]}"#,
                "exemptServiceAccounts[0]: \"a/b/c\" is not of the form",
            ),
            (r#"{"exemptServiceAccounts": [""]}"#, "exemptServiceAccounts[0]: \"\" is not of the"),
            (
                r#"{"optOutAnnotation": ""}"#,
                "optOutAnnotation: \"\" is not the key of an annotation",
            ),
            (
                r#"{"optOutAnnotation": "a/b/c"}"#,
                "optOutAnnotation: \"a/b/c\" is not the key of an annotation",
            ),
            (
                r#"{"optOutAnnotation": "exempt me"}"#,
                "optOutAnnotation: \"exempt me\" is not the key of an annotation",
            ),
            (r#"{"overrides": [{}]}"#, "overrides[0].namespaces: is missing"),
            (r#"{"overrides": [{"namespaces": []}]}"#, "overrides[0].namespaces: is empty"),
            (r#"{"overrides": [{"namespaces": [""]}]}"#, "overrides[0].namespaces[0]: is empty"),
            (
                r#"{"overrides": [{"namespaces": ["a"], "mode": "monitor"}]}"#,
                "overrides[0].mode: is \"monitor\", not one of",
            ),
            (
                r#"{"overrides": [{"namespaces": ["a"], "maxExpirationSeconds": 3607}]}"#,
                "overrides[0].maxExpirationSeconds: 3607 is the one lifetime",
            ),
            (
                r#"{"overrides": [{"namespaces": ["a"], "fsGroup": {}}]}"#,
                "overrides[0].fsGroup: is not a setting",
            ),
            (
                r#"{"fsGroup": {"rule": "MustRun"}}"#,
                "fsGroup.rule: is \"MustRun\", not one of MustRunAs, MayRunAs, RunAsAny",
            ),
            (r#"{"fsGroup": {"ranges": []}}"#, "fsGroup.ranges: is empty"),
            (r#"{"fsGroup": {"rule": "MayRunAs", "ranges": []}}"#, "fsGroup.ranges: is empty"),
            (r#"{"fsGroup": {"ranges": [{"min": 1}]}}"#, "fsGroup.ranges[0].max: is missing"),
            (
                r#"{"fsGroup": {"ranges": [{"min": 9, "max": 1}], "default": 5}}"#,
                "fsGroup.ranges[0]: min 9 is over max 1",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": -1, "max": 70000}]}}"#,
                "fsGroup.ranges[0].min: -1 is outside 0-2147483647",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": 0, "max": 2147483648}]}}"#,
                "fsGroup.ranges[0].max: 2147483648 is outside 0-2147483647",
            ),
            (r#"{"fsGroup": {"default": -1}}"#, "fsGroup.default: -1 is outside fsGroup.ranges"),
            (
                r#"{"fsGroup": {"ranges": [{"min": 1000, "max": 2000}]}}"#,
                "fsGroup.default: 65534 (the default) is outside fsGroup.ranges",
            ),
            (
                r#"{"fsGroup": {"rule": "MayRunAs", "ranges": [{"min": 1, "max": 2}], "default": 3}}"#,
                "fsGroup.default: 3 is outside fsGroup.ranges",
            ),
        ] {
            let problems = Settings::read(json).expect_err(json);
            assert!(problems.starts_with(expected), "{json}: {problems}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let json =
            r#"{"mode": 1, "modes": 1, "maxExpirationSeconds": 1, "fsGroup": {"ranges": []}}"#;
        let problems = Settings::read(json).unwrap_err();
        let paths: Vec<_> =
            problems.split("; ").filter_map(|problem| problem.split_once(": ")).collect();
        let paths: Vec<_> = paths.into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["mode", "modes", "maxExpirationSeconds", "fsGroup.ranges"]);
    }
}
