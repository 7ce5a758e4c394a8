//! What is true of every request with all settings. The property tests and the fuzz targets share
//! it.

#![allow(dead_code, reason = "each user has its part")]

mod kubelet;

use bound_service_account_tokens::settings::Settings;
use bound_service_account_tokens::validate;
use bound_service_account_tokens::validate_settings;
use kubelet::{File, Kind};
use kubewarden_policy_sdk::response::ValidationResponse;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use serde_json::{Value, json};
use std::cell::LazyCell;

/// What the API server shows to people of a warning.
const LONGEST_WARNING: usize = 256;
/// What a client gets of violations and of warnings; another line says how many more there are.
const MOST_VIOLATIONS: usize = 20;
const MOST_WARNINGS: usize = 10;
/// How many bytes an answer has beside the object.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Where clients of the API server look for their token.
const TOKEN_FOLDER: &str = "/run/secrets/kubernetes.io/serviceaccount";
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

/// Any bytes get an answer that policy-server can decode; a rejection says why, and the answer is
/// short. `None` for a mutation of what policy-server could not have sent: a number such as 1e999
/// in a member that no rule reads is JSON, and stays, but is none of serde_json's values.
pub fn answer(payload: &[u8]) -> Option<ValidationResponse> {
    let answer = validate(payload).expect("an answer, not an error");
    let response: ValidationResponse = match serde_json::from_slice(&answer) {
        Ok(response) => response,
        Err(e) => {
            assert!(
                serde_json::from_slice::<Value>(payload).is_err(),
                "no response: {e}"
            );
            return None;
        }
    };
    if let Err(why) = is_well_formed(&response) {
        let cut = |text: &str| text.chars().take(20_000).collect::<String>();
        let asked = cut(&String::from_utf8_lossy(payload));
        panic!("{why}: {}\nto {asked}", cut(&format!("{response:?}")));
    }
    Some(response)
}

fn is_well_formed(response: &ValidationResponse) -> Checked {
    let says_why = response
        .message
        .as_ref()
        .is_some_and(|message| !message.trim().is_empty());
    ensure!(
        response.accepted != says_why,
        "a rejection says why, and nothing else does"
    );
    let is_mutation = response.mutated_object.is_some();
    ensure!(
        response.accepted || !is_mutation,
        "a rejection with an object"
    );
    for warning in response.warnings.iter().flatten() {
        let length = warning.chars().count();
        ensure!(!warning.trim().is_empty(), "a warning that says nothing");
        ensure!(
            length <= LONGEST_WARNING,
            "{length} characters in a warning"
        );
    }
    is_short(response)
}

/// What there is too much of is counted.
fn is_short(response: &ValidationResponse) -> Checked {
    let lines: Vec<_> = response
        .message
        .as_deref()
        .unwrap_or_default()
        .lines()
        .collect();
    has_at_most(MOST_VIOLATIONS, "violations", &lines)?;
    let warnings: Vec<_> = response
        .warnings
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    has_at_most(MOST_WARNINGS, "warnings", &warnings)?;
    let answer = ValidationResponse {
        mutated_object: None,
        accepted: response.accepted,
        message: response.message.clone(),
        code: response.code,
        audit_annotations: response.audit_annotations.clone(),
        warnings: response.warnings.clone(),
    };
    let length = serde_json::to_vec(&answer).expect("JSON").len();
    ensure!(length <= LONGEST_ANSWER, "an answer of {length} bytes");
    Ok(())
}

fn has_at_most(most: usize, what: &str, lines: &[&str]) -> Checked {
    let number = lines.len();
    if number > most {
        ensure!(number == most + 1, "{number} {what}");
        let last = lines[most];
        let count = last
            .strip_prefix("and ")
            .and_then(|rest| rest.split(' ').next());
        let is_counted = count.is_some_and(|count| count.parse::<u32>().is_ok_and(|n| n > 0));
        ensure!(
            is_counted && last.contains("more"),
            "{number} {what}, and at the end: {last}"
        );
    }
    Ok(())
}

/// True when the answer names only some of the warnings.
fn is_cut(response: &ValidationResponse) -> bool {
    response
        .warnings
        .as_ref()
        .is_some_and(|warnings| warnings.len() >= MOST_WARNINGS)
}

/// Any bytes as settings get an answer that people can read.
pub fn settings_are_answered(settings: &[u8]) {
    let answer = validate_settings(settings).expect("an answer, not an error");
    let answer: SettingsValidationResponse = serde_json::from_slice(&answer).expect("an answer");
    let says_why = answer
        .message
        .is_some_and(|message| !message.trim().is_empty());
    assert!(answer.valid != says_why);
    let Ok(text) = std::str::from_utf8(settings) else {
        return;
    };
    assert_eq!(answer.valid, Settings::read(text).is_ok());
    if answer.valid {
        serde_json::from_str::<serde::de::IgnoredAny>(text).expect("valid settings are JSON");
    }
}

/// All invariants for one request.
pub fn check(request: &Value, settings: &Value) {
    let case = Case::new(request, settings);
    for invariant in INVARIANTS {
        case.keeps(invariant);
    }
}

/// One of the invariants, chosen by a number: a fuzzer, which brings it, gets further with many
/// requests than with all invariants for a few, as they ask the policy some 40 times together.
pub fn check_one(number: u8, request: &Value, settings: &Value) {
    let invariant = INVARIANTS[usize::from(number) % INVARIANTS.len()];
    Case::new(request, settings).keeps(invariant);
}

/// The answer in a mode, whatever the settings say of modes.
pub fn ask(request: &Value, settings: &Value, mode: &str) -> ValidationResponse {
    let mut settings = settings.clone();
    settings["mode"] = json!(mode);
    for entry in settings["overrides"].as_array_mut().into_iter().flatten() {
        if let Some(members) = entry.as_object_mut() {
            members.remove("mode");
        }
    }
    ask_as_set(request, &settings)
}

fn ask_as_set(request: &Value, settings: &Value) -> ValidationResponse {
    let payload = format!("{{\"request\":{request},\"settings\":{settings}}}");
    answer(payload.as_bytes()).expect("an answer that policy-server can decode")
}

/// A request with some settings, and what is answered in the modes that most invariants look at.
struct Case<'c> {
    request: &'c Value,
    settings: &'c Value,
    mutate: LazyCell<ValidationResponse, Box<dyn Fn() -> ValidationResponse + 'c>>,
    reject: LazyCell<ValidationResponse, Box<dyn Fn() -> ValidationResponse + 'c>>,
}

impl<'c> Case<'c> {
    fn new(request: &'c Value, settings: &'c Value) -> Self {
        Self {
            request,
            settings,
            mutate: LazyCell::new(Box::new(|| ask(request, settings, "mutate"))),
            reject: LazyCell::new(Box::new(|| ask(request, settings, "reject"))),
        }
    }

    fn keeps(&self, invariant: Invariant) {
        if let Err(why) = invariant(self) {
            panic!(
                "{why}\nrequest: {}\nsettings: {}",
                self.request, self.settings
            );
        }
    }
}

/// Something that is true of each case.
type Invariant = fn(&Case) -> Checked;

const INVARIANTS: [Invariant; 21] = [
    reject_does_not_mutate,
    mutate_rejects_no_more_than_reject,
    |case| {
        warn_accepts(
            case.request,
            &ask(case.request, case.settings, "warn"),
            &case.reject,
        )
    },
    |case| mutation_is_limited(case.request, &case.mutate),
    |case| mutation_shortens(case.request, case.settings, &case.mutate),
    |case| second_pass_is_silent(case.request, case.settings, &case.mutate),
    |case| side_by_side(case.request, case.settings, &case.mutate),
    |case| mutation_spares_files(case.request, case.settings, &case.mutate),
    |case| conversion_is_proven(case.request, case.settings, &case.mutate),
    |case| maxima_are_ordered(case.request, case.settings),
    |case| exemptions_accept(case.request, case.settings, &case.reject),
    |case| exempt_namespaces_are_left_alone(case.request, case.settings),
    |case| updates_that_change_nothing_are_accepted(case.request, &case.reject),
    |case| overrides_win_by_field(case.request, case.settings),
    |case| order_does_not_matter(case.request, case.settings, &case.mutate, &case.reject),
    |case| audit_is_as_in_reject_mode(case.request, case.settings),
    |case| token_request_is_the_same_for_both_webhooks(case.request, case.settings),
    |case| two_audiences_of_a_node_are_none(case.request, case.settings),
    |case| token_requests_are_noted(case.request, case.settings, &case.mutate),
    |case| opened_tokens_are_told(case.request, case.settings, &case.mutate),
    |case| template_speaks_for_its_pods(case.request, case.settings, &case.mutate),
];

fn reject_does_not_mutate(case: &Case) -> Checked {
    ensure!(
        case.reject.mutated_object.is_none(),
        "reject mode mutates: {:?}",
        *case.reject
    );
    Ok(())
}

fn mutate_rejects_no_more_than_reject(case: &Case) -> Checked {
    ensure!(
        case.mutate.accepted || !case.reject.accepted,
        "mutate mode rejects more: {:?}",
        *case.mutate
    );
    Ok(())
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

/// Warn mode rejects nothing, and tells each violation.
fn warn_accepts(
    request: &Value,
    warn: &ValidationResponse,
    reject: &ValidationResponse,
) -> Checked {
    if is_audit(request) {
        return same_paths("warn mode and reject mode in the audit", warn, reject);
    }
    ensure!(warn.mutated_object.is_none(), "warn mode mutates: {warn:?}");
    ensure!(warn.accepted, "warn mode rejects: {warn:?}");
    if reject.accepted {
        return Ok(());
    }
    let (told, expected) = (rules(warn), rules(reject));
    ensure!(!expected.is_empty(), "a rejection by no rule: {reject:?}");
    let is_judged = expected != ["not-judged"] && told != ["not-judged"];
    ensure!(!is_judged || told == expected, "{warn:?}, {reject:?}");
    let warnings = warn.warnings.as_deref().unwrap_or_default();
    ensure!(!warnings.is_empty(), "warn mode says nothing: {warn:?}");
    if is_cut(warn) || !is_judged || told == ["decode"] {
        return Ok(());
    }
    let lines = reject.message.as_deref().unwrap_or_default().lines();
    for line in lines.filter(|line| line.chars().count() <= LONGEST_WARNING) {
        let is_told = warnings.iter().any(|warning| warning == line);
        ensure!(is_told, "warn mode conceals {line}: {warn:?}");
    }
    Ok(())
}

/// The rules that the audit annotations name.
fn rules(response: &ValidationResponse) -> Vec<&str> {
    let annotations = response.audit_annotations.as_ref();
    let rules = annotations.and_then(|annotations| annotations.get("rules"));
    rules
        .map(|rules| rules.split(',').collect())
        .unwrap_or_default()
}

/// A mutation changes lifetimes, fsGroup and legacy Secret volumes of Pods and TokenRequests.
fn mutation_is_limited(request: &Value, response: &ValidationResponse) -> Checked {
    let Some(object) = &response.mutated_object else {
        return Ok(());
    };
    let patch = json_patch::diff(&request["object"], object);
    ensure!(!patch.is_empty(), "a mutation that changes nothing");
    for operation in patch.iter() {
        let path = operation.path().as_str();
        ensure!(
            may_change(kind(request), path),
            "{path} of a {} is changed",
            kind(request)
        );
    }
    Ok(())
}

#[allow(
    clippy::match_same_arms,
    reason = "a line for each thing that may change"
)]
fn may_change(kind: &str, path: &str) -> bool {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (kind, &parts[..]) {
        ("TokenRequest", ["spec", "expirationSeconds"]) => true,
        ("Pod", ["spec", "securityContext"]) => true,
        ("Pod", ["spec", "securityContext", key]) => {
            ["fsGroup", "fsGroupChangePolicy"].contains(key)
        }
        ("Pod", ["spec", "volumes", _, "secret" | "projected"]) => true,
        (
            "Pod",
            [
                "spec",
                "volumes",
                _,
                "projected",
                "sources",
                _,
                "serviceAccountToken",
                key,
            ],
        ) => *key == "expirationSeconds",
        _ => false,
    }
}

/// What the policy grants, the API server honours no longer than what was asked for, even if
/// nothing is known of its audiences; and it never sets the seconds that become a year.
fn mutation_shortens(request: &Value, settings: &Value, response: &ValidationResponse) -> Checked {
    let Some(object) = &response.mutated_object else {
        return Ok(());
    };
    let is_pod = kind(request) == "Pod";
    let tokens = if is_pod {
        projected_tokens(&request["object"], object)
    } else {
        vec![(&request["object"]["spec"], &object["spec"])]
    };
    for (old, new) in tokens {
        let seconds = |token: &Value| token["expirationSeconds"].as_i64().unwrap_or(3600);
        let (asked, granted) = (seconds(old), seconds(new));
        if asked == granted {
            continue;
        }
        let is_bound = is_pod || old["boundObjectRef"]["kind"] == "Pod";
        let extends = settings["apiServer"]["extendsTokens"] != false;
        let is_extended = asked == 3607 && is_bound && extends && is_own(request, old, settings);
        let lifetime = if is_extended { 31_536_000 } else { asked };
        ensure!(
            granted <= lifetime,
            "{lifetime} seconds of {old} become {new}"
        );
        ensure!(granted != 3607 && granted >= 600, "{old} becomes {new}");
    }
    Ok(())
}

/// Each projected token of a Pod, before and after a mutation.
fn projected_tokens<'p>(old: &'p Value, new: &'p Value) -> Vec<(&'p Value, &'p Value)> {
    fn lists<'v>(old: &'v Value, new: &'v Value) -> impl Iterator<Item = (&'v Value, &'v Value)> {
        kubelet::elements(old).zip(kubelet::elements(new))
    }
    let volumes = lists(&old["spec"]["volumes"], &new["spec"]["volumes"]);
    volumes
        .map(|(old, new)| (&old["projected"]["sources"], &new["projected"]["sources"]))
        .flat_map(|(old, new)| lists(old, new))
        .map(|(old, new)| (&old["serviceAccountToken"], &new["serviceAccountToken"]))
        .filter(|(old, _)| old.is_object())
        .collect()
}

/// True when all audiences of a token are the API server's own: as the settings say, or by what it is
/// called nearly everywhere where they don't.
fn is_own(request: &Value, token: &Value, settings: &Value) -> bool {
    let listed = kubelet::elements(&token["audiences"]);
    let mut audiences: Vec<_> = listed.filter_map(Value::as_str).collect();
    audiences.extend(token["audience"].as_str());
    let known: Vec<_> = kubelet::elements(&settings["apiServer"]["audiences"])
        .filter_map(Value::as_str)
        .collect();
    let usual = ["https://kubernetes.default.svc", "kubernetes.default.svc"];
    let is_own = |audience: &str| {
        audience.is_empty()
            || known.is_empty() && usual.iter().any(|name| audience.starts_with(name))
            || known.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => audience.starts_with(start),
                None => audience == *pattern,
            })
    };
    is_list_of_server(request) || audiences.iter().all(|audience| is_own(audience))
}

/// A node names one audience at most; more are the API server's.
fn is_list_of_server(request: &Value) -> bool {
    let audiences = request["object"]["spec"]["audiences"].as_array();
    is_node(request) && audiences.is_some_and(|audiences| audiences.len() > 1)
}

fn is_node(request: &Value) -> bool {
    let user = &request["userInfo"];
    let is_named = |name: &str| name.starts_with("system:node:");
    user["username"].as_str().is_some_and(is_named)
        && kubelet::elements(&user["groups"]).any(|group| group == "system:nodes")
}

/// What was mutated once stays as it is, and is warned about no further.
fn second_pass_is_silent(request: &Value, settings: &Value, first: &ValidationResponse) -> Checked {
    if !first.accepted {
        return Ok(());
    }
    let second = ask(&after(request, first), settings, "mutate");
    ensure!(second.accepted, "a second pass rejects: {second:?}");
    ensure!(
        second.mutated_object.is_none(),
        "a second pass changes: {second:?}"
    );
    let said = first.warnings.as_deref().unwrap_or_default();
    for warning in second.warnings.iter().flatten() {
        ensure!(
            said.contains(warning),
            "only a second pass says: {warning}\nfirst: {said:?}"
        );
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
    ensure!(
        second.accepted,
        "what mutate mode admitted is rejected beside it: {second:?}"
    );
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
        let named: Vec<_> = named
            .iter()
            .filter_map(|entry| entry["audience"].as_str())
            .collect();
        own = patterns
            .iter()
            .filter_map(Value::as_str)
            .map(|it| it.replace('*', "x"))
            .collect();
        let prefixes = patterns
            .iter()
            .filter_map(|it| it.as_str()?.strip_suffix('*'));
        own.extend(prefixes.flat_map(|prefix| {
            let named = named
                .iter()
                .filter(move |it| it.starts_with(prefix) && !it.contains('*'));
            named.map(|it| (*it).to_owned())
        }));
    }
    request["object"]["spec"]["audiences"] = json!(own);
}

fn names_no_audience(request: &Value) -> bool {
    let audiences = &request["object"]["spec"]["audiences"];
    audiences.is_null() || audiences.as_array().is_some_and(Vec::is_empty)
}

/// A mutation takes no file from a process, and gives none to a group that its reader refuses to
/// share it with, as far as the settings don't ask for it.
pub fn mutation_spares_files(
    request: &Value,
    settings: &Value,
    response: &ValidationResponse,
) -> Checked {
    let Some(mutated) = &response.mutated_object else {
        return Ok(());
    };
    let (old, new) = (&request["object"]["spec"], &mutated["spec"]);
    if kind(request) != "Pod" || has_repeated_names(old) {
        return Ok(());
    }
    converted_volumes_keep_their_files(old, new)?;
    let asked = &old["securityContext"]["fsGroup"];
    if let Some(group) = new["securityContext"]["fsGroup"].as_i64() {
        ensure!(
            asked.is_null() || asked == group,
            "fsGroup {asked} is replaced"
        );
        if asked.is_null() {
            ensure!(!kubelet::is_windows(new), "fsGroup {group} on Windows");
            ensure!(
                kubelet::has_group(new, group),
                "fsGroup {group} isn't in the user namespace"
            );
            added_group_breaks_nothing(new, settings)?;
        }
    }
    readers_keep_their_files(old, new, settings, response)
}

/// The API server refuses two volumes with one name.
fn has_repeated_names(spec: &Value) -> bool {
    let names: Vec<_> = kubelet::elements(&spec["volumes"])
        .map(|volume| volume["name"].as_str())
        .collect();
    names
        .iter()
        .enumerate()
        .any(|(i, name)| names[..i].contains(name))
}

/// What the settings say about one of the reasons to leave an fsGroup out.
fn is_set(settings: &Value, name: &str, default: &str) -> bool {
    settings["fsGroup"][name].as_str().unwrap_or(default) == "Set"
}

/// The files of disks and those that their owners keep from every group.
fn added_group_breaks_nothing(spec: &Value, settings: &Value) -> Checked {
    let mut without = spec.clone();
    if let Some(context) = without["securityContext"].as_object_mut() {
        context.remove("fsGroup");
    }
    let files = kubelet::files(&without)
        .into_iter()
        .zip(kubelet::files(spec));
    for (old, new) in files {
        let told = told(&old, &new);
        if old.kind == Kind::Data {
            let asked = is_set(settings, "persistentVolumes", "Leave");
            ensure!(asked, "a disk changes hands: {told}");
            continue;
        }
        let private = match old.kind {
            Kind::Token | Kind::TrustBundle => old.declared & 0o040 == 0,
            Kind::Config | Kind::Certificate | Kind::Data => old.mode & 0o040 == 0,
        };
        let is_owner = |container: &Value| {
            let is_users = kubelet::user(spec, container) == Some(old.user);
            kubelet::may_run_as_root(spec, container) || (old.kind == Kind::Certificate && is_users)
        };
        let mut readers =
            kubelet::containers(spec).filter(|container| kubelet::mounts(container, &old.volume));
        let shared = private && new.mode & 0o040 != 0 && readers.any(is_owner);
        let asked = is_set(settings, "privateFiles", "Leave");
        ensure!(!shared || asked, "a private file is shared: {told}");
    }
    Ok(())
}

fn told(old: &File, new: &File) -> String {
    let name = format!("{} of volume {}", old.path, old.volume);
    format!("{name}: {} becomes {}", old.listing(), new.listing())
}

/// Each process of the Pod reads what it read before the mutation, a converted token included; but
/// for one that has stepped down from root, where the operator wants it so and a warning names its
/// container.
fn readers_keep_their_files(
    old: &Value,
    new: &Value,
    settings: &Value,
    response: &ValidationResponse,
) -> Checked {
    let containers = || kubelet::containers(old).zip(kubelet::containers(new));
    let mut losers = Vec::new();
    for (before, after) in same_files(old, new) {
        let told = told(&before, &after);
        for (was, is) in containers().filter(|(was, _)| kubelet::mounts(was, &after.volume)) {
            let old_processes = kubelet::processes(old, was);
            let new_processes = kubelet::processes(new, is);
            for (was, process) in old_processes.iter().zip(&new_processes) {
                if !was.reads(&before) || process.reads(&after) {
                    continue;
                }
                let name = is["name"].as_str().unwrap_or_default();
                ensure!(process.stepped_down, "container {name} loses {told}");
                let asked = is_set(settings, "rootContainers", "Set");
                ensure!(asked, "who steps down in container {name} loses {told}");
                losers.push(is);
            }
        }
    }
    // The warning may be about one of them for all.
    let warnings = response.warnings.as_deref().unwrap_or_default();
    let is_told = losers.is_empty()
        || is_cut(response)
        || losers.iter().any(|container| is_named(warnings, container));
    ensure!(
        is_told,
        "no warning names one of those who step down and lose a token: {losers:?}"
    );
    Ok(())
}

/// Each file before and after a mutation. A Secret without items has one for all of its keys.
fn same_files(old: &Value, new: &Value) -> Vec<(File, File)> {
    let (old, new) = (kubelet::files(old), kubelet::files(new));
    let paths = |files: &[File], name: &str| {
        let files = files.iter().filter(|file| file.volume == name);
        files.map(|file| file.path.clone()).collect::<Vec<_>>()
    };
    if old.len() == new.len() && old.iter().zip(&new).all(|(old, new)| old.path == new.path) {
        return old.into_iter().zip(new).collect();
    }
    let mut pairs = Vec::new();
    for file in new {
        let of_volume = |old: &&File| old.volume == file.volume;
        let is_same = |old: &&File| old.path == file.path || old.path == "*";
        let is_alone = paths(&old, &file.volume)
            .iter()
            .filter(|path| **path == file.path)
            .count()
            < 2;
        let before = old.iter().filter(of_volume).find(is_same).cloned();
        pairs.extend(before.filter(|_| is_alone).map(|before| (before, file)));
    }
    pairs
}

/// A Secret becomes a projected token only if its name says that it is the Pod's own account's,
/// and it is mounted at least above where clients look for a token.
fn conversion_is_proven(
    request: &Value,
    settings: &Value,
    response: &ValidationResponse,
) -> Checked {
    let Some(mutated) = &response.mutated_object else {
        return Ok(());
    };
    let spec = &request["object"]["spec"];
    let names = ["serviceAccountName", "serviceAccount"].map(|member| spec[member].as_str());
    let mut names = names.into_iter().flatten().filter(|name| !name.is_empty());
    let whole = format!("{}-token-", names.next().unwrap_or("default"));
    let start: String = whole.chars().take(58).collect();
    let after = kubelet::elements(&mutated["spec"]["volumes"]);
    for (old, new) in kubelet::elements(&spec["volumes"]).zip(after) {
        let Some(secret) = old["secret"]["secretName"].as_str() else {
            continue;
        };
        if new["projected"].is_null() {
            continue;
        }
        ensure!(
            settings["legacyTokens"]["detect"] != "Lookup",
            "{secret} wasn't looked up"
        );
        let is_own = secret
            .strip_prefix(&start)
            .is_some_and(|end| end.len() == 5);
        ensure!(is_own, "{secret} isn't known as one of {start}");
        ensure!(old["secret"]["optional"] != true, "{secret} is optional");
        let name = old["name"].as_str().unwrap_or_default();
        let mut mounts = kubelet::containers(spec)
            .flat_map(|container| kubelet::elements(&container["volumeMounts"]))
            .filter(|mount| mount["name"] == name);
        let is_seen = mounts.any(|mount| leads_to_token(&mount["mountPath"]));
        // What Kubernetes cut has 58 characters of the account in it: nobody else's name does.
        ensure!(
            is_seen || start != whole,
            "{secret} is mounted nowhere near the folder of tokens"
        );
    }
    Ok(())
}

/// True for the folder where clients look for a token, what is in it and what it is in.
fn leads_to_token(mount_path: &Value) -> bool {
    let path = mount_path.as_str().unwrap_or_default().replace('\\', "/");
    let path = path.split_once(':').map_or(path.as_str(), |(_, rest)| rest);
    let mut folders = Vec::new();
    for folder in path.split('/').filter(|folder| !["", "."].contains(folder)) {
        if folder == ".." {
            folders.pop();
        } else {
            folders.push(folder);
        }
    }
    if folders.starts_with(&["var", "run"]) {
        folders.remove(0);
    }
    let path = format!("/{}", folders.join("/"));
    TOKEN_FOLDER.starts_with(&path) || path.starts_with(TOKEN_FOLDER)
}

/// A legacy Secret volume that became a projected one shows the same files with the same modes, and
/// no two of one path, which the API server refuses in a projected volume.
fn converted_volumes_keep_their_files(old: &Value, new: &Value) -> Checked {
    let volumes = |spec: &Value| spec["volumes"].as_array().cloned().unwrap_or_default();
    for (old, new) in volumes(old).iter().zip(volumes(new)) {
        if old["secret"].is_null() || new["projected"].is_null() {
            continue;
        }
        let expected = secret_files(&old["secret"]);
        let mount = json!([{ "volumeMounts": [{ "name": new["name"] }] }]);
        let mut shown: Vec<_> = kubelet::files(&json!({ "volumes": [new], "containers": mount }))
            .into_iter()
            .map(|file| (file.path, file.declared))
            .collect();
        shown.sort();
        ensure!(shown == expected, "{expected:?} became {shown:?}");
        shown.dedup_by(|one, other| one.0 == other.0);
        ensure!(
            shown.len() == expected.len(),
            "one path twice: {expected:?}"
        );
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
        ensure!(
            now || !accepted,
            "a maximum of {maximum} rejects what a smaller one accepts"
        );
        accepted = now;
    }
    Ok(())
}

fn exemptions_accept(request: &Value, settings: &Value, reject: &ValidationResponse) -> Checked {
    for (key, value) in [
        ("exemptNamespaces", json!(["kube-*", "payments"])),
        (
            "exemptServiceAccounts",
            json!(["ci-*/builder", "shop/admin", "*/d*"]),
        ),
        ("optOutAnnotation", json!("example.com/exempt")),
    ] {
        let mut more = settings.clone();
        more[key] = value;
        let with = ask(request, &more, "reject");
        ensure!(
            with.accepted || !reject.accepted,
            "{key} rejects more: {with:?}"
        );
    }
    Ok(())
}

/// A namespace that is exempt is left alone before anything of the object is looked at.
fn exempt_namespaces_are_left_alone(request: &Value, settings: &Value) -> Checked {
    let mut settings = settings.clone();
    settings["exemptNamespaces"] = json!(["other", "exempt-*"]);
    let mut exempt = request.clone();
    exempt["namespace"] = json!("exempt-1");
    for object in [
        &request["object"],
        &json!({ "spec": { "volumes": { "a": 1 } } }),
        &json!(17),
    ] {
        exempt["object"] = object.clone();
        for mode in ["mutate", "reject", "warn"] {
            let response = ask(&exempt, &settings, mode);
            let is_alone = response.accepted && response.mutated_object.is_none();
            let says_nothing = response.warnings.is_none();
            ensure!(
                is_alone && says_nothing,
                "not left alone in {mode} mode: {response:?}"
            );
        }
    }
    Ok(())
}

/// In an update of a Pod or of a Job nothing can change that matters.
fn updates_that_change_nothing_are_accepted(
    request: &Value,
    reject: &ValidationResponse,
) -> Checked {
    let is_part = !request["subResource"]
        .as_str()
        .unwrap_or_default()
        .is_empty();
    let is_update = request["operation"] == "UPDATE" && !is_part;
    let is_fixed = ["Pod", "Job"].contains(&kind(request));
    ensure!(
        !is_update || !is_fixed || reject.accepted,
        "an update is rejected: {reject:?}"
    );
    Ok(())
}

/// For each field of an override the first that matches the namespace and sets it wins.
fn overrides_win_by_field(request: &Value, settings: &Value) -> Checked {
    if settings["overrides"].is_null() {
        return Ok(());
    }
    let namespace = request["namespace"].as_str().unwrap_or_default();
    let is_match = |pattern: &Value| {
        let pattern = pattern.as_str().unwrap_or_default();
        match pattern.strip_suffix('*') {
            // What is in no namespace matches no pattern.
            Some(start) => !namespace.is_empty() && namespace.starts_with(start),
            None => namespace == pattern,
        }
    };
    let mut alone = settings.clone();
    alone["overrides"] = json!([]);
    for field in ["mode", "maxExpirationSeconds"] {
        let value = kubelet::elements(&settings["overrides"])
            .filter(|entry| kubelet::elements(&entry["namespaces"]).any(is_match))
            .find_map(|entry| Some(&entry[field]).filter(|value| !value.is_null()));
        if let Some(value) = value {
            alone[field] = value.clone();
        }
    }
    let (one, other) = (ask_as_set(request, settings), ask_as_set(request, &alone));
    same_answer("overrides", &one, &other)
}

/// Volumes, containers and what they list in another order get the same verdict.
fn order_does_not_matter(
    request: &Value,
    settings: &Value,
    mutate: &ValidationResponse,
    reject: &ValidationResponse,
) -> Checked {
    if has_repeated_names(&request["object"]["spec"]) {
        return Ok(());
    }
    let mut reversed = request.clone();
    reverse(&mut reversed["object"], "");
    reverse(&mut reversed["oldObject"], "");
    for (mode, one) in [("mutate", mutate), ("reject", reject)] {
        let other = ask(&reversed, settings, mode);
        ensure!(
            one.accepted == other.accepted,
            "order counts: {one:?}, {other:?}"
        );
        let group = |response: &ValidationResponse| {
            Some(response.mutated_object.as_ref()?["spec"]["securityContext"]["fsGroup"].clone())
        };
        ensure!(
            group(one) == group(&other),
            "order counts: {one:?}, {other:?}"
        );
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
    let has_user = user["username"]
        .as_str()
        .is_some_and(|name| !name.is_empty())
        || user["groups"]
            .as_array()
            .is_some_and(|groups| !groups.is_empty());
    request["operation"] == "CREATE"
        && !uid.is_empty()
        && request["object"]["metadata"]["uid"] == uid
        && !has_user
}

/// The request, of this operation, user and uid of the object.
fn made(request: &Value, operation: &str, uid: &str, user: &Value) -> Value {
    let mut request = request.clone();
    request["operation"] = json!(operation);
    request["uid"] = json!("an-object");
    request["userInfo"] = user.clone();
    request["object"]["metadata"]["uid"] = json!(uid);
    if operation == "CREATE" {
        request["oldObject"] = Value::Null;
    }
    request
}

/// The audit gets the verdict of reject mode in every mode, and is told what mode mutate would do.
fn audit_is_as_in_reject_mode(request: &Value, settings: &Value) -> Checked {
    let metadata = &request["object"]["metadata"];
    if !request["object"].is_object() || !(metadata.is_null() || metadata.is_object()) {
        return Ok(());
    }
    let person = json!({ "username": "alex", "groups": ["dev"] });
    let live = made(request, "CREATE", "another-object", &person);
    let audit = made(request, "CREATE", "an-object", &json!({}));
    let reject = ask(&live, settings, "reject");
    let mutate = ask(&audit, settings, "mutate");
    let warn = ask(&audit, settings, "warn");
    same_paths("the audit in mutate mode", &mutate, &reject)?;
    let audited = ask(&audit, settings, "reject");
    same_paths("the audit in reject mode", &audited, &reject)?;
    same_verdict("the audit in modes mutate and warn", &mutate, &warn)?;
    others_are_no_audit(request, settings)
}

/// Who looks like the audit in all respects but one gets the verdict of the mode.
fn others_are_no_audit(request: &Value, settings: &Value) -> Checked {
    let person = json!({ "username": "alex", "groups": ["dev"] });
    let group = json!({ "groups": ["dev"] });
    let nobody = json!({});
    for (name, operation, uid, user) in [
        ("a user", "CREATE", "an-object", &person),
        ("a group", "CREATE", "an-object", &group),
        ("another uid", "CREATE", "another-object", &nobody),
        ("another operation", "UPDATE", "an-object", &nobody),
    ] {
        // Not the warnings: that a token is shortened is told to people only.
        let response = ask(&made(request, operation, uid, user), settings, "mutate");
        let live = made(request, operation, "another-object", &person);
        let expected = ask(&live, settings, "mutate");
        let is_same = response.accepted == expected.accepted
            && response.mutated_object.is_some() == expected.mutated_object.is_some();
        let both = format!("{response:?}, {expected:?}");
        ensure!(is_same, "an audit in spite of {name}: {both}");
    }
    Ok(())
}

fn same_verdict(what: &str, one: &ValidationResponse, other: &ValidationResponse) -> Checked {
    let verdict = |response: &ValidationResponse| {
        (
            response.accepted,
            response.message.clone(),
            response.mutated_object.clone(),
        )
    };
    ensure!(verdict(one) == verdict(other), "{what}: {one:?}, {other:?}");
    Ok(())
}

/// The same in every part.
fn same_answer(what: &str, one: &ValidationResponse, other: &ValidationResponse) -> Checked {
    same_verdict(what, one, other)?;
    let rest = |response: &ValidationResponse| {
        (
            response.warnings.clone(),
            response.audit_annotations.clone(),
        )
    };
    ensure!(rest(one) == rest(other), "{what}: {one:?}, {other:?}");
    Ok(())
}

/// The same verdict about the same fields, whatever else is said about them.
fn same_paths(what: &str, one: &ValidationResponse, other: &ValidationResponse) -> Checked {
    let verdict = |response: &ValidationResponse| {
        let lines = response.message.as_deref().unwrap_or_default().lines();
        let path = |line: &str| line.split(": ").next().unwrap_or_default().to_owned();
        let paths: Vec<_> = lines.map(path).collect();
        (response.accepted, paths, response.mutated_object.clone())
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
        ensure!(
            one.accepted == other.accepted,
            "audiences filled in: {one:?}, {other:?}"
        );
        let seconds = |response: &ValidationResponse| {
            Some(response.mutated_object.as_ref()?["spec"]["expirationSeconds"].clone())
        };
        ensure!(
            seconds(&one) == seconds(&other),
            "audiences filled in: {one:?}, {other:?}"
        );
    }
    Ok(())
}

/// What a node names in a list of two or more is the API server's own list: judged as none.
fn two_audiences_of_a_node_are_none(request: &Value, settings: &Value) -> Checked {
    if kind(request) != "TokenRequest" || !is_list_of_server(request) {
        return Ok(());
    }
    let mut empty = request.clone();
    empty["object"]["spec"]["audiences"] = json!([]);
    for mode in ["reject", "mutate"] {
        let (one, other) = (ask(request, settings, mode), ask(&empty, settings, mode));
        ensure!(
            one.accepted == other.accepted,
            "a node's list: {one:?}, {other:?}"
        );
        let (one, other) = (granted(&one), granted(&other));
        ensure!(one == other, "a node's list: {one:?}, not {other:?}");
    }
    Ok(())
}

fn granted(response: &ValidationResponse) -> Option<&Value> {
    Some(&response.mutated_object.as_ref()?["spec"]["expirationSeconds"])
}

/// Kubernetes' audit log says nothing of what a person asked for: the annotations do.
fn token_requests_are_noted(
    request: &Value,
    settings: &Value,
    mutate: &ValidationResponse,
) -> Checked {
    let is_request = kind(request) == "TokenRequest" && request["operation"] == "CREATE";
    let is_exempt =
        !settings["exemptNamespaces"].is_null() || !settings["exemptServiceAccounts"].is_null();
    let spec = &request["object"]["spec"];
    if !is_request || is_node(request) || is_exempt || rules(mutate) == ["decode"] {
        return Ok(());
    }
    let annotations = mutate.audit_annotations.iter().flatten();
    let noted: Vec<_> = annotations.map(|(_, value)| value.as_str()).collect();
    let noted = noted.join("\n");
    let asked = spec["expirationSeconds"].as_i64().unwrap_or(3600);
    let is_named = |audience: &str| noted.contains(&audience.chars().take(16).collect::<String>());
    let audiences = kubelet::elements(&spec["audiences"]).filter_map(Value::as_str);
    for audience in audiences.filter(|audience| !audience.is_empty()) {
        ensure!(
            is_named(audience),
            "audience {audience} isn't noted: {mutate:?}"
        );
    }
    ensure!(
        noted.contains(&asked.to_string()),
        "{asked} seconds aren't noted: {mutate:?}"
    );
    if let Some(seconds) = granted(mutate).filter(|_| mutate.accepted) {
        ensure!(
            noted.contains(&seconds.to_string()),
            "{seconds} seconds aren't noted: {mutate:?}"
        );
    }
    Ok(())
}

/// Whoever adds an ephemeral container that changes how a token's file looks is told so.
fn opened_tokens_are_told(
    request: &Value,
    settings: &Value,
    mutate: &ValidationResponse,
) -> Checked {
    let (old, new) = (&request["oldObject"]["spec"], &request["object"]["spec"]);
    let is_judged = request["subResource"] == "ephemeralcontainers"
        && request["operation"] == "UPDATE"
        && kind(request) == "Pod"
        && settings["fsGroup"]["rule"] != "RunAsAny"
        && mutate.accepted
        && !is_cut(mutate)
        && !is_exempt(request, settings);
    let has_group = !old["securityContext"]["fsGroup"].is_null();
    if !is_judged
        || !old.is_object()
        || has_group
        || kubelet::is_windows(old)
        || has_repeated_names(old)
    {
        return Ok(());
    }
    let number = old["ephemeralContainers"].as_array().map_or(0, Vec::len);
    let mut without = new.clone();
    let kept = kubelet::elements(&new["ephemeralContainers"]).take(number);
    without["ephemeralContainers"] = kept.cloned().collect();
    let files = kubelet::files(new);
    let is_changed = |file: &File| file.kind == Kind::Token && !files.contains(file);
    let common = kubelet::common_user(&without);
    let changed = kubelet::files(&without).into_iter().find(is_changed);
    let Some((common, file)) = common.zip(changed) else {
        return Ok(());
    };
    let mut added = kubelet::elements(&new["ephemeralContainers"])
        .skip(number)
        .filter(|container| kubelet::user(new, container) != Some(common));
    let warnings = mutate.warnings.as_deref().unwrap_or_default();
    let is_told = added.any(|container| is_named(warnings, container));
    ensure!(is_told, "nobody is told that {file:?} changes: {mutate:?}");
    Ok(())
}

/// True when a warning has the container's name, maybe shortened.
fn is_named(warnings: &[String], container: &Value) -> bool {
    let name = container["name"].as_str().unwrap_or_default();
    let start: String = name.chars().take(16).collect();
    warnings.iter().any(|warning| warning.contains(&start))
}

/// True where the settings may leave the Pod alone.
fn is_exempt(request: &Value, settings: &Value) -> bool {
    let keys = [
        "exemptNamespaces",
        "exemptServiceAccounts",
        "optOutAnnotation",
    ];
    let mirror = "kubernetes.io/config.mirror";
    keys.iter().any(|key| !settings[key].is_null())
        || !request["oldObject"]["metadata"]["annotations"][mirror].is_null()
        || !request["object"]["metadata"]["annotations"][mirror].is_null()
}

/// What the Pods of a template will be refused for, or warned about, its author is told.
fn template_speaks_for_its_pods(
    request: &Value,
    settings: &Value,
    template: &ValidationResponse,
) -> Checked {
    let pointer = match kind(request) {
        "Deployment" | "StatefulSet" | "Job" => "/spec/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        "PodTemplate" => "/template",
        _ => return Ok(()),
    };
    let Some(pod) = request["object"].pointer(pointer) else {
        return Ok(());
    };
    if request["operation"] != "CREATE" || is_audit(request) || !template.accepted {
        return Ok(());
    }
    let mut created = request.clone();
    created["kind"] = json!({ "group": "", "version": "v1", "kind": "Pod" });
    created["object"] = pod.clone();
    created["oldObject"] = Value::Null;
    let spec = &mut created["object"]["spec"];
    if mounts_a_block_claim(spec, &request["object"]["spec"]["volumeClaimTemplates"]) {
        return Ok(());
    }
    add_claims(spec, &request["object"]["spec"]["volumeClaimTemplates"]);
    inject_token(spec);
    let pod = ask(&created, settings, "mutate");
    let told = template.warnings.is_some();
    ensure!(pod.accepted || told, "only the Pod is rejected: {pod:?}");
    ensure!(
        pod.warnings.is_none() || told,
        "only the Pod is warned about: {pod:?}"
    );
    Ok(())
}

/// The kubelet refuses a Pod that mounts a raw block device as if it had files.
fn mounts_a_block_claim(spec: &Value, claims: &Value) -> bool {
    let blocks = kubelet::elements(claims).filter(|claim| claim["spec"]["volumeMode"] == "Block");
    let mut names = blocks.filter_map(|claim| claim["metadata"]["name"].as_str());
    names.any(|name| kubelet::containers(spec).any(|container| kubelet::mounts(container, name)))
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
        volumes.push(
            json!({ "name": name, "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
        ] } }),
        );
    }
}
