//! What is true of every request with all settings. The property tests and the fuzz targets share
//! it.

#![allow(dead_code, reason = "each user has its part")]

mod kubelet;

use bound_service_account_tokens::settings::Settings;
use bound_service_account_tokens::{validate, validate_settings};
use kubelet::Kind;
use kubewarden_policy_sdk::response::ValidationResponse;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use serde_json::{Value, json};

/// What the API server shows to people of a warning.
const LONGEST_WARNING: usize = 256;
const CLUSTER_LOCAL: &str = "https://kubernetes.default.svc.cluster.local";

/// An invariant that is broken, in words.
pub type Checked = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Any bytes get an answer that policy-server can decode; a rejection says why, and no warning is
/// too long. `None` for a mutation of what policy-server could not have sent: a number such as
/// 1e999 in a member that no rule reads is JSON, and stays, but is none of serde_json's values.
pub fn answer(payload: &[u8]) -> Option<ValidationResponse> {
    let answer = validate(payload).expect("an answer, not an error");
    let response: ValidationResponse = match serde_json::from_slice(&answer) {
        Ok(response) => response,
        Err(e) => {
            assert!(serde_json::from_slice::<Value>(payload).is_err(), "no response: {e}");
            return None;
        }
    };
    let asked = String::from_utf8_lossy(payload);
    let says_why = response.message.as_ref().is_some_and(|message| !message.trim().is_empty());
    assert!(response.accepted != says_why, "{response:?}\nto {asked}");
    assert!(response.accepted || response.mutated_object.is_none(), "{response:?}\nto {asked}");
    for warning in response.warnings.iter().flatten() {
        let length = warning.chars().count();
        assert!(
            !warning.trim().is_empty(),
            "a warning that says nothing: {response:?}\nto {asked}"
        );
        assert!(length <= LONGEST_WARNING, "{length} characters: {warning}\nto {asked}");
    }
    Some(response)
}

/// Any bytes as settings get an answer that people can read.
pub fn settings_are_answered(settings: &[u8]) {
    let answer = validate_settings(settings).expect("an answer, not an error");
    let answer: SettingsValidationResponse = serde_json::from_slice(&answer).expect("an answer");
    let says_why = answer.message.is_some_and(|message| !message.trim().is_empty());
    assert!(answer.valid != says_why);
    let Ok(text) = std::str::from_utf8(settings) else { return };
    assert_eq!(answer.valid, Settings::read(text).is_ok());
    if answer.valid {
        serde_json::from_str::<serde::de::IgnoredAny>(text).expect("valid settings are JSON");
    }
}

/// All invariants for one request.
pub fn check(request: &Value, settings: &Value) {
    if let Err(why) = all(request, settings) {
        panic!("{why}\nrequest: {request}\nsettings: {settings}");
    }
}

/// The answer in a mode.
pub fn ask(request: &Value, settings: &Value, mode: &str) -> ValidationResponse {
    let mut settings = settings.clone();
    settings["mode"] = json!(mode);
    let payload = format!("{{\"request\":{request},\"settings\":{settings}}}");
    answer(payload.as_bytes()).expect("an answer that policy-server can decode")
}

fn all(request: &Value, settings: &Value) -> Checked {
    let mutate = ask(request, settings, "mutate");
    let reject = ask(request, settings, "reject");
    let warn = ask(request, settings, "warn");
    ensure!(reject.mutated_object.is_none(), "reject mode mutates: {reject:?}");
    ensure!(mutate.accepted || !reject.accepted, "mutate mode rejects more: {mutate:?}");
    warn_accepts(request, &warn, &reject)?;
    mutation_is_limited(request, &mutate)?;
    second_pass_is_silent(request, settings, &mutate)?;
    side_by_side(request, settings, &mutate)?;
    mutation_spares_files(request, settings, &mutate)?;
    maxima_are_ordered(request, settings)?;
    exemptions_accept(request, settings, &reject)?;
    order_does_not_matter(request, settings, &mutate, &reject)?;
    audit_is_as_in_reject_mode(request, settings)?;
    token_request_is_the_same_for_both_webhooks(request, settings)?;
    template_speaks_for_its_pods(request, settings, &mutate)
}

fn after(request: &Value, response: &ValidationResponse) -> Value {
    let mut request = request.clone();
    if let Some(object) = &response.mutated_object {
        request["object"] = object.clone();
    }
    request
}

fn kind(request: &Value) -> &str {
    request["kind"]["kind"].as_str().unwrap_or_default()
}

/// Only what can't be decoded or looked up is rejected in warn mode; each violation is told.
fn warn_accepts(
    request: &Value,
    warn: &ValidationResponse,
    reject: &ValidationResponse,
) -> Checked {
    if is_audit(request) {
        return same_verdict("warn mode and reject mode in the audit", warn, reject);
    }
    ensure!(warn.mutated_object.is_none(), "warn mode mutates: {warn:?}");
    if !warn.accepted {
        let rules = warn.audit_annotations.as_ref().and_then(|them| them.get("rules"));
        let broken: Vec<_> = rules.map(|rules| rules.split(',').collect()).unwrap_or_default();
        let undecided = broken.iter().any(|rule| ["decode", "lookup"].contains(rule));
        ensure!(undecided && !reject.accepted, "warn mode rejects: {warn:?}");
        return Ok(());
    }
    if reject.accepted {
        return Ok(());
    }
    ensure!(warn.audit_annotations == reject.audit_annotations, "{warn:?}, {reject:?}");
    let lines = reject.message.as_deref().unwrap_or_default().lines();
    let warnings = warn.warnings.as_deref().unwrap_or_default();
    for line in lines.filter(|line| line.chars().count() <= LONGEST_WARNING) {
        ensure!(warnings.iter().any(|it| it == line), "warn mode conceals {line}: {warn:?}");
    }
    Ok(())
}

/// A mutation changes lifetimes, fsGroup and legacy Secret volumes of Pods and TokenRequests.
fn mutation_is_limited(request: &Value, response: &ValidationResponse) -> Checked {
    let Some(object) = &response.mutated_object else { return Ok(()) };
    let patch = json_patch::diff(&request["object"], object);
    ensure!(!patch.is_empty(), "a mutation that changes nothing");
    for operation in patch.iter() {
        let path = operation.path().as_str();
        ensure!(may_change(kind(request), path), "{path} of a {} is changed", kind(request));
    }
    Ok(())
}

#[allow(clippy::match_same_arms, reason = "a line for each thing that may change")]
fn may_change(kind: &str, path: &str) -> bool {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (kind, &parts[..]) {
        ("TokenRequest", ["spec", "expirationSeconds"]) => true,
        ("Pod", ["spec", "securityContext"]) => true,
        ("Pod", ["spec", "securityContext", key]) => {
            ["fsGroup", "fsGroupChangePolicy"].contains(key)
        }
        ("Pod", ["spec", "volumes", _, "secret" | "projected"]) => true,
        ("Pod", ["spec", "volumes", _, "projected", "sources", _, "serviceAccountToken", key]) => {
            *key == "expirationSeconds"
        }
        _ => false,
    }
}

/// What was mutated once stays as it is, and is warned about no further.
fn second_pass_is_silent(request: &Value, settings: &Value, first: &ValidationResponse) -> Checked {
    if !first.accepted {
        return Ok(());
    }
    let second = ask(&after(request, first), settings, "mutate");
    ensure!(second.accepted, "a second pass rejects: {second:?}");
    ensure!(second.mutated_object.is_none(), "a second pass changes: {second:?}");
    let said = first.warnings.as_deref().unwrap_or_default();
    for warning in second.warnings.iter().flatten() {
        ensure!(said.contains(warning), "only a second pass says: {warning}\nfirst: {said:?}");
    }
    Ok(())
}

/// The settings of the validating policy that stands beside a mutating one.
fn validating(settings: &Value) -> Value {
    let mut settings = settings.clone();
    if settings["fsGroup"]["rule"] != "RunAsAny" {
        settings["fsGroup"]["rule"] = json!("MayRunAs");
    }
    settings
}

/// What a mutating policy admitted is accepted as it is by a validating policy beside it.
pub fn side_by_side(request: &Value, settings: &Value, mutate: &ValidationResponse) -> Checked {
    let kinds = ["Pod", "TokenRequest", "Secret", "CSIDriver"];
    if !mutate.accepted || !kinds.contains(&kind(request)) {
        return Ok(());
    }
    let mut request = after(request, mutate);
    fill_audiences(&mut request, settings);
    let second = ask(&request, &validating(settings), "reject");
    ensure!(second.accepted, "what mutate mode admitted is rejected beside it: {second:?}");
    Ok(())
}

/// What the API server does to a TokenRequest between the mutating and the validating webhooks.
fn fill_audiences(request: &mut Value, settings: &Value) {
    if kind(request) != "TokenRequest" || !names_no_audience(request) {
        return;
    }
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let mut own = vec![CLUSTER_LOCAL.to_owned()];
    let patterns = list(&settings["apiServer"]["audiences"]);
    if !patterns.is_empty() {
        // A pattern stands for each audience that the settings name, and for another one.
        let named = list(&settings["audiences"]);
        let named: Vec<_> = named.iter().filter_map(|entry| entry["audience"].as_str()).collect();
        own = patterns.iter().filter_map(Value::as_str).map(|it| it.replace('*', "x")).collect();
        let prefixes = patterns.iter().filter_map(|it| it.as_str()?.strip_suffix('*'));
        own.extend(prefixes.flat_map(|prefix| {
            let named = named.iter().filter(move |it| it.starts_with(prefix) && !it.contains('*'));
            named.map(|it| (*it).to_owned())
        }));
    }
    request["object"]["spec"]["audiences"] = json!(own);
}

fn names_no_audience(request: &Value) -> bool {
    let audiences = &request["object"]["spec"]["audiences"];
    audiences.is_null() || audiences.as_array().is_some_and(Vec::is_empty)
}

/// An added fsGroup takes no file from a container, and gives none to a group that its reader
/// refuses to share it with, as far as the settings don't ask for it.
pub fn mutation_spares_files(
    request: &Value,
    settings: &Value,
    response: &ValidationResponse,
) -> Checked {
    let Some(mutated) = &response.mutated_object else { return Ok(()) };
    if kind(request) != "Pod" {
        return Ok(());
    }
    let spec = &mutated["spec"];
    let mut without = spec.clone();
    if let Some(context) = without["securityContext"].as_object_mut() {
        context.remove("fsGroup");
    }
    converted_volumes_keep_their_files(&request["object"]["spec"], spec)?;
    let asked = &request["object"]["spec"]["securityContext"]["fsGroup"];
    let Some(group) = spec["securityContext"]["fsGroup"].as_i64() else { return Ok(()) };
    ensure!(asked.is_null() || asked == group, "fsGroup {asked} is replaced");
    if !asked.is_null() {
        return Ok(());
    }
    let choice = |name: &str, default: &'static str| {
        settings["fsGroup"][name].as_str().unwrap_or(default).to_owned()
    };
    let warnings = response.warnings.as_deref().unwrap_or_default();
    let files = kubelet::files(&without).into_iter().zip(kubelet::files(spec));
    for (old, new) in files {
        let name = format!("{} of volume {}", old.path, old.volume);
        let told = format!("{name}: {} becomes {}", old.listing(), new.listing());
        if old.kind == Kind::Data {
            let asked = choice("persistentVolumes", "Leave") == "Set";
            ensure!(asked, "a disk changes hands: {told}");
            continue;
        }
        for container in kubelet::containers(spec).filter(|it| kubelet::mounts(it, &old.volume)) {
            let user = kubelet::user(spec, container).unwrap_or(12345);
            let kept = !old.is_readable(user, &[user]) || new.is_readable(user, &[user, group]);
            ensure!(kept, "a container's user {user} loses {told}");
            let is_root = kubelet::may_run_as_root(spec, container);
            let private = match old.kind {
                Kind::Token | Kind::TrustBundle => old.declared & 0o040 == 0,
                Kind::Config | Kind::Certificate | Kind::Data => old.mode & 0o040 == 0,
            };
            let is_owner = is_root || (old.kind == Kind::Certificate && old.user == user);
            let shared = private && is_owner && new.mode & 0o040 != 0;
            let asked = choice("privateFiles", "Leave") == "Set";
            ensure!(!shared || asked, "a private file is shared: {told}");
            if !is_root {
                continue;
            }

            // A process of its own user and group, and of no other.
            let other = 1 + group.max(old.user).max(4241);
            let lost = old.is_readable(other, &[other]) && !new.is_readable(other, &[other]);
            if lost && kubelet::may_change_groups(container) {
                let asked = choice("rootContainers", "Set") == "Set";
                ensure!(asked, "who steps down from root loses {told}");
                ensure!(
                    names_who_steps_down(warnings, spec),
                    "no warning that who steps down loses {told}"
                );
            }
        }
    }
    Ok(())
}

/// True when a warning names a container that may step down, maybe shortened.
fn names_who_steps_down(warnings: &[String], spec: &Value) -> bool {
    let step_down = |container: &&Value| {
        kubelet::may_run_as_root(spec, container) && kubelet::may_change_groups(container)
    };
    let name = |container: &Value| {
        container["name"].as_str().unwrap_or_default().chars().take(16).collect::<String>()
    };
    let mut names = kubelet::containers(spec).filter(step_down).map(name);
    names.any(|name| warnings.iter().any(|warning| warning.contains(&name)))
}

/// A legacy Secret volume that became a projected one shows the same files with the same modes.
fn converted_volumes_keep_their_files(old: &Value, new: &Value) -> Checked {
    let volumes = |spec: &Value| spec["volumes"].as_array().cloned().unwrap_or_default();
    for (old, new) in volumes(old).iter().zip(volumes(new)) {
        if old["secret"].is_null() || new["projected"].is_null() {
            continue;
        }
        let expected = secret_files(&old["secret"]);
        let mut shown: Vec<_> = kubelet::files(&json!({ "volumes": [new] }))
            .into_iter()
            .map(|file| (file.path, file.mode))
            .collect();
        shown.sort();
        ensure!(shown == expected, "{expected:?} became {shown:?}");
    }
    Ok(())
}

fn secret_files(secret: &Value) -> Vec<(String, i64)> {
    let default = secret["defaultMode"].as_i64().unwrap_or(0o644);
    let items = secret["items"].as_array().cloned().unwrap_or_default();
    let mut files: Vec<_> = items
        .iter()
        .map(|item| {
            let path = item["path"].as_str().unwrap_or_default().to_owned();
            (path, item["mode"].as_i64().unwrap_or(default))
        })
        .collect();
    if items.is_empty() {
        let keys = ["token", "ca.crt", "namespace", "service-ca.crt"];
        files = keys.map(|key| (key.to_owned(), default)).to_vec();
    }
    files.sort();
    files
}

fn maxima_are_ordered(request: &Value, settings: &Value) -> Checked {
    let mut accepted = false;
    for maximum in [600_i64, 3600, 7200, 31_536_000, 1 << 32] {
        let mut settings = settings.clone();
        settings["maxExpirationSeconds"] = json!(maximum);
        let now = ask(request, &settings, "reject").accepted;
        ensure!(now || !accepted, "a maximum of {maximum} rejects what a smaller one accepts");
        accepted = now;
    }
    Ok(())
}

fn exemptions_accept(request: &Value, settings: &Value, reject: &ValidationResponse) -> Checked {
    for (key, value) in [
        ("exemptNamespaces", json!(["kube-*", "payments"])),
        ("exemptServiceAccounts", json!(["ci-*/builder", "*/d*"])),
        ("optOutAnnotation", json!("example.com/exempt")),
    ] {
        let mut more = settings.clone();
        more[key] = value;
        let with = ask(request, &more, "reject");
        ensure!(with.accepted || !reject.accepted, "{key} rejects more: {with:?}");
    }
    Ok(())
}

/// Volumes, containers and what they list in another order get the same verdict.
fn order_does_not_matter(
    request: &Value,
    settings: &Value,
    mutate: &ValidationResponse,
    reject: &ValidationResponse,
) -> Checked {
    let mut reversed = request.clone();
    reverse(&mut reversed["object"], "");
    reverse(&mut reversed["oldObject"], "");
    for (mode, one) in [("mutate", mutate), ("reject", reject)] {
        let other = ask(&reversed, settings, mode);
        ensure!(one.accepted == other.accepted, "order counts: {one:?}, {other:?}");
        let group = |response: &ValidationResponse| {
            Some(response.mutated_object.as_ref()?["spec"]["securityContext"]["fsGroup"].clone())
        };
        ensure!(group(one) == group(&other), "order counts: {one:?}, {other:?}");
    }
    Ok(())
}

fn reverse(value: &mut Value, key: &str) {
    const LISTS: [&str; 12] = [
        "volumes",
        "sources",
        "items",
        "containers",
        "initContainers",
        "ephemeralContainers",
        "volumeMounts",
        "env",
        "envFrom",
        "add",
        "drop",
        "audiences",
    ];
    match value {
        Value::Array(elements) => {
            if LISTS.contains(&key) {
                elements.reverse();
            }
            for element in elements {
                reverse(element, "");
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                reverse(value, key);
            }
        }
        _ => {}
    }
}

/// Whether Kubewarden's audit scanner asks.
fn is_audit(request: &Value) -> bool {
    let uid = request["uid"].as_str().unwrap_or_default();
    let user = &request["userInfo"];
    let has_user = user["username"].as_str().is_some_and(|name| !name.is_empty())
        || user["groups"].as_array().is_some_and(|groups| !groups.is_empty());
    request["operation"] == "CREATE"
        && !uid.is_empty()
        && request["object"]["metadata"]["uid"] == uid
        && !has_user
}

/// The audit gets the verdict of reject mode in every mode; who looks like it in all respects but
/// one gets the verdict of the mode.
fn audit_is_as_in_reject_mode(request: &Value, settings: &Value) -> Checked {
    let metadata = &request["object"]["metadata"];
    if !request["object"].is_object() || !(metadata.is_null() || metadata.is_object()) {
        return Ok(());
    }
    let person = json!({ "username": "alex", "groups": ["dev"] });
    let made = |operation: &str, uid: &str, user: Value| {
        let mut request = request.clone();
        request["operation"] = json!(operation);
        request["uid"] = json!("an-object");
        request["userInfo"] = user;
        request["object"]["metadata"]["uid"] = json!(uid);
        request
    };
    let live = made("CREATE", "another-object", person.clone());
    let audit = made("CREATE", "an-object", json!({}));
    let reject = ask(&live, settings, "reject");
    for mode in ["mutate", "reject", "warn"] {
        same_verdict(&format!("the audit in {mode} mode"), &ask(&audit, settings, mode), &reject)?;
    }
    let mutate = ask(&live, settings, "mutate");
    let update = made("UPDATE", "an-object", json!({}));
    let of_person = ask(&made("UPDATE", "an-object", person.clone()), settings, "mutate");
    for (name, request, expected) in [
        ("a user", made("CREATE", "an-object", person), &mutate),
        ("a group", made("CREATE", "an-object", json!({ "groups": ["dev"] })), &mutate),
        ("another uid", made("CREATE", "another-object", json!({})), &mutate),
        ("another operation", update, &of_person),
    ] {
        // Not the warnings: that a token is shortened is told to people only.
        let response = ask(&request, settings, "mutate");
        let is_same = response.accepted == expected.accepted
            && response.mutated_object.is_some() == expected.mutated_object.is_some();
        ensure!(is_same, "an audit in spite of {name}: {response:?}, {expected:?}");
    }
    Ok(())
}

fn same_verdict(what: &str, one: &ValidationResponse, other: &ValidationResponse) -> Checked {
    let verdict = |response: &ValidationResponse| {
        (response.accepted, response.message.clone(), response.mutated_object.clone())
    };
    ensure!(verdict(one) == verdict(other), "{what}: {one:?}, {other:?}");
    Ok(())
}

/// A validating webhook sees the API server's own audiences where a mutating one sees none.
fn token_request_is_the_same_for_both_webhooks(request: &Value, settings: &Value) -> Checked {
    let mut filled = request.clone();
    fill_audiences(&mut filled, settings);
    if filled == *request {
        return Ok(());
    }
    for mode in ["reject", "mutate"] {
        let (one, other) = (ask(request, settings, mode), ask(&filled, settings, mode));
        ensure!(one.accepted == other.accepted, "audiences filled in: {one:?}, {other:?}");
        let seconds = |response: &ValidationResponse| {
            Some(response.mutated_object.as_ref()?["spec"]["expirationSeconds"].clone())
        };
        ensure!(seconds(&one) == seconds(&other), "audiences filled in: {one:?}, {other:?}");
    }
    Ok(())
}

/// What the Pods of a template will be refused for, or warned about, its author is told.
fn template_speaks_for_its_pods(
    request: &Value,
    settings: &Value,
    template: &ValidationResponse,
) -> Checked {
    let pointer = match kind(request) {
        "Deployment" | "StatefulSet" => "/spec/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        "PodTemplate" => "/template",
        _ => return Ok(()),
    };
    let Some(pod) = request["object"].pointer(pointer) else { return Ok(()) };
    if request["operation"] != "CREATE" || is_audit(request) || !template.accepted {
        return Ok(());
    }
    let mut created = request.clone();
    created["kind"] = json!({ "group": "", "version": "v1", "kind": "Pod" });
    created["object"] = pod.clone();
    let spec = &mut created["object"]["spec"];
    add_claims(spec, &request["object"]["spec"]["volumeClaimTemplates"]);
    inject_token(spec);
    let pod = ask(&created, settings, "mutate");
    let told = template.warnings.is_some();
    ensure!(pod.accepted || told, "only the Pod is rejected: {pod:?}");
    ensure!(pod.warnings.is_none() || told, "only the Pod is warned about: {pod:?}");
    Ok(())
}

/// The volumes that the StatefulSet's controller makes.
fn add_claims(spec: &mut Value, claims: &Value) {
    for claim in claims.as_array().into_iter().flatten() {
        let name = &claim["metadata"]["name"];
        let volume = json!({ "name": name, "persistentVolumeClaim": { "claimName": "c" } });
        if let Some(volumes) = spec["volumes"].as_array_mut() {
            volumes.retain(|volume| volume["name"] != *name);
            volumes.push(volume);
        }
    }
}

/// What the API server's ServiceAccount plugin does: a mount in each container that has none at
/// the path, and the volume if it is needed. A volume of the template with such a name would be
/// mounted instead.
fn inject_token(spec: &mut Value) {
    const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    if spec["automountServiceAccountToken"] == false {
        return;
    }
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let mut names = volumes.filter_map(|volume| volume["name"].as_str());
    let name = "kube-api-access-5w2kq";
    if names.any(|name| name.starts_with("kube-api-access-")) {
        return;
    }
    let mut is_needed = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if let Some(mounts) = container["volumeMounts"].as_array_mut()
                && mounts.iter().all(|mount| mount["mountPath"] != PATH)
            {
                mounts.push(json!({ "name": name, "mountPath": PATH, "readOnly": true }));
                is_needed = true;
            }
        }
    }
    if let Some(volumes) = spec["volumes"].as_array_mut()
        && is_needed
    {
        volumes.push(json!({ "name": name, "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
        ] } }));
    }
}
