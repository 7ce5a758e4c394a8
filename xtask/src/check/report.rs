//! What a person, or a program, is told.

use super::input::{Input, Unreadable};
use super::judge::{Judgement, LeftAlone, Rejection};
use super::objects::Source;
use super::tokens::Token;
use super::units::{Plan, Unit};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What happens to an object. The order is that of the report: what needs a person first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Rejected,
    LeftAlone,
    ChangedWithWarning,
    ChangedSilently,
    Fine,
}

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Rejected, "rejected"),
    (Verdict::LeftAlone, "left alone"),
    (Verdict::ChangedWithWarning, "changed with a warning"),
    (Verdict::ChangedSilently, "changed silently"),
    (Verdict::Fine, "fine"),
];

/// The whole report, as `--output json` prints it. docs/before-you-install.md says what its fields
/// mean.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    summary: Summary,
    objects: Vec<ObjectReport>,
    audiences: Vec<AudienceReport>,
    not_judged: Vec<KindCount>,
    notes: Vec<String>,
    unreadable: Vec<Unreadable>,
}

/// How many objects have which verdict.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    rejected: usize,
    left_alone: usize,
    changed_with_warning: usize,
    changed_silently: usize,
    fine: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReport {
    namespace: String,
    kind: String,
    name: String,
    /// How many of its Pods are in the input.
    pods: usize,
    #[serde(skip)]
    makes_pods: bool,
    sources: Vec<String>,
    verdict: Verdict,
    rejections: Vec<Rejection>,
    left_alone: Vec<LeftAlone>,
    warnings: Vec<String>,
    changes: Vec<String>,
}

/// One audience with one lifetime.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AudienceReport {
    /// Null: the API server's own.
    audience: Option<String>,
    expiration_seconds: i64,
    /// Null where the object is rejected, or where only running Pods have the token.
    granted_seconds: Option<i64>,
    objects: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KindCount {
    api_version: String,
    kind: String,
    count: usize,
}

impl ObjectReport {
    /// Puts together what was said to the requests of a unit.
    fn new(unit: &Unit, judgements: &[(bool, Judgement)]) -> Self {
        let mut rejections = BTreeSet::new();
        let mut left_alone = BTreeSet::new();
        let mut warnings = BTreeSet::new();
        let mut changes = BTreeSet::new();
        let is_pod_covered = judgements
            .iter()
            .any(|(is_made, it)| *is_made && it.is_covered);
        let is_own_rejected = judgements
            .iter()
            .any(|(is_made, it)| !is_made && !it.rejections.is_empty());
        for (is_made, judgement) in judgements {
            // What the workload itself is refused, its Pods would be as well.
            if !(*is_made && is_own_rejected) {
                rejections.extend(judgement.rejections.iter().cloned());
            }
            left_alone.extend(judgement.left_alone.iter().cloned());
            // A template is warned about what its Pods will be warned about.
            if *is_made || !is_pod_covered {
                warnings.extend(judgement.warnings.iter().cloned());
            }
            changes.extend(judgement.changes.iter().cloned());
        }
        let verdict = match () {
            () if !rejections.is_empty() => Verdict::Rejected,
            () if !left_alone.is_empty() => Verdict::LeftAlone,
            () if changes.is_empty() => Verdict::Fine,
            () if warnings.is_empty() => Verdict::ChangedSilently,
            () => Verdict::ChangedWithWarning,
        };
        Self {
            namespace: unit.namespace.clone(),
            kind: unit.kind.clone(),
            name: unit.name.clone(),
            pods: unit.pods,
            makes_pods: judgements.iter().any(|(is_made, _)| *is_made),
            sources: unit.sources.iter().map(Source::to_string).collect(),
            verdict,
            rejections: rejections.into_iter().collect(),
            left_alone: left_alone.into_iter().collect(),
            warnings: warnings.into_iter().collect(),
            changes: changes.into_iter().collect(),
        }
    }

    /// The violations that stay, below the reason that they have in common. Where a warning is the
    /// reason, that says it all.
    fn write_left_alone(&self, out: &mut String) {
        let mut last = "";
        for LeftAlone { violation, reason } in &self.left_alone {
            if self.warnings.contains(reason) {
                continue;
            }
            if reason != last {
                _ = writeln!(out, "    {reason}:");
            }
            last = reason;
            _ = writeln!(out, "    {violation}");
        }
    }

    /// True for a warning that is, in mode `warn`, the beginning of a violation.
    fn is_told(&self, warning: &str) -> bool {
        let beginning: String = warning.chars().take(120).collect();
        self.left_alone
            .iter()
            .any(|it| it.violation.starts_with(&beginning))
    }

    /// What is rejected, and by whom, where that isn't plain.
    fn rejected_subject(&self, rejection: &Rejection) -> Option<String> {
        match (
            rejection.kind == "Pod" && self.makes_pods,
            &*rejection.policy,
        ) {
            (false, "") => None,
            (false, policy) => Some(format!("by {policy}")),
            (true, "") => Some("its Pods".to_owned()),
            (true, policy) => Some(format!("its Pods, by {policy}")),
        }
    }

    /// Namespace, kind and name; where it is from, and how many Pods it has.
    fn title(&self) -> String {
        let namespace = if self.namespace.is_empty() {
            "(cluster)"
        } else {
            &self.namespace
        };
        let mut title = format!("{namespace} {}/{}", self.kind, self.name);
        if self.pods > 0 {
            _ = write!(title, ", {}", plural(self.pods, "Pod"));
        }
        match &*self.sources {
            [source] => _ = write!(title, " ({source})"),
            [source, rest @ ..] => _ = write!(title, " ({source}, and {} more)", rest.len()),
            [] => {}
        }
        title
    }
}

/// Collects what is said while it is judged.
#[derive(Default)]
pub struct Collector {
    objects: Vec<ObjectReport>,
    /// In how many objects there is a token.
    tokens: BTreeMap<Token, usize>,
    uncovered: BTreeMap<(String, String), usize>,
}

impl Collector {
    pub fn add(&mut self, unit: &Unit, judgements: &[(bool, Judgement)]) {
        if !judgements.iter().any(|(_, judgement)| judgement.is_covered) {
            let kind = unit.requests.first().map(|planned| &planned.request.kind);
            let version = kind.map(|kind| match &*kind.group {
                "" => kind.version.clone(),
                group => format!("{group}/{}", kind.version),
            });
            let key = (version.unwrap_or_default(), unit.kind.clone());
            *self.uncovered.entry(key).or_default() += 1;
            return;
        }
        let tokens = judgements
            .iter()
            .flat_map(|(_, judgement)| &judgement.tokens);
        let tokens: BTreeSet<_> = tokens.chain(&unit.injected).cloned().collect();
        for token in tokens {
            *self.tokens.entry(token).or_default() += 1;
        }
        self.objects.push(ObjectReport::new(unit, judgements));
    }

    pub fn finish(self, plan: &Plan, input: InputReport, notes: BTreeSet<String>) -> Report {
        let mut not_judged = self.uncovered;
        for (key, count) in &plan.other_kinds {
            *not_judged.entry(key.clone()).or_default() += count;
        }
        let count = |verdict| {
            self.objects
                .iter()
                .filter(|it| it.verdict == verdict)
                .count()
        };
        let audiences = self
            .tokens
            .into_iter()
            .map(|(token, objects)| AudienceReport {
                audience: token.audience,
                expiration_seconds: token.seconds,
                granted_seconds: token.granted,
                objects,
            });
        let not_judged = not_judged
            .into_iter()
            .map(|((api_version, kind), count)| KindCount {
                api_version,
                kind,
                count,
            });
        Report {
            summary: Summary {
                rejected: count(Verdict::Rejected),
                left_alone: count(Verdict::LeftAlone),
                changed_with_warning: count(Verdict::ChangedWithWarning),
                changed_silently: count(Verdict::ChangedSilently),
                fine: count(Verdict::Fine),
            },
            audiences: audiences.collect(),
            not_judged: not_judged.collect(),
            notes: assumptions(plan, &input).into_iter().chain(notes).collect(),
            unreadable: input.unreadable,
            objects: self.objects,
        }
    }
}

/// What is left of the input when it is planned.
pub struct InputReport {
    skipped: Vec<Source>,
    unreadable: Vec<Unreadable>,
}

impl InputReport {
    pub fn take(input: &mut Input) -> Self {
        Self {
            skipped: std::mem::take(&mut input.skipped),
            unreadable: std::mem::take(&mut input.unreadable),
        }
    }
}

/// What was taken for granted, and what was left out.
fn assumptions(plan: &Plan, input: &InputReport) -> Vec<String> {
    let mut notes = Vec::new();
    let accounts: Vec<_> = plan.unknown_accounts.iter().map(String::as_str).collect();
    if !accounts.is_empty() {
        let listed = list(&accounts);
        notes.push(format!(
            "taken to mount a token, as no ServiceAccount in the input says otherwise: {listed}"
        ));
    }
    if plan.empty_replica_sets > 0 {
        notes.push(format!(
            "left out: {} of 0 replicas",
            plural(plan.empty_replica_sets, "ReplicaSet")
        ));
    }
    if plan.given_requests > 0 {
        notes.push(format!(
            "judged as they are: {}",
            plural(plan.given_requests, "request")
        ));
    }
    let skipped: Vec<_> = input.skipped.iter().map(Source::to_string).collect();
    if !skipped.is_empty() {
        let skipped: Vec<_> = skipped.iter().map(String::as_str).collect();
        notes.push(format!("no Kubernetes objects: {}", list(&skipped)));
    }
    notes
}

/// The first of a long list.
fn list(names: &[&str]) -> String {
    const MOST: usize = 10;
    match names.len() {
        0..=MOST => names.join(", "),
        length => format!("{} and {} more", names[..MOST].join(", "), length - MOST),
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl Report {
    pub fn is_anything_rejected(&self) -> bool {
        self.summary.rejected > 0
    }

    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let counts: Vec<_> = VERDICTS
            .iter()
            .map(|(verdict, name)| format!("{} {name}", self.of(*verdict).count()))
            .collect();
        _ = writeln!(
            out,
            "{}: {}",
            plural(self.objects.len(), "object"),
            counts.join(", ")
        );
        for (verdict, name) in VERDICTS {
            self.write_verdict(&mut out, verdict, name);
        }
        self.write_tokens(&mut out);
        if !self.not_judged.is_empty() {
            let kinds = self.not_judged.iter();
            let kinds: Vec<_> = kinds
                .map(|it| format!("{} {} ({})", it.count, it.kind, it.api_version))
                .collect();
            _ = writeln!(out, "\nnot judged, as no rule is about them:");
            for kind in kinds {
                _ = writeln!(out, "  {kind}");
            }
        }
        if !self.notes.is_empty() {
            _ = writeln!(out, "\nnotes:");
            for note in &self.notes {
                _ = writeln!(out, "  {note}");
            }
        }
        out
    }

    fn of(&self, verdict: Verdict) -> impl Iterator<Item = &ObjectReport> {
        self.objects
            .iter()
            .filter(move |object| object.verdict == verdict)
    }

    fn write_verdict(&self, out: &mut String, verdict: Verdict, name: &str) {
        let mut objects = self.of(verdict).peekable();
        if objects.peek().is_none() {
            return;
        }
        _ = writeln!(out, "\n{name}:");
        for object in objects {
            _ = writeln!(out, "  {}", object.title());
            for rejection in &object.rejections {
                if let Some(subject) = object.rejected_subject(rejection) {
                    _ = writeln!(out, "    {subject}:");
                }
                for line in rejection.message.lines() {
                    _ = writeln!(out, "    {line}");
                }
            }
            object.write_left_alone(out);
            for warning in object
                .warnings
                .iter()
                .filter(|warning| !object.is_told(warning))
            {
                _ = writeln!(out, "    {warning}");
            }
        }
    }

    fn write_tokens(&self, out: &mut String) {
        if self.audiences.is_empty() {
            return;
        }
        let header = ["audience", "seconds", "become", "objects"].map(str::to_owned);
        let rows = self.audiences.iter().map(|it| {
            let audience = it
                .audience
                .as_deref()
                .unwrap_or("(the API server's own)")
                .to_owned();
            let granted = it
                .granted_seconds
                .map_or("-".to_owned(), |seconds| seconds.to_string());
            [
                audience,
                it.expiration_seconds.to_string(),
                granted,
                it.objects.to_string(),
            ]
        });
        let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths = [0, 1, 2, 3].map(width);
        _ = writeln!(out, "\ntokens:");
        for row in &rows {
            let [audience, seconds, granted, objects] = row;
            let [first, second, third, fourth] = widths;
            _ = writeln!(
                out,
                "  {audience:first$}  {seconds:>second$}  {granted:>third$}  {objects:>fourth$}"
            );
        }
    }
}
