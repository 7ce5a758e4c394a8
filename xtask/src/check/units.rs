//! What is judged: each object by itself, a workload with the Pods that it makes, the Pods of a
//! workload that isn't there together.

use super::cluster_defaults::{
    admit, asks_its_account, is_token_volume, service_account, set_defaults,
};
use super::input::Input;
use super::live::{Original, as_created, controller, without_fs_group};
use super::objects::{Judged, Object, POD, Source, descend_mut, elements};
use super::owners::{Key, Root, Roots, is_empty_replica_set};
use super::policies::{Namespaces, namespace_labels};
use super::tokens::{self, Token};
use super::workloads::{self, author, controller_user};
use crate::admission::{AdmissionRequest, UserInfo};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What counts once.
#[derive(Default)]
pub struct Unit {
    pub namespace: String,
    pub kind: String,
    pub name: String,
    pub sources: Vec<Source>,
    /// How many of its Pods are in the input.
    pub pods: usize,
    pub requests: Vec<Planned>,
    /// Tokens that only its running Pods have.
    pub injected: Vec<Token>,
}

/// A request that a cluster would get.
pub struct Planned {
    pub request: AdmissionRequest,
    /// True for one that was in the input.
    is_given: bool,
    /// True for the Pod of a workload that is in the input.
    pub is_made: bool,
    /// The Pod without its fsGroup, where an earlier mutation may have set it.
    pub without_fs_group: Option<Value>,
}

/// All that is judged, and what isn't.
#[derive(Default)]
pub struct Plan {
    pub units: Vec<Unit>,
    pub namespaces: Namespaces,
    /// By namespace and name: what a look-up is told.
    pub secrets: BTreeMap<(String, String), Value>,
    /// How many objects of other kinds there are, by apiVersion and kind.
    pub other_kinds: BTreeMap<(String, String), usize>,
    /// ReplicaSets of 0 replicas.
    pub empty_replica_sets: usize,
    /// Accounts that aren't in the input, and that a Pod asks whether it mounts a token.
    pub unknown_accounts: BTreeSet<String>,
    /// Requests that are judged as they are.
    pub given_requests: usize,
    automounts: BTreeMap<(String, String), bool>,
    default_namespace: String,
}

impl Plan {
    pub fn new(input: Input, default_namespace: &str) -> Self {
        let mut plan = Self {
            default_namespace: default_namespace.to_owned(),
            ..Self::default()
        };
        for object in &input.objects {
            plan.learn(object);
        }
        let mut judged = Vec::new();
        for object in input.objects {
            if let Some(kind) = object.judged() {
                judged.push((object, kind));
            } else {
                let key = (object.api_version().to_owned(), object.kind().to_owned());
                *plan.other_kinds.entry(key).or_default() += 1;
            }
        }
        plan.add_objects(judged);
        for (source, request) in input.requests {
            let unit = plan.given(source, request);
            plan.units.push(unit);
        }
        plan.units.sort_by(|a, b| a.order().cmp(&b.order()));
        plan
    }

    /// Puts together what counts once.
    fn add_objects(&mut self, objects: Vec<(Object, &'static Judged)>) {
        let roots = Roots::new(&objects, &self.default_namespace);
        let mut groups: BTreeMap<Key, usize> = BTreeMap::new();
        let mut running_pods = Vec::new();
        for (object, kind) in objects {
            let namespace = object.namespace(&self.default_namespace).to_owned();
            if is_empty_replica_set(&object) {
                self.empty_replica_sets += 1;
                continue;
            }
            match roots.of(&object, &namespace) {
                Root::Itself => {
                    let unit = self.unit(object, kind, &namespace);
                    groups.insert(unit.key(), self.units.len());
                    self.units.push(unit);
                }
                // A workload whose own workload is in the input adds nothing.
                Root::InInput(_) if kind != &POD => {}
                Root::InInput(key) => running_pods.push((key, object)),
                Root::Elsewhere(key) => self.add_to_group(&mut groups, key, object, kind),
            }
        }
        for (key, pod) in running_pods {
            if let Some(index) = groups.get(&key) {
                self.units[*index].add_running_pod(&pod);
            }
        }
    }

    /// Takes from an object what judging others needs.
    fn learn(&mut self, object: &Object) {
        let namespace = object.namespace(&self.default_namespace).to_owned();
        let key = (namespace, object.name().to_owned());
        match (object.api_version(), object.kind()) {
            ("v1", "ServiceAccount") => {
                let setting = object.value.get("automountServiceAccountToken");
                let automounts = setting.and_then(Value::as_bool).unwrap_or(true);
                self.automounts.insert(key, automounts);
            }
            ("v1", "Namespace") => {
                self.namespaces
                    .insert(key.1, namespace_labels(&object.value));
            }
            ("v1", "Secret") => {
                self.secrets.insert(key, without_data(&object.value));
            }
            _ => {}
        }
    }

    /// An object by itself, with the Pod that it would make.
    fn unit(&mut self, object: Object, judged: &'static Judged, namespace: &str) -> Unit {
        let unit = Unit {
            namespace: if judged.is_namespaced {
                namespace.to_owned()
            } else {
                String::new()
            },
            kind: judged.resource.kind.to_owned(),
            name: object.shown_name(),
            sources: vec![object.source.clone()],
            ..Unit::default()
        };
        let original = as_created(object);
        let requests = match judged.template {
            _ if judged == &POD => vec![self.plan_own_pod(original, namespace)],
            [] => vec![plan_object(original.object.value, judged, namespace)],
            template => self.plan_workload(original.object, judged, template, namespace),
        };
        Unit { requests, ..unit }
    }

    /// A Pod that is in the input.
    fn plan_own_pod(&mut self, original: Original, namespace: &str) -> Planned {
        let pod = original.object.value;
        let user = match controller(&pod) {
            Some(owner) => controller_user(owner["kind"].as_str().unwrap_or_default()),
            None => author(),
        };
        let planned = self.plan_pod(pod, namespace, &user);
        let without_fs_group = planned.request.object.as_ref().and_then(without_fs_group);
        Planned {
            without_fs_group: without_fs_group.filter(|_| original.is_lowered),
            ..planned
        }
    }

    /// A workload, and its Pod.
    fn plan_workload(
        &mut self,
        mut workload: Object,
        judged: &Judged,
        template: &[&str],
        namespace: &str,
    ) -> Vec<Planned> {
        let made = workloads::pod(&workload, template, namespace);
        if let Some(spec) = descend_mut(&mut workload.value, &[template, &["spec"]].concat()) {
            set_defaults(spec);
        }
        let mut requests = vec![plan_object(workload.value, judged, namespace)];
        if let Some(pod) = made {
            let planned = self.plan_pod(pod, namespace, &controller_user(judged.resource.kind));
            requests.push(Planned {
                is_made: true,
                ..planned
            });
        }
        requests
    }

    /// A request that came as one. One from an API server is judged as it is; a Pod without that
    /// one's defaults isn't from there, as `kwctl scaffold` makes them, and gets what an API server adds.
    fn given(&mut self, source: Source, request: AdmissionRequest) -> Unit {
        let namespace = request.namespace.clone().unwrap_or_default();
        let object = Object {
            source,
            value: request.object.clone().unwrap_or_default(),
        };
        let unit = Unit {
            namespace: namespace.clone(),
            kind: request.kind.kind.clone(),
            name: request_name(&request, &object),
            sources: vec![object.source.clone()],
            ..Unit::default()
        };
        if is_new_pod(&request) && object.value.pointer("/spec/schedulerName").is_none() {
            let completed = self
                .plan_pod(object.value, &namespace, &author())
                .request
                .object;
            let request = AdmissionRequest {
                object: completed,
                ..request
            };
            return Unit {
                requests: vec![Planned::new(request)],
                ..unit
            };
        }
        self.given_requests += 1;
        let template = template_of(&request, &object);
        let made = template.and_then(|template| workloads::pod(&object, template, &namespace));
        let mut requests = vec![Planned {
            is_given: true,
            ..Planned::new(request)
        }];
        if let Some(pod) = made {
            let planned = self.plan_pod(pod, &namespace, &controller_user(&unit.kind));
            requests.push(Planned {
                is_made: true,
                ..planned
            });
        }
        Unit { requests, ..unit }
    }

    /// The request for a Pod, with what an API server adds before it asks a webhook.
    fn plan_pod(&mut self, mut pod: Value, namespace: &str, user: &UserInfo) -> Planned {
        if let Some(spec) = descend_mut(&mut pod, &["spec"]) {
            set_defaults(spec);
        }
        let account = (namespace.to_owned(), service_account(&pod).to_owned());
        let automounts = self.automounts.get(&account).copied();
        if automounts.is_none() && asks_its_account(&pod) {
            self.unknown_accounts
                .insert(format!("{}/{}", account.0, account.1));
        }
        admit(&mut pod, automounts.unwrap_or(true));
        Planned::new(AdmissionRequest::create(
            &POD.resource,
            Some(namespace),
            user,
            pod,
        ))
    }

    /// A Pod, or a workload, whose own workload isn't in the input.
    fn add_to_group(
        &mut self,
        groups: &mut BTreeMap<Key, usize>,
        key: Key,
        object: Object,
        judged: &'static Judged,
    ) {
        let source = object.source.clone();
        let mut unit = self.unit(object, judged, &key.0);
        let is_pod = judged == &POD;
        let index = *groups.entry(key.clone()).or_insert_with(|| {
            let (namespace, kind, name) = key;
            let unit = Unit {
                namespace,
                kind,
                name,
                ..Unit::default()
            };
            self.units.push(unit);
            self.units.len() - 1
        });
        let group = &mut self.units[index];
        group.sources.push(source);
        group.requests.append(&mut unit.requests);
        group.pods += usize::from(is_pod);
    }
}

/// True for a subresource, such as a Pod's ephemeral containers.
fn is_part(request: &AdmissionRequest) -> bool {
    request
        .sub_resource
        .as_deref()
        .is_some_and(|name| !name.is_empty())
}

fn is_new_pod(request: &AdmissionRequest) -> bool {
    request.kind.kind == "Pod" && request.operation == "CREATE" && !is_part(request)
}

/// The name of what a request is about, with what is done to it, if it isn't created.
fn request_name(request: &AdmissionRequest, object: &Object) -> String {
    let name = match request.name.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => object.shown_name(),
    };
    match (&*request.operation, request.sub_resource.as_deref()) {
        ("CREATE", _) => name,
        (operation, None | Some("")) => format!("{name} ({operation})"),
        (operation, Some(part)) => format!("{name} ({operation} {part})"),
    }
}

/// The fields that lead to the template of the Pods that the object of a request makes.
fn template_of(request: &AdmissionRequest, object: &Object) -> Option<&'static [&'static str]> {
    let judged = object
        .judged()
        .filter(|it| it.resource.kind == request.kind.kind)?;
    (!judged.template.is_empty() && !is_part(request)).then_some(judged.template)
}

/// The request for an object that isn't a Pod.
fn plan_object(value: Value, judged: &Judged, namespace: &str) -> Planned {
    let namespace = judged.is_namespaced.then_some(namespace);
    Planned::new(AdmissionRequest::create(
        &judged.resource,
        namespace,
        &author(),
        value,
    ))
}

impl Planned {
    fn new(request: AdmissionRequest) -> Self {
        Self {
            request,
            is_given: false,
            is_made: false,
            without_fs_group: None,
        }
    }

    /// What an API server would add, and was added.
    fn added(&self) -> &'static str {
        let object = self.request.object.as_ref().unwrap_or(&Value::Null);
        let mut volumes = elements(&object["spec"], "volumes");
        match (
            volumes.any(is_token_volume),
            object.pointer("/spec/restartPolicy"),
        ) {
            (true, _) => ", with the defaults and the token that an API server adds",
            (false, Some(_)) => ", with the defaults that an API server adds",
            (false, None) => "",
        }
    }
}

impl Unit {
    /// Its requests, with what was made of which document.
    pub fn described(self) -> Vec<(Option<String>, AdmissionRequest)> {
        let Self {
            kind,
            name,
            sources,
            requests,
            ..
        } = self;
        let source = sources.first().map(Source::to_string).unwrap_or_default();
        let describe = |planned: Planned| {
            if planned.is_given {
                return (None, planned.request);
            }
            let subject = format!("{kind} {name}");
            let subject = if planned.is_made {
                format!("the Pod that {subject} would make")
            } else {
                subject
            };
            let added = planned.added();
            (Some(format!("{source}: {subject}{added}")), planned.request)
        };
        requests.into_iter().map(describe).collect()
    }

    fn key(&self) -> Key {
        (self.namespace.clone(), self.kind.clone(), self.name.clone())
    }

    fn order(&self) -> (&str, &str, &str, Option<&Source>) {
        (
            &self.namespace,
            &self.kind,
            &self.name,
            self.sources.first(),
        )
    }

    fn add_running_pod(&mut self, pod: &Object) {
        self.pods += 1;
        let made = self.requests.iter().filter(|planned| planned.is_made);
        let known: Vec<_> = made
            .flat_map(|planned| tokens::of(&planned.request, None))
            .collect();
        self.injected.extend(tokens::injected(&pod.value, &known));
    }
}

/// What a policy may ask of a Secret.
fn without_data(secret: &Value) -> Value {
    let mut secret = secret.clone();
    if let Some(fields) = secret.as_object_mut() {
        fields.retain(|field, _| ["apiVersion", "kind", "metadata", "type"].contains(&&**field));
        fields.entry("type").or_insert_with(|| "Opaque".into());
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::super::cluster_defaults::TOKEN_VOLUME;
    use super::super::objects::elements_mut;
    use super::*;
    use serde_json::json;
    use std::path::{Path, PathBuf};

    fn input(values: Vec<Value>) -> Input {
        let objects = values.into_iter().enumerate().map(|(index, value)| {
            let source = Source {
                file: "f".to_owned(),
                document: index + 1,
                item: None,
            };
            Object { source, value }
        });
        Input {
            objects: objects.collect(),
            ..Input::default()
        }
    }

    /// What is judged of an input: namespace, kind, name, Pods in the input, requests.
    fn planned(values: Vec<Value>) -> (Vec<String>, Plan) {
        let plan = Plan::new(input(values), "default");
        let units = plan.units.iter().map(|unit| {
            let Unit {
                namespace,
                kind,
                name,
                pods,
                requests,
                ..
            } = unit;
            format!("{namespace} {kind}/{name} {pods} {}", requests.len())
        });
        (units.collect(), plan)
    }

    fn object(api_version: &str, kind: &str, name: &str) -> Value {
        let spec = json!({ "template": { "spec": { "containers": [{ "name": "a" }] } } });
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec })
    }

    fn owned(mut object: Value, kind: &str, name: &str) -> Value {
        object["metadata"]["ownerReferences"] =
            json!([{ "kind": kind, "name": name, "controller": true }]);
        object["metadata"]["uid"] = json!("1");
        object
    }

    fn pod(name: &str) -> Value {
        let mut pod = object("v1", "Pod", name);
        pod["spec"] = json!({ "containers": [{ "name": "a" }] });
        pod
    }

    /// A Pod of a Deployment's ReplicaSet.
    fn web_pod(name: &str) -> Value {
        let mut pod = owned(pod(name), "ReplicaSet", "web-7d9c8b5f6d");
        pod["metadata"]["labels"] = json!({ "pod-template-hash": "7d9c8b5f6d" });
        pod
    }

    #[test]
    fn a_workload_counts_once() {
        let deployment = || object("apps/v1", "Deployment", "web");
        let set = |replicas: i64| {
            let mut set = owned(
                object("apps/v1", "ReplicaSet", "web-7d9c8b5f6d"),
                "Deployment",
                "web",
            );
            set["spec"]["replicas"] = json!(replicas);
            set
        };
        let orphan = |replicas: i64| {
            let mut set = set(replicas);
            set["metadata"]["ownerReferences"] = json!([]);
            set
        };
        let mut other_namespace = web_pod("b");
        other_namespace["metadata"]["namespace"] = json!("other");
        let job_pod = || owned(pod("a"), "Job", "report-29400000");
        let mut cron_job = object("batch/v1", "CronJob", "report");
        cron_job["spec"] = json!({ "jobTemplate": { "spec": cron_job["spec"] } });
        for (name, values, expected) in [
            ("a Pod", vec![pod("a")], vec!["default Pod/a 0 1"]),
            (
                "a Deployment",
                vec![deployment()],
                vec!["default Deployment/web 0 2"],
            ),
            (
                "with all that it made",
                vec![web_pod("a"), web_pod("b"), set(2), deployment()],
                vec!["default Deployment/web 2 2"],
            ),
            (
                "with its Pods only",
                vec![deployment(), web_pod("a")],
                vec!["default Deployment/web 1 2"],
            ),
            (
                "its Pods only",
                vec![web_pod("a"), web_pod("b"), other_namespace],
                vec!["default Deployment/web 2 2", "other Deployment/web 1 1"],
            ),
            (
                "a ReplicaSet of 0 replicas",
                vec![set(0), orphan(0)],
                vec![],
            ),
            (
                "a ReplicaSet of nobody, with a Pod",
                vec![web_pod("a"), orphan(1)],
                vec!["default ReplicaSet/web-7d9c8b5f6d 1 2"],
            ),
            (
                "a CronJob with a Pod",
                vec![job_pod(), cron_job],
                vec!["default CronJob/report 1 2"],
            ),
            (
                "a Job's Pod",
                vec![job_pod()],
                vec!["default Job/report-29400000 1 1"],
            ),
            (
                "a Node's Pods are no workload",
                vec![owned(pod("a"), "Node", "n"), owned(pod("b"), "Node", "n")],
                vec!["default Pod/a 0 1", "default Pod/b 0 1"],
            ),
            (
                "a custom workload's Pods",
                vec![
                    owned(pod("a"), "Workflow", "w"),
                    owned(pod("b"), "Workflow", "w"),
                ],
                vec!["default Workflow/w 2 2"],
            ),
            (
                "its own owner",
                vec![owned(
                    object("apps/v1", "ReplicaSet", "r"),
                    "ReplicaSet",
                    "r",
                )],
                vec!["default ReplicaSet/r 0 2"],
            ),
        ] {
            assert_eq!(planned(values).0, expected, "{name}");
        }
    }

    #[test]
    fn what_no_rule_is_about_is_counted() {
        let (units, plan) = planned(vec![
            object("v1", "ConfigMap", "a"),
            object("v1", "ConfigMap", "b"),
            object("extensions/v1beta1", "Deployment", "old"),
            object("v1", "Secret", "s"),
            object("storage.k8s.io/v1", "CSIDriver", "d"),
        ]);
        assert_eq!(units, [" CSIDriver/d 0 1", "default Secret/s 0 1"]);
        let kinds: Vec<_> = plan
            .other_kinds
            .iter()
            .map(|((_, kind), it)| (&**kind, *it))
            .collect();
        assert_eq!(kinds, [("Deployment", 1), ("ConfigMap", 2)]);
        assert_eq!(plan.units[0].requests[0].request.namespace, None);
    }

    #[test]
    fn an_account_of_the_input_says_whether_it_automounts() {
        for (automounts, volumes, unknown) in [
            (None, 1, 1),
            (Some(json!(true)), 1, 0),
            (Some(json!(false)), 0, 0),
        ] {
            let mut values = vec![pod("a")];
            if let Some(automounts) = &automounts {
                let mut account = object("v1", "ServiceAccount", "default");
                account["automountServiceAccountToken"] = automounts.clone();
                values.push(account);
            }
            let (_, plan) = planned(values);
            let pod = plan.units[0].requests[0].request.object.as_ref().unwrap();
            assert_eq!(
                elements(&pod["spec"], "volumes").count(),
                volumes,
                "{automounts:?}"
            );
            assert_eq!(plan.unknown_accounts.len(), unknown, "{automounts:?}");
        }
    }

    #[test]
    fn a_request_is_never_that_of_the_audit_scanner() {
        let mut pod = pod("a");
        pod["metadata"]["uid"] = json!("1");
        let (_, plan) = planned(vec![pod, object("apps/v1", "Deployment", "web")]);
        for request in plan.units.iter().flat_map(|unit| &unit.requests) {
            let request = &request.request;
            assert!(
                request.user_info["username"]
                    .as_str()
                    .is_some_and(|name| !name.is_empty())
            );
            assert_eq!(
                request.object.as_ref().unwrap().pointer("/metadata/uid"),
                None
            );
        }
    }

    /// The captured workloads, each with the Pod that a real API server made of its template.
    fn captured() -> Vec<(String, Value, Value)> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/requests");
        let folders = std::fs::read_dir(data).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        let object = |path: &Path| -> Value {
            let review = std::fs::read_to_string(path).unwrap();
            serde_json::from_str::<Value>(&review).unwrap()["request"]["object"].take()
        };
        let pods = files.iter().filter_map(|path| {
            let name = path.to_str()?.strip_suffix(".pod.json")?;
            let workload = PathBuf::from(format!("{name}.json"));
            workload
                .exists()
                .then(|| (name.to_owned(), object(&workload), object(path)))
        });
        pods.collect()
    }

    /// A Pod's spec without what other plugins add, that no rule reads, and without what a template
    /// alone doesn't give: a StatefulSet's claims, a DaemonSet's node.
    fn comparable(pod: &Value, kind: &str, claims: &[&str]) -> Value {
        let mut spec = pod["spec"].clone();
        for field in [
            "tolerations",
            "priority",
            "preemptionPolicy",
            "enableServiceLinks",
        ] {
            spec.as_object_mut().unwrap().remove(field);
        }
        if kind == "DaemonSet" {
            spec.as_object_mut().unwrap().remove("affinity");
        }
        for field in ["initContainers", "containers"] {
            for container in elements_mut(spec.as_object_mut().unwrap(), field) {
                // Their defaults in a Pod are others than in a template.
                container.retain(|field, _| !["resources", "ports"].contains(&&**field));
            }
        }
        if let Some(volumes) = spec["volumes"].as_array_mut() {
            volumes.retain(|volume| !claims.contains(&volume["name"].as_str().unwrap()));
        }
        let random = elements(&spec, "volumes")
            .filter_map(|volume| volume["name"].as_str())
            .find(|name| name.starts_with(TOKEN_VOLUME))
            .map(str::to_owned);
        let text = spec.to_string();
        match random {
            Some(name) => serde_json::from_str(&text.replace(&name, TOKEN_VOLUME)).unwrap(),
            None => spec,
        }
    }

    #[test]
    fn a_workloads_pod_is_the_one_that_an_api_server_shows() {
        let captured = captured();
        assert!(captured.len() >= 10, "{} workloads", captured.len());
        for (name, workload, expected) in captured {
            let claims: Vec<_> = elements(&workload["spec"], "volumeClaimTemplates")
                .map(|claim| claim["metadata"]["name"].as_str().unwrap().to_owned())
                .collect();
            let claims: Vec<_> = claims.iter().map(String::as_str).collect();
            let kind = workload["kind"].as_str().unwrap().to_owned();
            let (_, plan) = planned(vec![workload]);
            let made = plan.units[0].requests[1].request.object.as_ref().unwrap();
            let made = comparable(made, &kind, &claims);
            let expected = comparable(&expected, &kind, &claims);
            assert_eq!(made, expected, "{name}");
        }
    }
}
