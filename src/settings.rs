//! What an operator writes. serde reports the first field of the wrong shape, [`Validatable`] all
//! values that are out of range.

#![allow(missing_docs, reason = "docs/settings.md explains every setting")]

use crate::decode::Object;
use derive_more::Display;
use kubewarden_policy_sdk::settings::Validatable;
use serde::Deserialize;
use serde_json::{Map, Value};
use smart_default::SmartDefault;
use std::collections::BTreeSet;
use wildmatch::WildMatchPattern;

/// The one lifetime, in seconds, that the API server extends: what its own token volume asks for
/// (`pkg/serviceaccount/claims.go`, `WarnOnlyBoundTokenExpirationPeriod`).
pub const EXTENDED_LIFETIME: i64 = 3607;

/// The lifetimes, in seconds, that the API server takes for a token
/// (`pkg/apis/authentication/validation` and `pkg/apis/core/validation`).
const LIFETIMES: std::ops::RangeInclusive<i64> = 600..=1 << 32;

/// The groups that the API server takes (`staging/src/k8s.io/apimachinery/pkg/util/validation`,
/// `IsValidGroupID`).
const GROUPS: Object<GroupRange> = Object(GroupRange {
    min: 0,
    max: i32::MAX as i64,
});

/// How the API server's audience begins where operators don't choose one, and the two that are most
/// common.
const USUAL_PREFIXES: [&str; 2] = ["https://kubernetes.default.svc", "kubernetes.default.svc"];
const COMMON_AUDIENCES: [&str; 2] = [
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
];

#[derive(Debug, Clone, PartialEq, Deserialize, SmartDefault)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    pub mode: Mode,
    #[default = 3600]
    pub max_expiration_seconds: i64,
    pub audiences: Vec<Object<AudienceMaximum>>,
    /// `None` for any.
    pub allowed_audiences: Option<Vec<Pattern>>,
    pub api_server: Object<ApiServer>,
    pub legacy_tokens: Object<LegacyTokens>,
    pub fs_group: Object<FsGroup>,
    pub automount: Object<Automount>,
    pub exempt_namespaces: Vec<Pattern>,
    pub exempt_service_accounts: Vec<AccountPattern>,
    pub opt_out_annotation: Option<String>,
    pub overrides: Vec<Object<Override>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Mutate,
    Reject,
    Warn,
}

/// Text in which `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "String")]
pub struct Pattern {
    text: String,
    compiled: WildMatchPattern<'*', '\0'>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        let compiled = WildMatchPattern::new(&text);
        Self { text, compiled }
    }
}

impl Pattern {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True when the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.matches(text)
    }
}

/// Patterns of a namespace and of a service account in it, written as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "String")]
pub struct AccountPattern {
    text: String,
    /// `None` for text of another form, which the settings' validation reports.
    parts: Option<(Pattern, Pattern)>,
}

impl From<String> for AccountPattern {
    fn from(text: String) -> Self {
        let parts: Vec<_> = text
            .split('/')
            .map(|part| Pattern::from(part.to_owned()))
            .collect();
        let parts = <[Pattern; 2]>::try_from(parts).ok();
        let parts = parts.filter(|parts| parts.iter().all(|part| !part.text.is_empty()));
        Self {
            text,
            parts: parts.map(Into::into),
        }
    }
}

impl AccountPattern {
    fn matches(&self, namespace: &str, account: &str) -> bool {
        let parts = self.parts.as_ref();
        parts.is_some_and(|(namespaces, accounts)| {
            !namespace.is_empty()
                && !account.is_empty()
                && namespaces.matches(namespace)
                && accounts.matches(account)
        })
    }
}

/// A maximum, in seconds, for the audiences that match a pattern. The first match wins.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AudienceMaximum {
    pub audience: Pattern,
    pub max_expiration_seconds: i64,
}

#[derive(Debug, Clone, PartialEq, Deserialize, SmartDefault)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiServer {
    #[default = true]
    pub extends_tokens: bool,
    pub audiences: Vec<Pattern>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LegacyTokens {
    pub rule: LegacyRule,
    pub detect: Detect,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum LegacyRule {
    #[default]
    Reject,
    Allow,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Detect {
    #[default]
    Name,
    Lookup,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, SmartDefault)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FsGroup {
    pub rule: GroupRule,
    pub ranges: Vec<Object<GroupRange>>,
    #[default = 65534]
    pub default: i64,
    pub common_user: CommonUser,
    pub persistent_volumes: Obstacle,
    pub private_files: Obstacle,
    #[default(Obstacle::Set)]
    pub root_containers: Obstacle,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum GroupRule {
    #[default]
    MustRunAs,
    MayRunAs,
    RunAsAny,
}

/// Whether a Pod needs an fsGroup if all its containers set one user, to whom the token is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum CommonUser {
    #[default]
    Require,
    Accept,
}

/// What to do for a Pod that needs an fsGroup and may break with one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Obstacle {
    #[default]
    Leave,
    Set,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Display)]
#[display("{min}-{max}")]
#[serde(deny_unknown_fields)]
pub struct GroupRange {
    pub min: i64,
    pub max: i64,
}

/// What to do about an API token that nobody asked for.
#[derive(Debug, Clone, PartialEq, Deserialize, SmartDefault)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Automount {
    pub rule: AutomountRule,
    #[default(vec![AccountPattern::from("*/default".to_owned())])]
    pub service_accounts: Vec<AccountPattern>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum AutomountRule {
    #[default]
    Allow,
    Warn,
    Reject,
}

/// Other settings for the namespaces that match one of the patterns. For each of them the first
/// match that has it wins.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    pub namespaces: Vec<Pattern>,
    pub mode: Option<Mode>,
    pub max_expiration_seconds: Option<i64>,
}

impl FsGroup {
    /// The allowed groups, of which there is at least one.
    pub fn allowed(&self) -> &[Object<GroupRange>] {
        if self.ranges.is_empty() {
            &[GROUPS]
        } else {
            &self.ranges
        }
    }

    pub fn allows(&self, group: i64) -> bool {
        self.allowed()
            .iter()
            .any(|range| (range.min..=range.max).contains(&group))
    }

    /// The highest allowed group that is no higher than this one, and not root's.
    pub fn highest_allowed(&self, limit: i64) -> Option<i64> {
        let in_range = |range: &GroupRange| {
            let group = range.max.min(limit);
            (group >= range.min && group > 0).then_some(group)
        };
        self.allowed()
            .iter()
            .filter_map(|range| in_range(range))
            .max()
    }
}

impl ApiServer {
    /// True for an audience that the API server itself is known to accept: none, or one that the
    /// operator named.
    pub fn is_own(&self, audience: &str) -> bool {
        audience.is_empty() || any_matches(&self.audiences, audience)
    }

    /// The same; and, where the operator named none, true for what it is called nearly everywhere.
    pub fn is_presumably_own(&self, audience: &str) -> bool {
        self.is_own(audience) || (self.audiences.is_empty() && looks_like_api_server(audience))
    }
}

impl Automount {
    /// True for an account whose Pods have to say that they want a token.
    pub fn concerns(&self, namespace: &str, account: &str) -> bool {
        self.service_accounts
            .iter()
            .any(|pattern| pattern.matches(namespace, account))
    }
}

impl Settings {
    /// Decodes settings from JSON text and checks them. `null`, and fields that are `null` or empty
    /// text as a form leaves them, mean the defaults.
    ///
    /// # Errors
    /// What isn't JSON, the first field of the wrong shape, or all values that are out of range.
    pub fn read(json: &str) -> Result<Self, String> {
        let json = without_empty_fields(serde_json::from_str(json).map_err(|e| e.to_string())?);
        let settings: Result<Option<Object<Self>>, _> = serde_path_to_error::deserialize(json);
        let Object(mut settings) = settings.map_err(|e| e.to_string())?.unwrap_or_default();
        if settings.automount.service_accounts.is_empty() {
            // What a form leaves empty is the default.
            settings.automount.0.service_accounts = Automount::default().service_accounts;
        }
        settings.validate().map(|()| settings)
    }

    /// The maximum, in seconds, for an audience. Without one a token is for all audiences of the
    /// API server, and a pattern of these may stand for any that has a maximum of its own: the
    /// strictest counts.
    pub fn maximum(&self, audience: &str) -> i64 {
        let own = &self.api_server.audiences;
        if audience.is_empty() && !own.is_empty() {
            let with_maximum = self.audiences.iter().map(|entry| entry.audience.as_str());
            let named = with_maximum.filter(|audience| any_matches(own, audience));
            let all = own.iter().map(Pattern::as_str).chain(named);
            let maxima = all.map(|audience| self.maximum(audience));
            return maxima.min().unwrap_or(self.max_expiration_seconds);
        }
        let is_for = |pattern: &Pattern| {
            if audience.is_empty() {
                is_for_usual_api_server(pattern)
            } else {
                pattern.matches(audience)
            }
        };
        let entry = self.audiences.iter().find(|entry| is_for(&entry.audience));
        entry.map_or(self.max_expiration_seconds, |entry| {
            entry.max_expiration_seconds
        })
    }

    /// True for an audience that may be asked for. The API server's own always may, and so may
    /// what looks like it where the operator named none.
    pub fn allows_audience(&self, audience: &str) -> bool {
        let Some(allowed) = &self.allowed_audiences else {
            return true;
        };
        any_matches(allowed, audience) || self.api_server.is_presumably_own(audience)
    }

    /// True for a namespace that the policy leaves alone. What is in no namespace is in none of
    /// these.
    pub fn exempts_namespace(&self, namespace: &str) -> bool {
        any_matches(&self.exempt_namespaces, namespace)
    }

    /// True for a service account that the policy leaves alone.
    pub fn exempts_account(&self, namespace: &str, account: &str) -> bool {
        self.exempt_service_accounts
            .iter()
            .any(|pattern| pattern.matches(namespace, account))
    }

    /// The settings for a namespace.
    #[must_use]
    pub fn for_namespace(mut self, namespace: &str) -> Self {
        let matching = || {
            let overrides = self.overrides.iter();
            overrides.filter(|entry| any_matches(&entry.namespaces, namespace))
        };
        let mode = matching().find_map(|entry| entry.mode);
        let seconds = matching().find_map(|entry| entry.max_expiration_seconds);
        self.mode = mode.unwrap_or(self.mode);
        self.max_expiration_seconds = seconds.unwrap_or(self.max_expiration_seconds);
        self
    }
}

/// True for a pattern of what the API server's own audience usually is.
fn is_for_usual_api_server(pattern: &Pattern) -> bool {
    looks_like_api_server(pattern.as_str())
        || COMMON_AUDIENCES
            .iter()
            .any(|audience| pattern.matches(audience))
}

fn looks_like_api_server(audience: &str) -> bool {
    USUAL_PREFIXES
        .iter()
        .any(|prefix| audience.starts_with(prefix))
}

/// What is left without the fields that are `null` or empty text.
fn without_empty_fields(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .filter(|(_, value)| !value.is_null() && value != "");
            let mut kept = Map::new();
            kept.extend(fields.map(|(name, value)| (name, without_empty_fields(value))));
            Value::Object(kept)
        }
        Value::Array(elements) => elements.into_iter().map(without_empty_fields).collect(),
        value => value,
    }
}

/// True when a pattern matches the text. No text, as where there is no namespace, matches none.
fn any_matches(patterns: &[Pattern], text: &str) -> bool {
    !text.is_empty() && patterns.iter().any(|pattern| pattern.matches(text))
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        let mut problems = Problems::default();
        self.check_maxima(&mut problems);
        self.check_patterns(&mut problems);
        self.check_opt_out_annotation(&mut problems);
        self.fs_group.check(&mut problems);
        if problems.0.is_empty() {
            Ok(())
        } else {
            Err(problems.0.join("; "))
        }
    }
}

/// What is wrong with the settings, each with its path.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn push(&mut self, path: &str, problem: &str) {
        self.0.push(format!("{path}: {problem}"));
    }

    fn push_empty(&mut self, path: &str, patterns: &[Pattern]) {
        for (i, pattern) in patterns.iter().enumerate() {
            if pattern.text.is_empty() {
                self.push(&format!("{path}[{i}]"), "Required value");
            }
        }
    }

    fn push_malformed(&mut self, path: &str, patterns: &[AccountPattern]) {
        for (i, pattern) in patterns.iter().enumerate() {
            if pattern.parts.is_none() {
                let text = &pattern.text;
                let problem =
                    format!("Invalid value: {text:?}: must be of the form namespace/name");
                self.push(&format!("{path}[{i}]"), &problem);
            }
        }
    }
}

impl Settings {
    fn check_maxima(&self, problems: &mut Problems) {
        let path = "maxExpirationSeconds";
        self.check_maximum(path, self.max_expiration_seconds, problems);
        let mut seen = BTreeSet::new();
        for (i, entry) in self.audiences.iter().enumerate() {
            let path = format!("audiences[{i}]");
            let seconds = entry.max_expiration_seconds;
            self.check_maximum(&format!("{path}.maxExpirationSeconds"), seconds, problems);
            let audience = entry.audience.as_str();
            if !seen.insert(audience) {
                let problem = format!("Duplicate value: {audience:?}");
                problems.push(&format!("{path}.audience"), &problem);
            }
        }
        for (i, entry) in self.overrides.iter().enumerate() {
            if let Some(seconds) = entry.max_expiration_seconds {
                let path = format!("overrides[{i}].maxExpirationSeconds");
                self.check_maximum(&path, seconds, problems);
            }
        }
    }

    fn check_maximum(&self, path: &str, seconds: i64, problems: &mut Problems) {
        if !LIFETIMES.contains(&seconds) {
            let (shortest, longest) = LIFETIMES.into_inner();
            let problem =
                format!("Invalid value: {seconds}: must be in {shortest}-{longest} seconds");
            problems.push(path, &problem);
        }
        if seconds == EXTENDED_LIFETIME && self.api_server.extends_tokens {
            let problem = format!(
                "Invalid value: {seconds}: the API server extends exactly this lifetime to up to a \
                 year; choose another, or set apiServer.extendsTokens to false if it runs with \
                 --service-account-extend-token-expiration=false"
            );
            problems.push(path, &problem);
        }
    }

    fn check_patterns(&self, problems: &mut Problems) {
        let allowed = self.allowed_audiences.as_deref().unwrap_or_default();
        problems.push_empty("allowedAudiences", allowed);
        problems.push_empty("apiServer.audiences", &self.api_server.audiences);
        problems.push_empty("exemptNamespaces", &self.exempt_namespaces);
        problems.push_malformed("exemptServiceAccounts", &self.exempt_service_accounts);
        problems.push_malformed(
            "automount.serviceAccounts",
            &self.automount.service_accounts,
        );
        for (i, entry) in self.overrides.iter().enumerate() {
            let path = format!("overrides[{i}].namespaces");
            if entry.namespaces.is_empty() {
                problems.push(&path, "Required value: at least one namespace");
            }
            problems.push_empty(&path, &entry.namespaces);
        }
    }

    fn check_opt_out_annotation(&self, problems: &mut Problems) {
        let Some(key) = &self.opt_out_annotation else {
            return;
        };
        // Kubernetes' form of a key (`k8s.io/apimachinery/pkg/util/validation`, `IsQualifiedName`).
        let is_end = |c: char| c.is_ascii_alphanumeric();
        let is_inside = |c: char| is_end(c) || "-_.".contains(c);
        let is_part = |part: &str| {
            part.starts_with(is_end) && part.ends_with(is_end) && part.chars().all(is_inside)
        };
        if !key.split('/').all(is_part) || key.split('/').count() > 2 {
            let problem = format!(
                "Invalid value: {key:?}: must be the key of an annotation, such as \
                 tokens.example.com/exempt"
            );
            problems.push("optOutAnnotation", &problem);
        }
    }
}

impl FsGroup {
    fn check(&self, problems: &mut Problems) {
        for (i, range) in self.ranges.iter().enumerate() {
            if range.min < GROUPS.min || range.min > range.max || range.max > GROUPS.max {
                let Object(groups) = GROUPS;
                let problem = format!(
                    "Invalid value: {}: must be in {groups}, min not above max",
                    range.0
                );
                problems.push(&format!("fsGroup.ranges[{i}]"), &problem);
            }
        }
        if self.rule == GroupRule::MustRunAs && !self.allows(self.default) {
            let problem = format!("Invalid value: {}: must be in fsGroup.ranges", self.default);
            problems.push("fsGroup.default", &problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::from(text.to_owned())
    }

    #[test]
    fn empty_settings_are_the_defaults() {
        for (name, json) in [
            ("empty", "{}"),
            ("null", "null"),
            (
                "fields of null",
                r#"{"mode":null,"fsGroup":null,"audiences":null,"apiServer":{"audiences":null}}"#,
            ),
            (
                "an empty list of ranges",
                r#"{"fsGroup":{"ranges":[],"default":65534}}"#,
            ),
            ("empty text", r#"{"optOutAnnotation":"","mode":""}"#),
            (
                "empty sections",
                r#"{"fsGroup":{},"apiServer":{},"legacyTokens":{},"overrides":[]}"#,
            ),
        ] {
            assert_eq!(Settings::read(json), Ok(Settings::default()), "{name}");
        }
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn every_setting_is_decoded() {
        let json = r#"{
            "mode": "warn",
            "maxExpirationSeconds": 600,
            "audiences": [{"audience": "sts.*", "maxExpirationSeconds": 4294967296}],
            "allowedAudiences": ["vault"],
            "apiServer": {"extendsTokens": false, "audiences": ["own"]},
            "fsGroup": {
                "rule": "MayRunAs", "ranges": [{"min": 1, "max": 2}, {"min": 5, "max": 5}],
                "default": 5, "commonUser": "Accept", "persistentVolumes": "Set",
                "privateFiles": "Reject", "rootContainers": "Leave"
            },
            "legacyTokens": {"rule": "Allow", "detect": "Lookup"},
            "automount": {"rule": "Warn", "serviceAccounts": ["*/default", "ci-*/builder"]},
            "exemptNamespaces": ["kube-*"],
            "exemptServiceAccounts": ["ci-*/builder"],
            "optOutAnnotation": "tokens.example.com/exempt",
            "overrides": [
                {"namespaces": ["ci-*"], "mode": "reject", "maxExpirationSeconds": 86400},
                {"namespaces": ["a", "b"]}
            ]
        }"#;
        let patterns = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect::<Vec<_>>();
        let accounts = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| AccountPattern::from(text.to_owned()))
                .collect::<Vec<_>>()
        };
        let maximum = AudienceMaximum {
            audience: pattern("sts.*"),
            max_expiration_seconds: 1 << 32,
        };
        let expected = Settings {
            mode: Mode::Warn,
            max_expiration_seconds: 600,
            audiences: vec![Object(maximum)],
            allowed_audiences: Some(patterns(&["vault"])),
            api_server: Object(ApiServer {
                extends_tokens: false,
                audiences: patterns(&["own"]),
            }),
            fs_group: Object(FsGroup {
                rule: GroupRule::MayRunAs,
                ranges: [(1, 2), (5, 5)]
                    .map(|(min, max)| Object(GroupRange { min, max }))
                    .into(),
                default: 5,
                common_user: CommonUser::Accept,
                persistent_volumes: Obstacle::Set,
                private_files: Obstacle::Reject,
                root_containers: Obstacle::Leave,
            }),
            legacy_tokens: Object(LegacyTokens {
                rule: LegacyRule::Allow,
                detect: Detect::Lookup,
            }),
            automount: Object(Automount {
                rule: AutomountRule::Warn,
                service_accounts: accounts(&["*/default", "ci-*/builder"]),
            }),
            exempt_namespaces: patterns(&["kube-*"]),
            exempt_service_accounts: accounts(&["ci-*/builder"]),
            opt_out_annotation: Some("tokens.example.com/exempt".to_owned()),
            overrides: vec![
                Object(Override {
                    namespaces: patterns(&["ci-*"]),
                    mode: Some(Mode::Reject),
                    max_expiration_seconds: Some(86400),
                }),
                Object(Override {
                    namespaces: patterns(&["a", "b"]),
                    mode: None,
                    max_expiration_seconds: None,
                }),
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
            r#"{"fsGroup": {"ranges": [{"min": 0, "max": 2147483647}]}}"#,
            r#"{"allowedAudiences": []}"#,
        ] {
            assert!(
                Settings::read(json).is_ok(),
                "{json}: {:?}",
                Settings::read(json)
            );
        }
        assert_eq!(
            Settings::read(r#"{"allowedAudiences": []}"#)
                .unwrap()
                .allowed_audiences,
            Some(vec![])
        );
    }

    #[test]
    fn settings_of_the_wrong_shape() {
        for (json, expected) in [
            ("", "EOF while parsing a value"),
            ("{} {}", "trailing characters"),
            ("[]", "invalid type: sequence, expected an object"),
            (
                "\"mutate\"",
                "invalid type: string \"mutate\", expected an object",
            ),
            (
                r#"{"mod": "warn"}"#,
                "mod: unknown field `mod`, expected one of `mode`, `maxExpirationSeconds`, ",
            ),
            (
                r#"{"fsGroup": {"rules": 1}}"#,
                "fsGroup.rules: unknown field `rules`, expected one of `rule`, ",
            ),
            (
                r#"{"audiences": [{"audience": "a", "max": 1}]}"#,
                "audiences[0].max: unknown field `max`, expected `audience` or `maxExpirationSeconds`",
            ),
            (
                r#"{"mode": "Mutate"}"#,
                "mode: unknown variant `Mutate`, expected one of `mutate`, `reject`, `warn`",
            ),
            (
                r#"{"maxExpirationSeconds": "1h"}"#,
                "maxExpirationSeconds: invalid type: string \"1h\", expected i64",
            ),
            (
                r#"{"maxExpirationSeconds": 1.5}"#,
                "maxExpirationSeconds: invalid type: floating point `1.5`",
            ),
            (
                r#"{"audiences": [{"audience": "a"}]}"#,
                "audiences[0]: missing field `maxExpirationSeconds`",
            ),
            (
                r#"{"audiences": [{"audience": "", "maxExpirationSeconds": 600}]}"#,
                "audiences[0]: missing field `audience`",
            ),
            (
                r#"{"audiences": [["a", 600]]}"#,
                "audiences[0]: invalid type: sequence, expected an object",
            ),
            (
                r#"{"audiences": {"a": 600}}"#,
                "audiences: invalid type: map, expected a sequence",
            ),
            (
                r#"{"allowedAudiences": ["a", 1]}"#,
                "allowedAudiences[1]: invalid type: integer `1`",
            ),
            (
                r#"{"apiServer": []}"#,
                "apiServer: invalid type: sequence, expected an object",
            ),
            (
                r#"{"legacyTokens": {"rule": "Deny"}}"#,
                "legacyTokens.rule: unknown variant `Deny`",
            ),
            (
                r#"{"fsGroup": {"privateFiles": "Leaves"}}"#,
                "fsGroup.privateFiles: unknown variant `Leaves`",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": 1}]}}"#,
                "fsGroup.ranges[0]: missing field `max`",
            ),
            (
                r#"{"overrides": [{}]}"#,
                "overrides[0]: missing field `namespaces`",
            ),
            (
                r#"{"overrides": [{"namespaces": ["a"], "fsGroup": {}}]}"#,
                "overrides[0].fsGroup: unknown field `fsGroup`",
            ),
        ] {
            let problem = Settings::read(json).expect_err(json);
            assert!(problem.starts_with(expected), "{json}: {problem}");
        }
    }

    #[test]
    fn values_out_of_range() {
        let year = "the API server extends exactly this lifetime to up to a year; choose another, or set apiServer.extendsTokens to false if it runs with --service-account-extend-token-expiration=false";
        for (json, expected) in [
            (
                r#"{"maxExpirationSeconds": 599}"#,
                "maxExpirationSeconds: Invalid value: 599: must be in 600-4294967296 seconds",
            ),
            (
                r#"{"maxExpirationSeconds": 4294967297}"#,
                "maxExpirationSeconds: Invalid value: 4294967297: must be in 600-4294967296 seconds",
            ),
            (
                r#"{"maxExpirationSeconds": 3607}"#,
                &format!("maxExpirationSeconds: Invalid value: 3607: {year}"),
            ),
            (
                r#"{"audiences": [{"audience": "a", "maxExpirationSeconds": 3607}]}"#,
                &format!("audiences[0].maxExpirationSeconds: Invalid value: 3607: {year}"),
            ),
            (
                r#"{"overrides": [{"namespaces": ["a"], "maxExpirationSeconds": 1}]}"#,
                "overrides[0].maxExpirationSeconds: Invalid value: 1: must be in 600-4294967296 seconds",
            ),
            (
                r#"{"audiences": [{"audience": "a", "maxExpirationSeconds": 600}, {"audience": "a", "maxExpirationSeconds": 700}]}"#,
                "audiences[1].audience: Duplicate value: \"a\"",
            ),
            (
                r#"{"allowedAudiences": ["a", ""]}"#,
                "allowedAudiences[1]: Required value",
            ),
            (
                r#"{"apiServer": {"audiences": [""]}}"#,
                "apiServer.audiences[0]: Required value",
            ),
            (
                r#"{"exemptNamespaces": [""]}"#,
                "exemptNamespaces[0]: Required value",
            ),
            (
                r#"{"overrides": [{"namespaces": []}]}"#,
                "overrides[0].namespaces: Required value: at least one namespace",
            ),
            (
                r#"{"overrides": [{"namespaces": [""]}]}"#,
                "overrides[0].namespaces[0]: Required value",
            ),
            (
                r#"{"exemptServiceAccounts": ["builder"]}"#,
                "exemptServiceAccounts[0]: Invalid value: \"builder\": must be of the form namespace/name",
            ),
            (
                r#"{"exemptServiceAccounts": ["ci/", "/a", "a/b/c"]}"#,
                "exemptServiceAccounts[0]: Invalid value: \"ci/\": must be of the form namespace/name; exemptServiceAccounts[1]: Invalid value: \"/a\": must be of the form namespace/name; exemptServiceAccounts[2]: Invalid value: \"a/b/c\": must be of the form namespace/name",
            ),
            (
                r#"{"automount": {"serviceAccounts": ["default"]}}"#,
                "automount.serviceAccounts[0]: Invalid value: \"default\": must be of the form namespace/name",
            ),
            (
                r#"{"optOutAnnotation": "a/b/c"}"#,
                "optOutAnnotation: Invalid value: \"a/b/c\": must be the key of an annotation, such as tokens.example.com/exempt",
            ),
            (
                r#"{"optOutAnnotation": "tokens.example.com/"}"#,
                "optOutAnnotation: Invalid value: \"tokens.example.com/\": must be the key of an annotation, such as tokens.example.com/exempt",
            ),
            (
                r#"{"optOutAnnotation": "exempt me"}"#,
                "optOutAnnotation: Invalid value: \"exempt me\": must be the key of an annotation, such as tokens.example.com/exempt",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": 9, "max": 1}, {"min": 5, "max": 5}], "default": 5}}"#,
                "fsGroup.ranges[0]: Invalid value: 9-1: must be in 0-2147483647, min not above max",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": -1, "max": 2147483648}]}}"#,
                "fsGroup.ranges[0]: Invalid value: -1-2147483648: must be in 0-2147483647, min not above max",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": 1, "max": 2147483649}]}}"#,
                "fsGroup.ranges[0]: Invalid value: 1-2147483649: must be in 0-2147483647, min not above max",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": 1000, "max": 2000}]}}"#,
                "fsGroup.default: Invalid value: 65534: must be in fsGroup.ranges",
            ),
            (
                r#"{"fsGroup": {"default": -1}}"#,
                "fsGroup.default: Invalid value: -1: must be in fsGroup.ranges",
            ),
        ] {
            assert_eq!(Settings::read(json), Err(expected.to_owned()), "{json}");
        }
    }

    #[test]
    fn all_values_out_of_range_are_reported_at_once() {
        let json =
            r#"{"maxExpirationSeconds": 1, "exemptNamespaces": [""], "fsGroup": {"default": -1}}"#;
        let problems = Settings::read(json).unwrap_err();
        let paths: Vec<_> = problems
            .split("; ")
            .filter_map(|it| Some(it.split_once(": ")?.0))
            .collect();
        assert_eq!(
            paths,
            [
                "maxExpirationSeconds",
                "exemptNamespaces[0]",
                "fsGroup.default"
            ]
        );
    }

    #[test]
    fn the_maximum_for_an_audience() {
        let [_, kubeadm] = COMMON_AUDIENCES;
        let two = r#""audiences":[{"audience":"sts.*","maxExpirationSeconds":86400},{"audience":"sts.a","maxExpirationSeconds":600}]"#;
        let own = r#""audiences":[{"audience":"https://kubernetes.default.svc","maxExpirationSeconds":7200}]"#;
        let any = r#""audiences":[{"audience":"*","maxExpirationSeconds":7200}]"#;
        let common = r#""audiences":[{"audience":"*.svc","maxExpirationSeconds":900}]"#;
        let pattern = r#""apiServer":{"audiences":["own*"]},"audiences":[{"audience":"own-a","maxExpirationSeconds":900}]"#;
        let named = r#""apiServer":{"audiences":["a","b"]},"audiences":[{"audience":"a","maxExpirationSeconds":7200},{"audience":"b","maxExpirationSeconds":900}]"#;
        for (name, settings, audience, expected) in [
            ("the default", "", "vault", 3600),
            ("the first match", two, "sts.a", 86400),
            ("no match", two, "vault", 3600),
            ("no match for the API server", two, "", 3600),
            (
                "the API server's, by name",
                own,
                "https://kubernetes.default.svc",
                7200,
            ),
            ("the API server's, without a name", own, "", 7200),
            ("any audience", any, "", 7200),
            ("any audience, by name", any, kubeadm, 7200),
            ("a pattern of the API server's", common, "", 900),
            (
                "one that the API server's pattern stands for",
                pattern,
                "",
                900,
            ),
            ("the strictest of the API server's", named, "", 900),
            ("one of the API server's", named, "a", 7200),
        ] {
            let settings = Settings::read(&format!("{{{settings}}}")).unwrap();
            assert_eq!(settings.maximum(audience), expected, "{name}");
        }
    }

    #[test]
    fn audiences_that_are_allowed() {
        let none = r#"{"allowedAudiences":[]}"#;
        let some = r#"{"allowedAudiences":["vault","sts.*"]}"#;
        let named = r#"{"allowedAudiences":["vault"],"apiServer":{"audiences":["own*"]}}"#;
        for (settings, audience, expected) in [
            ("{}", "anything", true),
            (none, "", true),
            (none, "vault", false),
            (none, "https://kubernetes.default.svc.cluster.local", true),
            (none, "https://kubernetes.default.svc", true),
            (none, "kubernetes.default.svc", true),
            (none, "https://kubernetes.default.evil", false),
            (some, "vault", true),
            (some, "Vault", false),
            (some, "sts.amazonaws.com", true),
            (some, "xsts.amazonaws.com", false),
            (named, "", true),
            (named, "own.cluster", true),
            (named, "https://kubernetes.default.svc", false),
        ] {
            let allows = Settings::read(settings).unwrap().allows_audience(audience);
            assert_eq!(allows, expected, "{audience} with {settings}");
        }
    }

    #[test]
    fn namespaces_and_accounts_that_are_exempt() {
        let settings =
            r#"{"exemptNamespaces":["kube-*"],"exemptServiceAccounts":["ci-*/builder","*/a*"]}"#;
        for (namespace, account, expected) in [
            ("kube-system", "app", true),
            ("kube-system", "", true),
            ("ci-1", "builder", true),
            ("ci-1", "app", true),
            ("ci-1", "x/builder", false),
            ("ci-1", "deployer", false),
            ("prod", "builder", false),
            ("ci-1", "", false),
            ("", "app", false),
            ("", "", false),
        ] {
            let settings = Settings::read(settings).unwrap();
            let exempts = settings.exempts_namespace(namespace)
                || settings.exempts_account(namespace, account);
            assert_eq!(exempts, expected, "{namespace}/{account}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("payments", "payments", true),
            ("payments", "payment", false),
            ("payments", "payments2", false),
            ("Payments", "payments", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("ci-*", "ci-", true),
            ("ci-*", "ci-42", true),
            ("ci-*", "xci-42", false),
            ("*-ci", "team-ci", true),
            ("*-ci", "team-ci-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "abc", true),
            ("kube-?", "kube-x", false),
            ("[a]", "a", false),
            ("ü*", "über", true),
        ] {
            assert_eq!(
                self::pattern(pattern).matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn many_stars_on_a_long_text_end() {
        assert!(!pattern(&"*a".repeat(50)).matches(&"b".repeat(50_000)));
        let text = "a".repeat(49) + &"b".repeat(50_000);
        assert!(!pattern(&"a*".repeat(50)).matches(&text));
    }

    #[test]
    fn each_override_wins_for_what_it_sets_first() {
        let settings = r#"{"overrides": [
            {"namespaces": ["ci-*"], "mode": "warn"},
            {"namespaces": ["ci-1"], "mode": "reject", "maxExpirationSeconds": 86400},
            {"namespaces": ["*"], "maxExpirationSeconds": 7200}
        ]}"#;
        for (namespace, mode, seconds) in [
            ("ci-1", Mode::Warn, 86400),
            ("ci-2", Mode::Warn, 7200),
            ("payments", Mode::Mutate, 7200),
            ("", Mode::Mutate, 3600),
        ] {
            let settings = Settings::read(settings).unwrap().for_namespace(namespace);
            assert_eq!(settings.mode, mode, "{namespace}");
            assert_eq!(settings.max_expiration_seconds, seconds, "{namespace}");
        }
    }

    #[test]
    fn the_highest_allowed_group_below_a_limit() {
        for (ranges, expected) in [
            ("[]", Some(65535)),
            (
                r#"[{"min": 1000, "max": 2000}, {"min": 1, "max": 5}]"#,
                Some(2000),
            ),
            (r#"[{"min": 1000, "max": 70000}]"#, Some(65535)),
            (r#"[{"min": 70000, "max": 80000}]"#, None),
            (r#"[{"min": 0, "max": 0}]"#, None),
        ] {
            let json = format!(r#"{{"fsGroup": {{"rule": "MayRunAs", "ranges": {ranges}}}}}"#);
            let settings = Settings::read(&json).unwrap();
            assert_eq!(
                settings.fs_group.highest_allowed(65535),
                expected,
                "{ranges}"
            );
        }
    }
}
