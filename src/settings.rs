//! What an operator writes. serde reports the first field of the wrong shape, [`Validatable`] all
//! values that are out of range.

#![allow(missing_docs, reason = "the README explains every setting")]

use crate::decode::Object;
use crate::message::{invalid, quoted};
use crate::review::EXTENDED_LIFETIME;
use kubewarden_policy_sdk::settings::Validatable;
use serde::Deserialize;
use serde_json::{Map, Value};
use smart_default::SmartDefault;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use wildmatch::WildMatchPattern;

/// The lifetimes, in seconds, that the API server takes for a token
/// (`pkg/apis/authentication/validation` and `pkg/apis/core/validation`).
const LIFETIMES: RangeInclusive<i64> = 600..=1 << 32;

/// The groups that the API server takes (`staging/src/k8s.io/apimachinery/pkg/util/validation`,
/// `IsValidGroupID`).
const GROUPS: GroupRange = GroupRange { min: 0, max: i32::MAX as i64 };

/// What the API server's audience looks like where operators don't choose one, and the two that
/// are most common.
const USUAL_AUDIENCES: [&str; 2] = ["https://kubernetes.default.svc*", "kubernetes.default.svc*"];
const COMMON_AUDIENCES: [&str; 2] =
    ["https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"];

#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    pub mode: Mode,
    /// Seconds, for every audience without a maximum of its own.
    #[default = 3600]
    pub max_expiration_seconds: i64,
    pub audiences: Vec<Object<AudienceMaximum>>,
    /// The audiences that may be asked for beside the API server's own; `None` for any.
    pub allowed_audiences: Option<Vec<String>>,
    pub api_server: Object<ApiServer>,
    pub legacy_tokens: Object<LegacyTokens>,
    pub fs_group: Object<FsGroup>,
    pub exempt_namespaces: Vec<String>,
    /// Two patterns each: `namespace/name`.
    pub exempt_service_accounts: Vec<String>,
    pub opt_out_annotation: Option<String>,
    pub overrides: Vec<Object<Override>>,
}

/// What to do about a violation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Fix it, and reject what can't be fixed.
    #[default]
    Mutate,
    Reject,
    /// Accept it with a warning.
    Warn,
}

/// A maximum, in seconds, for the audiences that match a pattern. The first match wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AudienceMaximum {
    pub audience: String,
    pub max_expiration_seconds: i64,
}

/// How the API server is run: its flags.
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiServer {
    /// `--service-account-extend-token-expiration`
    #[default = true]
    pub extends_tokens: bool,
    /// Patterns of `--api-audiences`.
    pub audiences: Vec<String>,
}

/// What to do about tokens that never expire.
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

/// How a Secret with a token is told from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Detect {
    /// By its name, or by where a container mounts it.
    #[default]
    Name,
    /// By its type, which the cluster tells.
    Lookup,
}

/// The groups that may read tokens.
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FsGroup {
    pub rule: GroupRule,
    /// The allowed groups; any when there are none.
    pub ranges: Vec<Object<GroupRange>>,
    /// The group to set for a Pod whose containers don't share an allowed one.
    #[default = 65534]
    pub default: i64,
    pub common_user: CommonUser,
    pub persistent_volumes: Obstacle,
    pub private_files: Obstacle,
    #[default(Obstacle::Set)]
    pub root_containers: Obstacle,
}

/// Whether a group must be set; as in Kubewarden's policies that replace Pod security policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum GroupRule {
    #[default]
    MustRunAs,
    /// One that is set must be allowed.
    MayRunAs,
    RunAsAny,
}

/// Whether a Pod needs an fsGroup if all its containers set the same user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum CommonUser {
    #[default]
    Require,
    /// It doesn't: the kubelet gives the token to that user.
    Accept,
}

/// What to do for a Pod that needs an fsGroup and may break with one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Obstacle {
    /// Leave it without, with a warning.
    #[default]
    Leave,
    /// Set the group all the same.
    Set,
    Reject,
}

/// Groups, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRange {
    pub min: i64,
    pub max: i64,
}

/// Other settings for the namespaces that match one of the patterns. The first match wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    pub namespaces: Vec<String>,
    pub mode: Option<Mode>,
    pub max_expiration_seconds: Option<i64>,
}

impl GroupRange {
    fn contains(self, group: i64) -> bool {
        (self.min..=self.max).contains(&group)
    }
}

impl fmt::Display for GroupRange {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

impl FsGroup {
    /// The allowed groups, of which there is at least one.
    pub fn allowed(&self) -> Vec<GroupRange> {
        let ranges: Vec<_> = self.ranges.iter().map(|range| range.0).collect();
        if ranges.is_empty() { vec![GROUPS] } else { ranges }
    }

    pub fn allows(&self, group: i64) -> bool {
        self.allowed().into_iter().any(|range| range.contains(group))
    }
}

impl ApiServer {
    /// True for an audience that the API server itself is known to accept: none, or one that the
    /// operator named.
    pub fn is_own(&self, audience: &str) -> bool {
        audience.is_empty() || any(&self.audiences, audience)
    }
}

impl Settings {
    /// Decodes settings from JSON text and checks them. `null`, and fields that are `null` or empty
    /// text as a form leaves them, mean the defaults.
    ///
    /// # Errors
    /// What isn't JSON, the first field of the wrong shape, or all values that are out of range.
    pub fn read(json: &str) -> Result<Self, String> {
        let json = match serde_json::from_str(json).map_err(|e| e.to_string())? {
            Value::Null => return Ok(Self::default()),
            json => without_empty_fields(json),
        };
        let settings: Result<Object<Self>, _> = serde_path_to_error::deserialize(json);
        let Object(settings) = settings.map_err(|e| match e.path().to_string() {
            path if path == "." => e.inner().to_string(),
            path => format!("{path}: {}", e.inner()),
        })?;
        settings.validate().map(|()| settings)
    }

    /// The maximum, in seconds, for an audience. Without one a token is for all audiences of the
    /// API server, and a pattern of these may stand for any that has a maximum of its own: the
    /// strictest counts.
    pub fn maximum(&self, audience: &str) -> i64 {
        if !audience.is_empty() {
            return self.maximum_where(|pattern| matches(pattern, audience));
        }
        let named = self.api_server.audiences.iter().flat_map(|own| {
            let entries = self.audiences.iter().filter(move |it| matches(own, &it.audience));
            entries.map(|it| self.maximum(&it.audience)).chain([self.maximum(own)])
        });
        let is_usual = |pattern: &str| {
            looks_own(pattern) || COMMON_AUDIENCES.iter().any(|audience| matches(pattern, audience))
        };
        named.min().unwrap_or_else(|| self.maximum_where(is_usual))
    }

    fn maximum_where(&self, matches: impl Fn(&str) -> bool) -> i64 {
        let entry = self.audiences.iter().find(|entry| matches(&entry.audience));
        entry.map_or(self.max_expiration_seconds, |entry| entry.max_expiration_seconds)
    }

    /// The lifetime, in seconds, that a mutation sets for a maximum: never the one that the API
    /// server would extend, whatever the settings say about it.
    pub fn lifetime_to_set(&self, maximum: i64) -> i64 {
        if maximum == EXTENDED_LIFETIME { maximum - 1 } else { maximum }
    }

    /// True for an audience that may be asked for. The API server's own always may, and so may
    /// what looks like it where the operator named none.
    pub fn allows_audience(&self, audience: &str) -> bool {
        self.allowed_audiences.as_ref().is_none_or(|allowed| any(allowed, audience))
            || self.api_server.is_own(audience)
            || (self.api_server.audiences.is_empty() && looks_own(audience))
    }

    /// True for what the policy leaves alone. What is in no namespace is in none of these.
    pub fn exempts(&self, namespace: &str, service_account: &str) -> bool {
        let mut accounts = self.exempt_service_accounts.iter().filter_map(|it| it.split_once('/'));
        let mut has_account =
            || accounts.any(|it| matches(it.0, namespace) && matches(it.1, service_account));
        let is_exempt = any(&self.exempt_namespaces, namespace)
            || (!service_account.is_empty() && has_account());
        !namespace.is_empty() && is_exempt
    }

    /// The settings for a namespace.
    #[must_use]
    pub fn for_namespace(mut self, namespace: &str) -> Self {
        let is_about =
            |it: &&Object<Override>| !namespace.is_empty() && any(&it.namespaces, namespace);
        if let Some(found) = self.overrides.iter().find(is_about) {
            self.mode = found.mode.unwrap_or(self.mode);
            let seconds = found.max_expiration_seconds;
            self.max_expiration_seconds = seconds.unwrap_or(self.max_expiration_seconds);
        }
        self
    }
}

/// What is left without the fields that are `null` or empty text. (`Map::retain` would add 7 kB.)
fn without_empty_fields(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null() && value != "");
            let mut kept = Map::new();
            kept.extend(fields.map(|(name, value)| (name, without_empty_fields(value))));
            Value::Object(kept)
        }
        Value::Array(elements) => elements.into_iter().map(without_empty_fields).collect(),
        value => value,
    }
}

/// True when the whole text matches a pattern, in which `*` stands for any number of characters.
fn matches(pattern: &str, text: &str) -> bool {
    WildMatchPattern::<'*', '\0'>::new(pattern).matches(text)
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

fn looks_own(audience: &str) -> bool {
    USUAL_AUDIENCES.iter().any(|pattern| matches(pattern, audience))
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        self.check_maxima(&mut problems);
        self.check_patterns(&mut problems);
        self.check_names(&mut problems);
        self.fs_group.check(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

impl Settings {
    fn check_maxima(&self, problems: &mut Vec<String>) {
        let mut check = |path: fmt::Arguments, seconds: i64| {
            if let Some(problem) = self.maximum_problem(seconds) {
                problems.push(format!("{path}maxExpirationSeconds: {problem}"));
            }
        };
        check(format_args!(""), self.max_expiration_seconds);
        for (i, entry) in self.audiences.iter().enumerate() {
            check(format_args!("audiences[{i}]."), entry.max_expiration_seconds);
        }
        for (i, entry) in self.overrides.iter().enumerate() {
            if let Some(seconds) = entry.max_expiration_seconds {
                check(format_args!("overrides[{i}]."), seconds);
            }
        }
    }

    fn maximum_problem(&self, seconds: i64) -> Option<String> {
        if !LIFETIMES.contains(&seconds) {
            let (min, max) = (LIFETIMES.start(), LIFETIMES.end());
            return Some(invalid(seconds, format!("must be in {min}-{max} seconds")));
        }
        let detail = "the API server extends exactly this lifetime to a year; choose another, or \
                      set apiServer.extendsTokens to false if it runs with \
                      --service-account-extend-token-expiration=false";
        let is_extended = seconds == EXTENDED_LIFETIME && self.api_server.extends_tokens;
        is_extended.then(|| invalid(seconds, detail))
    }

    fn check_patterns(&self, problems: &mut Vec<String>) {
        let mut check = |path: fmt::Arguments, patterns: &[String]| {
            let empty = patterns.iter().enumerate().filter(|(_, pattern)| pattern.is_empty());
            problems.extend(empty.map(|(i, _)| format!("{path}[{i}]: Required value")));
        };
        check(format_args!("allowedAudiences"), self.allowed_audiences.as_deref().unwrap_or(&[]));
        check(format_args!("apiServer.audiences"), &self.api_server.audiences);
        check(format_args!("exemptNamespaces"), &self.exempt_namespaces);
        for (i, it) in self.overrides.iter().enumerate() {
            check(format_args!("overrides[{i}].namespaces"), &it.namespaces);
        }
    }

    fn check_names(&self, problems: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for (i, entry) in self.audiences.iter().enumerate() {
            if !seen.insert(&*entry.audience) {
                let audience = quoted(&entry.audience);
                problems.push(format!("audiences[{i}].audience: Duplicate value: {audience}"));
            }
        }
        for (i, _) in self.overrides.iter().enumerate().filter(|(_, it)| it.namespaces.is_empty()) {
            let problem = "Required value: at least one namespace";
            problems.push(format!("overrides[{i}].namespaces: {problem}"));
        }
        for (i, account) in self.exempt_service_accounts.iter().enumerate() {
            let parts: Vec<_> = account.split('/').collect();
            if parts.len() != 2 || parts.contains(&"") {
                let problem = invalid(quoted(account), "must be of the form namespace/name");
                problems.push(format!("exemptServiceAccounts[{i}]: {problem}"));
            }
        }
        if let Some(key) = self.opt_out_annotation.as_ref().filter(|key| !is_annotation_key(key)) {
            let detail = "must be the key of an annotation, such as tokens.example.com/exempt";
            problems.push(format!("optOutAnnotation: {}", invalid(quoted(key), detail)));
        }
    }
}

impl FsGroup {
    fn check(&self, problems: &mut Vec<String>) {
        for (i, range) in self.ranges.iter().enumerate() {
            let path = format!("fsGroup.ranges[{i}]");
            for (field, group) in [("min", range.min), ("max", range.max)] {
                if !GROUPS.contains(group) {
                    let problem = invalid(group, format!("must be in {GROUPS}"));
                    problems.push(format!("{path}.{field}: {problem}"));
                }
            }
            if range.min > range.max {
                problems.push(format!("{path}: {}", invalid(range.0, "min must not exceed max")));
            }
        }
        if self.rule == GroupRule::MustRunAs && !self.allows(self.default) {
            let problem = invalid(self.default, "must be in fsGroup.ranges");
            problems.push(format!("fsGroup.default: {problem}"));
        }
    }
}

/// Kubernetes' form of a key (`k8s.io/apimachinery/pkg/util/validation`, `IsQualifiedName`),
/// without its limits of length.
fn is_annotation_key(key: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    let mut parts = key.split('/');
    parts.clone().count() <= 2
        && parts.all(|part| {
            let is_inner = |c: char| is_outer(c) || matches!(c, '-' | '_' | '.');
            part.starts_with(is_outer) && part.ends_with(is_outer) && part.chars().all(is_inner)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_settings_are_the_defaults() {
        for (name, json) in [
            ("empty", "{}"),
            ("null", "null"),
            (
                "fields of null",
                r#"{"mode":null,"fsGroup":null,"audiences":null,"apiServer":{"audiences":null}}"#,
            ),
            ("an empty list of ranges", r#"{"fsGroup":{"ranges":[],"default":65534}}"#),
            ("empty text", r#"{"optOutAnnotation":"","mode":""}"#),
            ("empty sections", r#"{"fsGroup":{},"apiServer":{},"legacyTokens":{},"overrides":[]}"#),
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
            "exemptNamespaces": ["kube-*"],
            "exemptServiceAccounts": ["ci-*/builder"],
            "optOutAnnotation": "tokens.example.com/exempt",
            "overrides": [
                {"namespaces": ["ci-*"], "mode": "reject", "maxExpirationSeconds": 86400},
                {"namespaces": ["a", "b"]}
            ]
        }"#;
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let maximum =
            AudienceMaximum { audience: "sts.*".to_owned(), max_expiration_seconds: 1 << 32 };
        let expected = Settings {
            mode: Mode::Warn,
            max_expiration_seconds: 600,
            audiences: vec![Object(maximum)],
            allowed_audiences: Some(texts(&["vault"])),
            api_server: Object(ApiServer { extends_tokens: false, audiences: texts(&["own"]) }),
            fs_group: Object(FsGroup {
                rule: GroupRule::MayRunAs,
                ranges: [(1, 2), (5, 5)].map(|(min, max)| Object(GroupRange { min, max })).into(),
                default: 5,
                common_user: CommonUser::Accept,
                persistent_volumes: Obstacle::Set,
                private_files: Obstacle::Reject,
                root_containers: Obstacle::Leave,
            }),
            legacy_tokens: Object(LegacyTokens { rule: LegacyRule::Allow, detect: Detect::Lookup }),
            exempt_namespaces: texts(&["kube-*"]),
            exempt_service_accounts: texts(&["ci-*/builder"]),
            opt_out_annotation: Some("tokens.example.com/exempt".to_owned()),
            overrides: vec![
                Object(Override {
                    namespaces: texts(&["ci-*"]),
                    mode: Some(Mode::Reject),
                    max_expiration_seconds: Some(86400),
                }),
                Object(Override {
                    namespaces: texts(&["a", "b"]),
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
            r#"{"allowedAudiences": []}"#,
        ] {
            assert!(Settings::read(json).is_ok(), "{json}: {:?}", Settings::read(json));
        }
        assert_eq!(
            Settings::read(r#"{"allowedAudiences": []}"#).unwrap().allowed_audiences,
            Some(vec![])
        );
    }

    #[test]
    fn settings_of_the_wrong_shape() {
        for (json, expected) in [
            ("", "EOF while parsing a value"),
            ("{} {}", "trailing characters"),
            ("[]", "invalid type: sequence, expected an object"),
            ("\"mutate\"", "invalid type: string \"mutate\", expected an object"),
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
            (r#"{"audiences": {"a": 600}}"#, "audiences: invalid type: map, expected a sequence"),
            (r#"{"allowedAudiences": ["a", 1]}"#, "allowedAudiences[1]: invalid type: integer `1`"),
            (r#"{"apiServer": []}"#, "apiServer: invalid type: sequence, expected an object"),
            (r#"{"legacyTokens": {"rule": "Deny"}}"#, "legacyTokens.rule: unknown variant `Deny`"),
            (
                r#"{"fsGroup": {"privateFiles": "Leaves"}}"#,
                "fsGroup.privateFiles: unknown variant `Leaves`",
            ),
            (r#"{"fsGroup": {"ranges": [{"min": 1}]}}"#, "fsGroup.ranges[0]: missing field `max`"),
            (r#"{"overrides": [{}]}"#, "overrides[0]: missing field `namespaces`"),
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
        let year = "the API server extends exactly this lifetime to a year; choose another, or set apiServer.extendsTokens to false if it runs with --service-account-extend-token-expiration=false";
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
            (r#"{"allowedAudiences": ["a", ""]}"#, "allowedAudiences[1]: Required value"),
            (r#"{"apiServer": {"audiences": [""]}}"#, "apiServer.audiences[0]: Required value"),
            (r#"{"exemptNamespaces": [""]}"#, "exemptNamespaces[0]: Required value"),
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
                r#"{"optOutAnnotation": "a/b/c"}"#,
                "optOutAnnotation: Invalid value: \"a/b/c\": must be the key of an annotation, such as tokens.example.com/exempt",
            ),
            (
                r#"{"optOutAnnotation": "exempt me"}"#,
                "optOutAnnotation: Invalid value: \"exempt me\": must be the key of an annotation, such as tokens.example.com/exempt",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": 9, "max": 1}, {"min": 5, "max": 5}], "default": 5}}"#,
                "fsGroup.ranges[0]: Invalid value: 9-1: min must not exceed max",
            ),
            (
                r#"{"fsGroup": {"ranges": [{"min": -1, "max": 2147483648}]}}"#,
                "fsGroup.ranges[0].min: Invalid value: -1: must be in 0-2147483647; fsGroup.ranges[0].max: Invalid value: 2147483648: must be in 0-2147483647",
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
        let paths: Vec<_> =
            problems.split("; ").filter_map(|it| Some(it.split_once(": ")?.0)).collect();
        assert_eq!(paths, ["maxExpirationSeconds", "exemptNamespaces[0]", "fsGroup.default"]);
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
            ("the API server's, by name", own, "https://kubernetes.default.svc", 7200),
            ("the API server's, without a name", own, "", 7200),
            ("any audience", any, "", 7200),
            ("any audience, by name", any, kubeadm, 7200),
            ("a pattern of the API server's", common, "", 900),
            ("one that the API server's pattern stands for", pattern, "", 900),
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
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_on_a_long_text_end() {
        assert!(!matches(&"*a".repeat(50), &"b".repeat(50_000)));
        assert!(!matches(&"a*".repeat(50), &("a".repeat(49) + &"b".repeat(50_000))));
    }
}
