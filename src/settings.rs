//! What an operator writes. serde reports the first field of the wrong shape, [`Validatable`] all
//! values that are out of range.

#![allow(missing_docs, reason = "the README explains every setting")]

use crate::decode::Object;
use crate::review::EXTENDED_LIFETIME;
use derive_more::Display;
use kubewarden_policy_sdk::settings::Validatable;
use serde::Deserialize;
use serde_json::{Map, Value};
use smart_default::SmartDefault;
use std::{collections::BTreeSet, fmt};
use wildmatch::WildMatchPattern;

/// The groups that the API server takes (`staging/src/k8s.io/apimachinery/pkg/util/validation`,
/// `IsValidGroupID`).
const GROUPS: Object<GroupRange> = Object(GroupRange { min: 0, max: i32::MAX as i64 });

/// What the API server's audience looks like where operators don't choose one, and the two that
/// are most common.
const USUAL_AUDIENCES: [&str; 2] = ["https://kubernetes.default.svc*", "kubernetes.default.svc*"];
const COMMON_AUDIENCES: [&str; 2] =
    ["https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"];

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, SmartDefault)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    pub mode: Mode,
    #[default = 3600]
    pub max_expiration_seconds: i64,
    pub audiences: Vec<Object<AudienceMaximum>>,
    /// `None` for any.
    pub allowed_audiences: Option<Vec<String>>,
    pub api_server: Object<ApiServer>,
    pub legacy_tokens: Object<LegacyTokens>,
    pub fs_group: Object<FsGroup>,
    pub exempt_namespaces: Vec<String>,
    pub exempt_service_accounts: Vec<String>,
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

/// A maximum, in seconds, for the audiences that match a pattern. The first match wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AudienceMaximum {
    pub audience: String,
    pub max_expiration_seconds: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, SmartDefault)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiServer {
    #[default = true]
    pub extends_tokens: bool,
    pub audiences: Vec<String>,
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

/// Other settings for the namespaces that match one of the patterns. The first match wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    pub namespaces: Vec<String>,
    pub mode: Option<Mode>,
    pub max_expiration_seconds: Option<i64>,
}

impl FsGroup {
    /// The allowed groups, of which there is at least one.
    pub fn allowed(&self) -> &[Object<GroupRange>] {
        if self.ranges.is_empty() { &[GROUPS] } else { &self.ranges }
    }

    pub fn allows(&self, group: i64) -> bool {
        self.allowed().iter().any(|range| (range.min..=range.max).contains(&group))
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
        let json = without_empty_fields(serde_json::from_str(json).map_err(|e| e.to_string())?);
        let settings: Result<Option<Object<Self>>, _> = serde_path_to_error::deserialize(json);
        let Object(settings) = settings.map_err(|e| e.to_string())?.unwrap_or_default();
        settings.validate().map(|()| settings)
    }

    /// The maximum, in seconds, for an audience. Without one a token is for all audiences of the
    /// API server, and a pattern of these may stand for any that has a maximum of its own: the
    /// strictest counts.
    pub fn maximum(&self, audience: &str) -> i64 {
        let own = &self.api_server.audiences;
        if audience.is_empty() && !own.is_empty() {
            let named = self.audiences.iter().map(|it| &it.audience).filter(|it| any(own, it));
            let maxima = own.iter().chain(named).map(|it| self.maximum(it));
            return maxima.min().unwrap_or(self.max_expiration_seconds);
        }
        let is_common = |pattern: &str| COMMON_AUDIENCES.iter().any(|it| matches(pattern, it));
        let is_for = |pattern: &str| match audience {
            "" => any(&USUAL_AUDIENCES, pattern) || is_common(pattern),
            audience => matches(pattern, audience),
        };
        let entry = self.audiences.iter().find(|entry| is_for(&entry.audience));
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
            || (self.api_server.audiences.is_empty() && any(&USUAL_AUDIENCES, audience))
    }

    /// True for what the policy leaves alone. What is in no namespace is in none of these.
    pub fn exempts(&self, namespace: &str, account: &str) -> bool {
        let mut accounts = self.exempt_service_accounts.iter().filter_map(|it| it.split_once('/'));
        any(&self.exempt_namespaces, namespace)
            || accounts.any(|it| any(&[it.0], namespace) && any(&[it.1], account))
    }

    /// The settings for a namespace.
    #[must_use]
    pub fn for_namespace(mut self, namespace: &str) -> Self {
        if let Some(found) = self.overrides.iter().find(|it| any(&it.namespaces, namespace)) {
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

/// True when a pattern matches the text. No text, as where there is no namespace, matches none.
fn any(patterns: &[impl AsRef<str>], text: &str) -> bool {
    !text.is_empty() && patterns.iter().any(|pattern| matches(pattern.as_ref(), text))
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        self.check(&mut |is_met, problem| problems.extend((!is_met).then(|| problem.to_string())));
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

/// Takes whether a requirement is met, and the problem if it isn't.
type Require<'r> = &'r mut dyn FnMut(bool, fmt::Arguments);

impl Settings {
    fn check(&self, require: Require) {
        self.check_maximum(format_args!(""), self.max_expiration_seconds, require);
        let mut seen = BTreeSet::new();
        for (i, it) in self.audiences.iter().enumerate() {
            self.check_maximum(format_args!("audiences[{i}]."), it.max_expiration_seconds, require);
            let audience = &*it.audience;
            let problem = format_args!("audiences[{i}].audience: Duplicate value: {audience:?}");
            require(seen.insert(audience), problem);
        }
        let allowed = self.allowed_audiences.as_deref().unwrap_or_default();
        check_patterns(format_args!("allowedAudiences"), allowed, require);
        check_patterns(format_args!("apiServer.audiences"), &self.api_server.audiences, require);
        check_patterns(format_args!("exemptNamespaces"), &self.exempt_namespaces, require);
        for (i, it) in self.exempt_service_accounts.iter().enumerate() {
            let parts: Vec<_> = it.split('/').collect();
            let form = "must be of the form namespace/name";
            let problem = format_args!("exemptServiceAccounts[{i}]: Invalid value: {it:?}: {form}");
            require(parts.len() == 2 && !parts.contains(&""), problem);
        }
        for (i, it) in self.overrides.iter().enumerate() {
            if let Some(seconds) = it.max_expiration_seconds {
                self.check_maximum(format_args!("overrides[{i}]."), seconds, require);
            }
            let path = format_args!("overrides[{i}].namespaces");
            let problem = format_args!("{path}: Required value: at least one namespace");
            require(!it.namespaces.is_empty(), problem);
            check_patterns(path, &it.namespaces, require);
        }
        // Kubernetes' form of a key (`k8s.io/apimachinery/pkg/util/validation`, `IsQualifiedName`).
        let key = self.opt_out_annotation.as_deref().unwrap_or_default();
        let is_end = |c: char| c.is_ascii_alphanumeric();
        let is_key = |c: char| is_end(c) || "-_.".contains(c);
        let is_part =
            |it: &str| it.starts_with(is_end) && it.ends_with(is_end) && it.chars().all(is_key);
        let form = "must be the key of an annotation, such as tokens.example.com/exempt";
        let problem = format_args!("optOutAnnotation: Invalid value: {key:?}: {form}");
        let is_valid = key.split('/').all(is_part) && key.split('/').count() <= 2;
        require(is_valid || key.is_empty(), problem);
        self.fs_group.check(require);
    }

    fn check_maximum(&self, path: fmt::Arguments, seconds: i64, require: Require) {
        let path = format_args!("{path}maxExpirationSeconds: Invalid value: {seconds}");
        // What the API server takes for a token (`pkg/apis/authentication/validation` and
        // `pkg/apis/core/validation`).
        let is_taken = (600..=1 << 32).contains(&seconds);
        require(is_taken, format_args!("{path}: must be in 600-4294967296 seconds"));
        let problem = format_args!(
            "{path}: the API server extends exactly this lifetime to a year; choose another, or set \
             apiServer.extendsTokens to false if it runs with \
             --service-account-extend-token-expiration=false"
        );
        require(seconds != EXTENDED_LIFETIME || !self.api_server.extends_tokens, problem);
    }
}

fn check_patterns(path: fmt::Arguments, patterns: &[String], require: Require) {
    for (i, pattern) in patterns.iter().enumerate() {
        require(!pattern.is_empty(), format_args!("{path}[{i}]: Required value"));
    }
}

impl FsGroup {
    fn check(&self, require: Require) {
        for (i, range) in self.ranges.iter().enumerate() {
            let path = format_args!("fsGroup.ranges[{i}]");
            let is_valid = 0 <= range.min && range.min <= range.max && range.max <= GROUPS.max;
            let form = format_args!("must be in {}, min not above max", GROUPS.0);
            require(is_valid, format_args!("{path}: Invalid value: {}: {form}", range.0));
        }
        let (group, form) = (self.default, "must be in fsGroup.ranges");
        let problem = format_args!("fsGroup.default: Invalid value: {group}: {form}");
        require(self.rule != GroupRule::MustRunAs || self.allows(group), problem);
    }
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
            let exempts = Settings::read(settings).unwrap().exempts(namespace, account);
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
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_on_a_long_text_end() {
        assert!(!matches(&"*a".repeat(50), &"b".repeat(50_000)));
        assert!(!matches(&"a*".repeat(50), &("a".repeat(49) + &"b".repeat(50_000))));
    }
}
