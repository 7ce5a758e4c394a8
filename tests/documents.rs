//! The files that people read say what the program does: examples, form, metadata, README, docs.

mod common;

use bound_service_account_tokens::settings::Settings;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn yaml(path: &str) -> Value {
    yaml_serde::from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it.as_str().unwrap())
        .collect()
}

/// What the policy answers, natively.
fn ask(request: &Value, settings: &Value) -> Value {
    serde_json::to_value(common::ask(request, settings)).unwrap()
}

/// Why the policy refuses these settings, if it does.
fn refusal(settings: &Value) -> Option<String> {
    let settings = settings.to_string();
    let answer = bound_service_account_tokens::validate_settings(settings.as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    (answer["valid"] != true).then(|| answer["message"].to_string())
}

/// A captured request, without its AdmissionReview.
fn captured(path: &str) -> Value {
    common::Captured::load(&root().join(path)).request
}

// ---------------------------------------------------------------------------------------------
// Rules

/// A kind as headers and metadata write it; its group, resource and operations in a rule.
const KINDS: [(&str, &str, &str, &[&str]); 13] = [
    ("Pod", "", "pods", &["CREATE"]),
    (
        "ephemeral containers",
        "",
        "pods/ephemeralcontainers",
        &["UPDATE"],
    ),
    ("Deployment", "apps", "deployments", &["CREATE", "UPDATE"]),
    ("ReplicaSet", "apps", "replicasets", &["CREATE", "UPDATE"]),
    ("StatefulSet", "apps", "statefulsets", &["CREATE", "UPDATE"]),
    ("DaemonSet", "apps", "daemonsets", &["CREATE", "UPDATE"]),
    (
        "ReplicationController",
        "",
        "replicationcontrollers",
        &["CREATE", "UPDATE"],
    ),
    ("Job", "batch", "jobs", &["CREATE", "UPDATE"]),
    ("CronJob", "batch", "cronjobs", &["CREATE", "UPDATE"]),
    ("PodTemplate", "", "podtemplates", &["CREATE", "UPDATE"]),
    ("TokenRequest", "", "serviceaccounts/token", &["CREATE"]),
    ("Secret", "", "secrets", &["CREATE", "UPDATE"]),
    (
        "CSIDriver",
        "storage.k8s.io",
        "csidrivers",
        &["CREATE", "UPDATE"],
    ),
];

/// The kinds that a policy's rules select; each has to be in a rule with its group and operations.
fn covered(rules: &Value) -> BTreeSet<&'static str> {
    let mut kinds = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        assert_eq!(strings(&rule["apiVersions"]), ["v1"]);
        for resource in strings(&rule["resources"]) {
            let known = KINDS.iter().find(|(_, _, name, _)| *name == resource);
            let (kind, group, _, operations) = known.expect(resource);
            assert_eq!(strings(&rule["apiGroups"]), [*group], "{resource}");
            assert_eq!(strings(&rule["operations"]), *operations, "{resource}");
            assert!(kinds.insert(*kind), "{resource} is in two rules");
        }
    }
    kinds
}

// ---------------------------------------------------------------------------------------------
// Examples

/// One policy of a file in `examples`.
struct Example {
    file: &'static str,
    header: Vec<String>,
    policy: Value,
}

impl Example {
    fn id(&self) -> String {
        format!(
            "{}: {}",
            self.file,
            self.policy["metadata"]["name"].as_str().unwrap()
        )
    }

    fn spec(&self) -> &Value {
        &self.policy["spec"]
    }

    fn settings(&self) -> &Value {
        &self.policy["spec"]["settings"]
    }
}

/// Every example. All but two are made of the chart, with their policies by the suffix of each name.
const EXAMPLES: [(&str, &[&str]); 11] = [
    ("backstop.yml", &ALL_POLICIES),
    ("enforce.yml", &["", "-final"]),
    ("legacy-lookup.yml", &ALL_POLICIES),
    ("managed-cluster.yml", &["", "-final"]),
    ("mutate-by-namespace.yml", &["", "-final"]),
    ("namespace-strict.yml", &["-strict"]),
    ("production.yml", &["", "-final"]),
    ("secrets-and-drivers.yml", &ALL_POLICIES),
    (
        "token-api.yml",
        &[
            "",
            "-final",
            "-people",
            "-people-final",
            "-nodes",
            "-nodes-final",
        ],
    ),
    ("try.yml", &[""]),
    ("warn-first.yml", &[""]),
];

/// Every policy that the chart has.
const ALL_POLICIES: [&str; 8] = [
    "",
    "-final",
    "-people",
    "-people-final",
    "-nodes",
    "-nodes-final",
    "-secrets",
    "-drivers",
];

/// The policies that the audit scanner has something to say about: the mutating one's results hold all
/// of the validating one's; a TokenRequest is never stored; and matchConditions don't keep the scanner
/// from sending every Secret.
const AUDITED: [&str; 3] = ["", "-drivers", "-strict"];

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for (file, _) in EXAMPLES {
        let text = read(&format!("examples/{file}"));
        let header: Vec<_> = text
            .lines()
            .take_while(|line| line.starts_with("# "))
            .collect();
        for document in text.split("\n---\n") {
            let policy: Value =
                yaml_serde::from_str(document).unwrap_or_else(|e| panic!("{file}: {e}"));
            if policy["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("AdmissionPolicy"))
                && policy["apiVersion"] == "policies.kubewarden.io/v1"
            {
                let header = header.iter().map(|&line| line.to_owned()).collect();
                examples.push(Example {
                    file,
                    header,
                    policy,
                });
            }
        }
    }
    examples
}

fn example(file: &str, name: &str) -> Example {
    let found = examples()
        .into_iter()
        .find(|it| it.file == file && it.policy["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{file}: {name}"))
}

#[test]
fn the_table_has_every_example() {
    let files = std::fs::read_dir(root().join("examples")).unwrap();
    let files: BTreeSet<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        files,
        EXAMPLES
            .iter()
            .map(|(file, ..)| (*file).to_owned())
            .collect()
    );
    let found: BTreeSet<_> = examples().iter().map(Example::id).collect();
    let expected = EXAMPLES.iter().flat_map(|(file, suffixes)| {
        suffixes
            .iter()
            .map(move |suffix| format!("{file}: bound-service-account-tokens{suffix}"))
    });
    assert_eq!(found, expected.collect());
}

#[test]
fn an_example_says_when_to_use_it_and_covers_what_it_says() {
    for (file, _) in EXAMPLES {
        let policies: Vec<_> = examples()
            .into_iter()
            .filter(|it| it.file == file)
            .collect();
        let header = &policies[0].header;
        assert_eq!(
            header.len(),
            3,
            "{file}: two lines say when, one what it covers"
        );
        let promised = header[2].strip_prefix("# Covers: ").expect(file);
        let found = policies
            .iter()
            .flat_map(|example| covered(&example.spec()["rules"]));
        assert_eq!(
            found.collect::<BTreeSet<_>>(),
            promised.split(", ").collect(),
            "{file}"
        );
    }
}

#[test]
fn an_example_is_audited_where_that_says_something() {
    for example in examples() {
        let (id, spec) = (example.id(), example.spec());
        let suffix = id.split("bound-service-account-tokens").nth(1).unwrap();
        let audited = AUDITED.contains(&suffix);
        assert_eq!(spec["backgroundAudit"], audited, "{id}");
        let annotations = &example.policy["metadata"]["annotations"];
        assert_eq!(annotations["io.kubewarden.policy.severity"], "high", "{id}");
        assert_eq!(
            annotations["io.kubewarden.policy.category"], "Secrets",
            "{id}"
        );
        let kinds = covered(&spec["rules"]);
        if kinds.contains("TokenRequest") {
            assert_eq!(
                kinds.len(),
                1,
                "{id}: the scanner counts the others as errored"
            );
        }
        assert!(
            !(audited && kinds.contains("Secret")),
            "{id}: the scanner would send every Secret"
        );
    }
}

#[test]
fn an_example_fits_its_settings() {
    for example in examples() {
        let (id, spec) = (example.id(), example.spec());
        assert_eq!(refusal(example.settings()), None, "{id}");
        let module = spec["module"].as_str().unwrap();
        assert!(
            module.ends_with(concat!(":v", env!("CARGO_PKG_VERSION"))),
            "{id}: {module}"
        );
        let mode = example.settings()["mode"].as_str();
        assert_eq!(spec["mutating"], mode != Some("reject"), "{id}: mutating");
        let lookup = example.settings()["legacyTokens"]["detect"] == "Lookup";
        let secrets = json!([{ "apiVersion": "v1", "kind": "Secret" }]);
        assert_eq!(
            spec["contextAwareResources"] == secrets,
            lookup,
            "{id}: contextAwareResources"
        );
    }
}

#[test]
fn an_example_leaves_out_what_must_start_without_a_policy_server() {
    let expression = |spec: &Value, name: &str| {
        let conditions = spec["matchConditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|condition| condition["name"] == name);
        found.map(|condition| condition["expression"].as_str().unwrap().to_owned())
    };
    for example in examples() {
        let (id, spec) = (example.id(), example.spec());
        let kinds = covered(&spec["rules"]);
        if example.policy["kind"] == "ClusterAdmissionPolicy" && !kinds.contains("CSIDriver") {
            let left_out = &spec["namespaceSelector"]["matchExpressions"][0];
            assert_eq!(left_out["key"], "kubernetes.io/metadata.name", "{id}");
            assert_eq!(left_out["operator"], "NotIn", "{id}");
            for namespace in ["kubewarden", "kube-system"] {
                assert!(
                    strings(&left_out["values"]).contains(&namespace),
                    "{id}: {namespace}"
                );
            }
            let mirror = expression(spec, "no-mirror-pods").unwrap_or_default();
            assert_eq!(
                mirror.contains("config.mirror"),
                kinds.contains("Pod"),
                "{id}"
            );
            let only_pods = "request.kind.kind != 'Pod' || has(request.subResource) || ";
            assert!(
                mirror.is_empty() || mirror.starts_with(only_pods),
                "{id}: {mirror}"
            );
        }
        if kinds.contains("Secret") {
            let only = expression(spec, "only-token-secrets").expect(&id);
            assert!(
                only.contains("object.type == 'kubernetes.io/service-account-token'"),
                "{id}"
            );
        }
    }
}

#[test]
fn warn_first_changes_and_rejects_nothing() {
    let example = example("warn-first.yml", "bound-service-account-tokens");
    assert_eq!(example.settings()["mode"], "warn");
    assert_eq!(example.settings()["overrides"], Value::Null);
    assert_eq!(example.spec()["failurePolicy"], "Ignore");
}

#[test]
fn the_second_policy_has_the_settings_of_the_first() {
    let first = example("production.yml", "bound-service-account-tokens");
    let second = example("production.yml", "bound-service-account-tokens-final");
    let mut expected = first.settings().clone();
    expected["mode"] = json!("reject");
    expected["fsGroup"]["rule"] = json!("MayRunAs");
    assert_eq!(second.settings(), &expected);
    for shared in [
        "namespaceSelector",
        "matchConditions",
        "failurePolicy",
        "module",
    ] {
        assert_eq!(first.spec()[shared], second.spec()[shared], "{shared}");
    }
}

/// Every request below `tests/data`, captured or a fixture, with its file.
fn requests() -> Vec<(String, Value)> {
    let mut folders = vec![root().join("tests/data")];
    let mut requests = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "json") {
                let text = std::fs::read_to_string(&path).unwrap();
                let Ok(mut file) = serde_json::from_str::<Value>(&text) else {
                    continue;
                };
                if file["request"].is_object() {
                    requests.push((path.display().to_string(), file["request"].take()));
                }
            }
        }
    }
    requests.sort_by(|a, b| a.0.cmp(&b.0));
    requests
}

#[test]
fn the_second_policy_never_refuses_what_the_first_admitted() {
    let first = example("production.yml", "bound-service-account-tokens");
    let second = example("production.yml", "bound-service-account-tokens-final");
    let mut admitted = 0;
    for (file, mut request) in requests() {
        let operation = (
            request["operation"].as_str(),
            request["subResource"].as_str(),
        );
        let reaches_both = matches!(
            operation,
            (Some("CREATE"), None | Some("")) | (Some("UPDATE"), Some("ephemeralcontainers"))
        );
        if request["kind"]["kind"] != "Pod" || !reaches_both {
            continue;
        }
        let answer = ask(&request, first.settings());
        if answer["accepted"] != true {
            continue;
        }
        if !answer["mutated_object"].is_null() {
            request["object"] = answer["mutated_object"].clone();
        }
        let answer = ask(&request, second.settings());
        assert_eq!(answer["accepted"], true, "{file}: {}", answer["message"]);
        assert_eq!(answer["mutated_object"], Value::Null, "{file}");
        admitted += 1;
    }
    assert!(admitted >= 60, "{admitted} Pods");
}

#[test]
fn the_second_policy_refuses_what_a_later_webhook_injected() {
    let first = example("production.yml", "bound-service-account-tokens");
    let second = example("production.yml", "bound-service-account-tokens-final");
    let mut request = captured("tests/data/special/pod-create-plain.json");
    request["object"] = ask(&request, first.settings())["mutated_object"].clone();
    let injected = |audience: &str, seconds: i64| {
        let token = json!({ "audience": audience, "expirationSeconds": seconds, "path": "t" });
        json!({ "name": "later", "projected": { "sources": [{ "serviceAccountToken": token }] } })
    };
    for (audience, seconds, accepted) in [
        ("sts.amazonaws.com", 86_400, true),
        ("pods.eks.amazonaws.com", 86_400, true),
        ("identity.l5d.io", 86_400, true),
        ("api://AzureADTokenExchange", 3600, true),
        ("api://AzureADTokenExchange", 86_400, false),
        ("istio-ca", 43_200, true),
        ("istio-ca", 86_400, false),
        ("vault", 86_400, false),
        ("vault", 3600, true),
    ] {
        let mut request = request.clone();
        let volumes = request["object"]["spec"]["volumes"].as_array_mut().unwrap();
        volumes.push(injected(audience, seconds));
        let answer = ask(&request, second.settings());
        assert_eq!(
            answer["accepted"], accepted,
            "{audience} {seconds}: {}",
            answer["message"]
        );
    }
}

// ---------------------------------------------------------------------------------------------
// Settings

/// The members that the settings know at a place, as the program lists them for an unknown one.
fn members(place: fn(Value) -> Value) -> BTreeSet<String> {
    let message = refusal(&place(json!({ "nonsense": 1 }))).expect("an unknown setting is refused");
    let known = message
        .split("expected")
        .nth(1)
        .unwrap_or_else(|| panic!("{message}"));
    known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// A place in the settings, as `members` asks about it: those of the form's path, and of its lists.
type Place = (&'static str, fn(Value) -> Value);

const SECTIONS: [Place; 5] = [
    ("", |it| it),
    ("apiServer", |it| json!({ "apiServer": it })),
    ("legacyTokens", |it| json!({ "legacyTokens": it })),
    ("fsGroup", |it| json!({ "fsGroup": it })),
    ("automount", |it| json!({ "automount": it })),
];

const LISTS: [Place; 3] = [
    ("audiences", |it| json!({ "audiences": [it] })),
    (
        "fsGroup.ranges",
        |it| json!({ "fsGroup": { "ranges": [it] } }),
    ),
    ("overrides", |it| json!({ "overrides": [it] })),
];

/// The path of every setting.
fn settings() -> BTreeSet<String> {
    let paths = SECTIONS.iter().flat_map(|(section, place)| {
        members(*place)
            .into_iter()
            .map(move |member| match *section {
                "" => member,
                section => format!("{section}.{member}"),
            })
    });
    paths.collect()
}

/// Settings with one value, at a path.
fn with(path: &str, value: &Value) -> Value {
    match path.split_once('.') {
        Some((section, member)) => json!({ section: { member: value } }),
        None => json!({ path: value }),
    }
}

#[test]
fn the_document_of_settings_has_every_setting() {
    let document = read("docs/settings.md");
    let settings = settings();
    assert!(settings.len() >= 20, "{settings:?}");
    for path in settings {
        let section = SECTIONS.iter().any(|(section, _)| *section == path);
        assert!(
            section || document.contains(&format!("| `{path}` | ")),
            "{path}"
        );
    }
}

#[test]
fn the_readme_has_the_settings_that_matter() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n## Settings\n").expect("a section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let shown: BTreeSet<_> = rows
        .map(|row| row.split('`').next().unwrap().to_owned())
        .collect();
    assert_eq!(shown.len(), 6, "{shown:?}");
    assert!(shown.is_subset(&settings()), "{shown:?}");
}

/// Every question by the path of its setting.
fn questions() -> BTreeMap<String, Value> {
    let mut questions = BTreeMap::new();
    for question in yaml("questions-ui.yml")["questions"].as_array().unwrap() {
        let subquestions = question["subquestions"].as_array().into_iter().flatten();
        for question in std::iter::once(question).chain(subquestions) {
            let variable = question["variable"].as_str().unwrap().to_owned();
            let before = questions.insert(variable.clone(), question.clone());
            assert!(before.is_none(), "{variable} is asked for twice");
        }
    }
    questions
}

#[test]
fn the_form_asks_for_every_setting() {
    assert_eq!(questions().into_keys().collect::<BTreeSet<_>>(), settings());
    for (path, place) in LISTS {
        let asked = questions()[path]["sequence_questions"]
            .as_array()
            .unwrap()
            .clone();
        let asked = asked
            .iter()
            .map(|question| question["variable"].as_str().unwrap().to_owned());
        assert_eq!(asked.collect::<BTreeSet<_>>(), members(place), "{path}");
    }
}

#[test]
fn the_form_explains_each_question() {
    let questions = questions();
    let lists = questions
        .values()
        .filter_map(|it| it["sequence_questions"].as_array())
        .flatten();
    for question in questions.values().chain(lists) {
        let path = question["variable"].as_str().unwrap();
        for text in ["label", "group", "type"] {
            assert!(question[text].is_string(), "{path}: {text}");
        }
        let section = question["type"] == "map[";
        assert!(
            section || question["tooltip"].is_string(),
            "{path}: tooltip"
        );
        let Some(conditions) = question["show_if"].as_str() else {
            continue;
        };
        for condition in conditions.split("||") {
            let (variable, option) = condition.split_once('=').expect(condition);
            let options = strings(&questions[variable]["options"]);
            assert!(options.contains(&option), "{path}: {condition}");
        }
    }
    for (path, question) in &questions {
        assert!(
            question["description"]
                .as_str()
                .is_some_and(|it| it.len() > 20),
            "{path}"
        );
    }
}

fn accepted(case: &str, settings: &Value) -> Settings {
    Settings::read(&settings.to_string()).unwrap_or_else(|e| panic!("{case}: {e}"))
}

#[test]
fn the_form_offers_the_defaults_and_valid_options() {
    for (path, question) in questions() {
        let default = with(&path, &question["default"]);
        assert_eq!(
            accepted(&path, &default),
            Settings::default(),
            "{path}: {default}"
        );
        for option in question["options"].as_array().into_iter().flatten() {
            accepted(&path, &with(&path, option));
        }
    }
}

/// What a form sends for a field that is left empty, by the type of its question.
fn empty(path: &str, question: &Value) -> Vec<Value> {
    match question["type"].as_str().unwrap() {
        "map[" => vec![json!({}), Value::Null],
        // Here an empty list has a meaning; the form sends it only once an entry was made.
        "array[" if path == "allowedAudiences" => vec![Value::Null],
        "array[" | "sequence[" => vec![json!([]), Value::Null],
        "string" | "enum" | "int" | "boolean" => vec![json!(""), Value::Null],
        other => panic!("{path}: a question of type {other}"),
    }
}

#[test]
fn what_a_form_sends_for_a_field_left_empty_is_the_default() {
    for (path, question) in questions() {
        for value in empty(&path, &question) {
            let settings = with(&path, &value);
            assert_eq!(
                accepted(&path, &settings),
                Settings::default(),
                "{settings}"
            );
        }
    }
    for settings in [json!({}), Value::Null] {
        assert_eq!(
            accepted("nothing", &settings),
            Settings::default(),
            "{settings}"
        );
    }
}

#[test]
fn a_row_that_a_form_adds_is_accepted_once_its_required_fields_are_filled() {
    let samples = [
        ("audience", json!("vault")),
        ("namespaces", json!(["ci-*"])),
        ("min", json!(0)),
        ("max", json!(2_147_483_647)),
        ("maxExpirationSeconds", json!(3600)),
    ];
    for (list, _) in LISTS {
        let list = list.to_owned();
        let fields = questions()[&list]["sequence_questions"]
            .as_array()
            .unwrap()
            .clone();
        let mut row = json!({});
        for field in &fields {
            let variable = field["variable"].as_str().unwrap();
            let sample = samples
                .iter()
                .find(|(name, _)| field["required"] == true && *name == variable);
            row[variable] = sample.map_or(&field["default"], |(_, value)| value).clone();
        }
        accepted(&list, &with(&list, &json!([row])));
        for field in fields.iter().filter(|field| field["required"] == false) {
            let variable = field["variable"].as_str().unwrap();
            for value in empty(variable, field) {
                let mut row = row.clone();
                row[variable] = value;
                accepted(&format!("{list}: {row}"), &with(&list, &json!([row])));
            }
        }
    }
}

/// A new row must not enforce anything that nobody chose.
#[test]
fn a_new_override_sets_nothing_by_itself() {
    let mut row = json!({ "namespaces": ["ci-*"] });
    let plain = accepted("namespaces only", &with("overrides", &json!([row])));
    let fields = questions()["overrides"]["sequence_questions"].clone();
    for field in fields.as_array().unwrap() {
        let variable = field["variable"].as_str().unwrap();
        if variable != "namespaces" {
            row[variable] = field["default"].clone();
        }
    }
    let new = accepted("a new row", &with("overrides", &json!([row])));
    assert_eq!(new, plain, "{row}");
}

#[test]
fn an_empty_list_of_allowed_audiences_is_not_the_default() {
    assert_ne!(
        accepted("[]", &json!({ "allowedAudiences": [] })),
        Settings::default()
    );
}

// ---------------------------------------------------------------------------------------------
// Metadata

#[test]
fn the_metadata_is_about_this_version_and_these_kinds() {
    let metadata = yaml("policy-metadata.yml");
    let annotations = &metadata["annotations"];
    assert_eq!(
        annotations["io.kubewarden.policy.version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(metadata["mutating"], true);
    assert_eq!(
        metadata["contextAwareResources"],
        json!([{ "apiVersion": "v1", "kind": "Secret" }])
    );
    assert_eq!(
        metadata["hostCapabilities"],
        json!(["kubernetes/get_resource"])
    );
    assert_eq!(metadata["minimumKubewardenVersion"], "1.33.0");
    // What is expensive or cluster-wide is for the operator to add.
    let all = KINDS.iter().map(|(kind, ..)| *kind);
    let default = all
        .clone()
        .filter(|kind| !["TokenRequest", "Secret", "CSIDriver"].contains(kind));
    assert_eq!(covered(&metadata["rules"]), default.collect());
    let kinds = annotations["io.artifacthub.resources"]
        .as_str()
        .unwrap()
        .split(", ");
    let expected = all.filter(|kind| *kind != "ephemeral containers");
    assert_eq!(kinds.collect::<BTreeSet<_>>(), expected.collect());
}

// ---------------------------------------------------------------------------------------------
// Texts

const TEXTS: [&str; 14] = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "chart/README.md",
    "docs/before-you-install.md",
    "docs/behaviour.md",
    "docs/compliance.md",
    "docs/fsgroup.md",
    "docs/releases.md",
    "docs/rollout.md",
    "docs/security.md",
    "docs/settings.md",
    "docs/performance.md",
];

#[test]
fn links_lead_to_files_and_headings() {
    for text in TEXTS {
        let path = root().join(text);
        let folder = path.parent().unwrap();
        for link in read(text).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{text}: {link}");
            assert!(
                anchor.is_empty() || anchors(&target).contains(anchor),
                "{text}: {link}"
            );
        }
    }
}

/// The anchors that GitHub gives to the headings of a document.
fn anchors(document: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let heading = heading.replace(' ', "-");
            heading.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "")
        })
        .collect()
}

/// The lines of a text's code blocks that begin with a command, by the command.
fn outputs(text: &str) -> Vec<(String, Vec<String>)> {
    let mut outputs = Vec::new();
    for block in read(text).split("```console\n").skip(1) {
        let block = block.split("\n```").next().unwrap();
        let (command, output) = block.split_once('\n').unwrap_or((block, ""));
        outputs.push((
            command.to_owned(),
            output.lines().map(str::to_owned).collect(),
        ));
    }
    outputs
}

/// What `cargo xtask run --explain` prints for a request.
fn explained(request: &Value, answer: &Value) -> Vec<String> {
    let field = |name: &str| request[name].as_str().unwrap_or_default();
    let kind = request["kind"]["kind"].as_str().unwrap();
    let verdict = match (&answer["accepted"], &answer["mutated_object"]) {
        (Value::Bool(true), Value::Null) => "ACCEPTED",
        (Value::Bool(true), _) => "ACCEPTED, with changes",
        _ => "REJECTED",
    };
    let name = format!("{}/{}", field("namespace"), field("name"));
    let mut lines = vec![format!("{} {kind} {name}: {verdict}", field("operation"))];
    let mut section = |title: &str, content: Vec<String>| {
        if !content.is_empty() {
            lines.extend([String::new(), format!("{title}:")]);
            lines.extend(content.iter().map(|line| format!("  {line}")));
        }
    };
    let violations = answer["message"]
        .as_str()
        .or(answer["audit_annotations"]["violations"].as_str());
    section(
        "violations",
        violations
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect(),
    );
    section(
        "warnings",
        strings(&answer["warnings"])
            .into_iter()
            .map(str::to_owned)
            .collect(),
    );
    section(
        "changes",
        changes(&request["object"], &answer["mutated_object"]),
    );
    lines
}

fn changes(old: &Value, new: &Value) -> Vec<String> {
    if new.is_null() {
        return Vec::new();
    }
    let patch = serde_json::to_value(json_patch::diff(old, new)).unwrap();
    let change = |operation: &Value| {
        let path = operation["path"].as_str().unwrap();
        let before = old
            .pointer(path)
            .map_or("(nothing)".to_owned(), Value::to_string);
        format!("{path}: {before} -> {}", operation["value"])
    };
    patch.as_array().unwrap().iter().map(change).collect()
}

#[test]
fn texts_show_what_the_program_prints() {
    let mut shown = 0;
    for (command, output) in TEXTS.into_iter().flat_map(outputs) {
        let Some(arguments) = command.strip_prefix("$ make run") else {
            continue;
        };
        let request = arguments.trim().strip_prefix("REQUEST=");
        let extension = request.map(|request| Path::new(request).extension());
        if extension.is_some_and(|extension| extension != Some("json".as_ref())) {
            // A manifest: check.bats runs it.
            continue;
        }
        let request = captured(request.unwrap_or("tests/data/special/pod-create-plain.json"));
        assert_eq!(
            output,
            explained(&request, &ask(&request, &json!({}))),
            "{command}"
        );
        shown += 1;
    }
    assert!(shown >= 2, "{shown} outputs");
}

/// The request that the audit scanner makes of an object that exists.
fn audit(mut request: Value) -> Value {
    let uid = json!("8a5f2c1e-4b7d-4a57-9d3e-0c6f1b2a7e94");
    request["uid"] = uid.clone();
    request["object"]["metadata"]["uid"] = uid;
    request["userInfo"] = json!({});
    request["resource"]["resource"] = request["kind"]["kind"].clone();
    request["oldObject"] = Value::Null;
    request
}

#[test]
fn the_roll_out_shows_what_an_audit_report_says() {
    let request = audit(captured("tests/data/special/pod-create-plain.json"));
    let answer = ask(&request, &json!({ "mode": "warn" }));
    assert_eq!(answer["accepted"], false);
    let text = read("docs/rollout.md");
    let (_, message) = text.split_once("message: |-\n").expect("a report");
    let shown: Vec<_> = message
        .lines()
        .take_while(|line| line.starts_with("    "))
        .map(str::trim)
        .collect();
    let expected: Vec<_> = answer["message"].as_str().unwrap().lines().collect();
    assert_eq!(shown, expected);
}

/// Where a test is named: `file` or `file: name`, in backticks, in the last column of a table.
#[test]
fn documents_name_tests_that_exist() {
    for (document, at_least) in [("docs/security.md", 15), ("docs/compliance.md", 8)] {
        let text = read(document);
        let tables = text.split("\n\n").filter(|part| {
            let header = part.lines().next().unwrap_or_default();
            header.ends_with("| shown by |")
        });
        let mut named = 0;
        for row in tables.flat_map(str::lines).skip(1) {
            let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            for name in shown_by.split('`').skip(1).step_by(2) {
                let (file, test) = name.split_once(": ").unwrap_or((name, ""));
                assert!(root().join(file).exists(), "{row}");
                assert!(test.is_empty() || read(file).contains(test), "{row}");
                named += 1;
            }
        }
        assert!(named >= at_least, "{document}: {named} tests are named");
    }
}

/// A Pod with this spec, which needs no fsGroup, as JSON text.
fn pod_request(spec: &str) -> String {
    format!(
        r#"{{"uid":"1","kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE",
        "namespace":"payments","name":"app","userInfo":{{"username":"alex"}},"object":{{"apiVersion":"v1",
        "kind":"Pod","metadata":{{"name":"app"}},"spec":{{"containers":[{{"name":"app"}}],
        "securityContext":{{"fsGroup":1000}},{spec}}}}}}}"#
    )
}

/// A list of volumes with a token in it.
fn token_volume(name: &str, token: &str) -> String {
    format!(
        r#""volumes":[{{"name":"{name}","projected":{{"sources":[{{"configMap":{{"name":"ca"}}}},
        {{"serviceAccountToken":{{"path":"a"}}}},{{"serviceAccountToken":{{"path":"b",{token}}}}}]}}}}]"#
    )
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of attempts")]
fn attempts_come_out_as_the_security_document_says() {
    let day = r#""expirationSeconds":86400"#;
    let long = token_volume("t", day);
    let vault = json!({ "audiences": [{ "audience": "vault", "maxExpirationSeconds": 86400 }] });
    let account = json!({ "exemptServiceAccounts": ["payments/app"] });
    let allowed = json!({ "allowedAudiences": ["vault"] });
    let none = json!({});
    for (case, spec, settings, accepted) in [
        (
            "no attempt",
            token_volume("t", r#""audience":"vault""#),
            &none,
            true,
        ),
        (
            "a field twice",
            format!(r#"{long},"volumes":[]"#),
            &none,
            false,
        ),
        (
            "a field in another case",
            long.replace("volumes", "Volumes"),
            &none,
            true,
        ),
        (
            "no volumes: null",
            r#""volumes":null"#.to_owned(),
            &none,
            true,
        ),
        ("a day", long.clone(), &none, false),
        (
            "the name of the injected volume",
            token_volume("kube-api-access-x7k2p", day),
            &none,
            false,
        ),
        (
            "3607 for no audience",
            token_volume("t", r#""expirationSeconds":3607"#),
            &none,
            false,
        ),
        (
            "3607 for an audience that is null",
            token_volume("t", r#""expirationSeconds":3607,"audience":null"#),
            &none,
            false,
        ),
        (
            "3607 for an empty audience",
            token_volume("t", r#""expirationSeconds":3607,"audience":"""#),
            &none,
            false,
        ),
        (
            "a fraction",
            token_volume("t", r#""expirationSeconds":3600.0"#),
            &none,
            false,
        ),
        (
            "an exponent",
            token_volume("t", r#""expirationSeconds":3.6e3"#),
            &none,
            false,
        ),
        (
            "an audience",
            token_volume("t", &format!(r#"{day},"audience":"vault""#)),
            &vault,
            true,
        ),
        (
            "the audience in another case",
            token_volume("t", &format!(r#"{day},"audience":"Vault""#)),
            &vault,
            false,
        ),
        (
            "the audience with a slash",
            token_volume("t", &format!(r#"{day},"audience":"vault/""#)),
            &vault,
            false,
        ),
        (
            "a pattern for an audience",
            token_volume("t", &format!(r#"{day},"audience":"*""#)),
            &vault,
            false,
        ),
        (
            "an account",
            format!(r#"{long},"serviceAccountName":"app""#),
            &account,
            true,
        ),
        (
            "a pattern for an account",
            format!(r#"{long},"serviceAccountName":"*""#),
            &account,
            false,
        ),
        (
            "another audience beside one that is allowed",
            token_volume("t", r#""audience":"sts""#),
            &allowed,
            false,
        ),
    ] {
        let mut settings = settings.clone();
        settings["mode"] = json!("reject");
        let payload = format!(
            r#"{{"request":{},"settings":{settings}}}"#,
            pod_request(&spec)
        );
        let answer = bound_service_account_tokens::validate(payload.as_bytes()).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            answer["accepted"], accepted,
            "{case}: {}",
            answer["message"]
        );
    }
}
