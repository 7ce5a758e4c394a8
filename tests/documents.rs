//! What stands beside the code says what the code does: the examples, the form, the metadata.

use bound_service_account_tokens::settings::Settings;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The kinds in the examples' comments, as resources in rules.
const RESOURCES: [(&str, &str); 13] = [
    ("Pod", "pods"),
    ("ephemeral containers", "pods/ephemeralcontainers"),
    ("Deployment", "deployments"),
    ("ReplicaSet", "replicasets"),
    ("StatefulSet", "statefulsets"),
    ("DaemonSet", "daemonsets"),
    ("ReplicationController", "replicationcontrollers"),
    ("Job", "jobs"),
    ("CronJob", "cronjobs"),
    ("PodTemplate", "podtemplates"),
    ("TokenRequest", "serviceaccounts/token"),
    ("Secret", "secrets"),
    ("CSIDriver", "csidrivers"),
];

/// The group and the operations that a resource needs in a rule.
fn expected(resource: &str) -> (&'static str, BTreeSet<&'static str>) {
    let group = match resource {
        "deployments" | "replicasets" | "statefulsets" | "daemonsets" => "apps",
        "jobs" | "cronjobs" => "batch",
        "csidrivers" => "storage.k8s.io",
        _ => "",
    };
    let operations: &[_] = match resource {
        "pods" | "secrets" | "serviceaccounts/token" => &["CREATE"],
        "pods/ephemeralcontainers" => &["UPDATE"],
        _ => &["CREATE", "UPDATE"],
    };
    (group, operations.iter().copied().collect())
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

/// The resources of rules; each has to be in a rule that fits it.
fn covered(rules: &Value) -> BTreeSet<String> {
    let mut resources = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        assert_eq!(strings(&rule["apiVersions"]), ["v1"]);
        for resource in strings(&rule["resources"]) {
            let (group, operations) = expected(resource);
            assert_eq!(strings(&rule["apiGroups"]), [group], "{resource}");
            assert_eq!(BTreeSet::from_iter(strings(&rule["operations"])), operations, "{resource}");
            assert!(resources.insert(resource.to_owned()), "{resource} is there twice");
        }
    }
    resources
}

#[test]
fn examples_cover_what_they_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut number = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = format!("examples/{}", file.unwrap().file_name().to_string_lossy());
        number += 1;
        let (text, policy) = (read(&path), yaml(&path));
        let comments: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert_eq!(comments.len(), 3, "{path}: two lines say when to use it, one what it covers");
        let promised = comments[2].strip_prefix("# Covers: ").expect("what it covers");
        let resource = |kind: &str| {
            let found = RESOURCES.iter().find(|(name, _)| *name == kind);
            found.unwrap_or_else(|| panic!("{path}: {kind}")).1.to_owned()
        };
        let promised: BTreeSet<_> = promised.split(", ").map(resource).collect();
        let spec = &policy["spec"];
        assert_eq!(covered(&spec["rules"]), promised, "{path}");

        let settings = spec["settings"].to_string();
        let answer = bound_service_account_tokens::validate_settings(settings.as_bytes()).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer, json!({ "valid": true, "message": null }), "{path}");
        let module = spec["module"].as_str().unwrap();
        assert!(module.ends_with(concat!(":v", env!("CARGO_PKG_VERSION"))), "{path}: {module}");
        let mode = spec["settings"]["mode"].as_str();
        assert_eq!(spec["mutating"], json!(mode != Some("reject")), "{path}");
        let looks_up = spec["settings"]["legacyTokens"]["detect"] == "Lookup";
        let resources = json!([{ "apiVersion": "v1", "kind": "Secret" }]);
        let asks = spec["contextAwareResources"] == resources;
        assert_eq!(looks_up, asks, "{path}: contextAwareResources");
        let own = spec["namespaceSelector"].to_string().contains("\"kubewarden\"");
        assert_eq!(policy["kind"] == "ClusterAdmissionPolicy", own, "{path}: namespaceSelector");
    }
    assert!(number >= 6, "{number} examples");
}

/// Every question by the path of its setting.
fn questions() -> BTreeMap<String, Value> {
    let mut questions = BTreeMap::new();
    let mut add = |path: String, question: &Value| {
        let twice = questions.insert(path.clone(), question.clone());
        assert!(twice.is_none(), "{path} is asked for twice");
    };
    for question in yaml("questions-ui.yml")["questions"].as_array().unwrap() {
        let variable = |it: &Value| it["variable"].as_str().unwrap().to_owned();
        add(variable(question), question);
        for sub in question["subquestions"].as_array().into_iter().flatten() {
            add(variable(sub), sub);
        }
    }
    questions
}

/// The settings' paths, as the settings themselves know them: what is nearest to nonsense.
fn settings() -> BTreeSet<String> {
    // Each member of the struct, spelled as operators do.
    let Settings {
        mode: _,
        max_expiration_seconds: _,
        audiences: _,
        allowed_audiences: _,
        api_server: _,
        legacy_tokens: _,
        fs_group: _,
        exempt_namespaces: _,
        exempt_service_accounts: _,
        opt_out_annotation: _,
        overrides: _,
    } = Settings::default();
    let paths = [
        "mode",
        "maxExpirationSeconds",
        "audiences",
        "allowedAudiences",
        "apiServer",
        "apiServer.extendsTokens",
        "apiServer.audiences",
        "legacyTokens",
        "legacyTokens.rule",
        "legacyTokens.detect",
        "fsGroup",
        "fsGroup.rule",
        "fsGroup.ranges",
        "fsGroup.default",
        "fsGroup.persistentVolumes",
        "exemptNamespaces",
        "exemptServiceAccounts",
        "optOutAnnotation",
        "overrides",
    ];
    paths.map(str::to_owned).into()
}

#[test]
fn the_form_asks_for_every_setting_with_its_default() {
    let questions = questions();
    assert_eq!(questions.keys().cloned().collect::<BTreeSet<_>>(), settings());
    for (path, question) in questions {
        assert!(question["description"].as_str().is_some_and(|it| it.len() > 20), "{path}: help");
        assert!(question["label"].is_string() && question["group"].is_string(), "{path}");
        let with = |value: &Value| match path.split_once('.') {
            Some((section, key)) => json!({ section: { key: value } }).to_string(),
            None => json!({ &path: value }).to_string(),
        };
        let default = with(&question["default"]);
        let mut read = Settings::read(&default).unwrap_or_else(|e| panic!("{path}: {e}"));
        // Not set, it is the group of `nobody`, which is what the form offers.
        if read.fs_group.default == Some(Settings::default().fs_group.group_to_set()) {
            read.fs_group.default = None;
        }
        assert_eq!(read, Settings::default(), "{path}: its default");
        for option in question["options"].as_array().into_iter().flatten() {
            assert!(Settings::read(&with(option)).is_ok(), "{path}: {option}");
        }
    }
}

#[test]
fn the_readme_has_every_setting() {
    let readme = read("README.md");
    for path in settings()
        .iter()
        .filter(|path| !matches!(&***path, "apiServer" | "legacyTokens" | "fsGroup"))
    {
        assert!(readme.contains(&format!("| `{path}` | ")), "README: {path}");
    }
}

#[test]
fn the_metadata_is_about_this_version_and_these_kinds() {
    let metadata = yaml("policy-metadata.yml");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(metadata["annotations"]["io.kubewarden.policy.version"], version);
    assert_eq!(metadata["mutating"], true);
    assert_eq!(
        metadata["contextAwareResources"],
        json!([{ "apiVersion": "v1", "kind": "Secret" }])
    );
    // What is expensive or cluster-wide is for the operator to add.
    let others = ["serviceaccounts/token", "secrets", "csidrivers"];
    let default: BTreeSet<_> = RESOURCES
        .iter()
        .map(|(_, resource)| (*resource).to_owned())
        .filter(|resource| !others.contains(&&**resource))
        .collect();
    assert_eq!(covered(&metadata["rules"]), default);
    let kinds = metadata["annotations"]["io.artifacthub.resources"].as_str().unwrap();
    let kinds: BTreeSet<_> = kinds.split(", ").collect();
    let expected = RESOURCES.iter().map(|(kind, _)| *kind).filter(|kind| !kind.contains(' '));
    assert_eq!(kinds, expected.collect());
}
