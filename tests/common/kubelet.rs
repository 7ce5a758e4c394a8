//! A small model of the kubelet: mode, owner and group of the files in a Pod's volumes, which
//! processes there are, and who of them can read a file. The tables of the tests are what was
//! observed on a node of Kubernetes 1.36, or read in its source; none of the policy's code is used.

#![allow(dead_code, reason = "each user has its part")]

use serde_json::Value;

/// A file as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub volume: String,
    pub path: String,
    pub mode: i64,
    pub user: i64,
    pub group: i64,
    pub kind: Kind,
    /// The mode that the Pod asks for, which the kubelet may replace.
    pub declared: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A projected service-account token.
    Token,
    /// The key of a Pod certificate: the kubelet treats it as it treats a token.
    Certificate,
    /// A cluster trust bundle: the same.
    TrustBundle,
    /// From a Secret, a ConfigMap or the downward API.
    Config,
    /// On a volume that outlives its containers.
    Data,
}

/// Members of a volume that hold nothing which outlives a container and takes an fsGroup. A volume
/// without any other is an emptyDir.
const HARMLESS: [&str; 10] = [
    "name",
    "nfs",
    "hostPath",
    "emptyDir",
    "image",
    "secret",
    "configMap",
    "downwardAPI",
    "projected",
    "gitRepo",
];

/// The highest id in the user namespace of a Pod: the kubelet maps 65536 of them.
pub const LAST_MAPPED_ID: i64 = 65535;

/// The user and group of a process that nobody else is: it has stepped down from root to whatever
/// its program likes.
const STRANGER: i64 = 4_000_000_000;
/// The user of an image that the Pod doesn't replace.
const IMAGE_USER: i64 = 3_000_000_000;

/// All files in the volumes that a container of the Pod mounts; the kubelet never sets up the
/// others, and a raw block device has no files. A Secret or ConfigMap whose keys the Pod doesn't
/// name has one file, called `*`; so has a disk.
pub fn files(spec: &Value) -> Vec<File> {
    // On Windows nobody owns a file as on Linux.
    let is_linux = !is_windows(spec);
    let pod = Owners {
        fs_group: spec["securityContext"]["fsGroup"]
            .as_i64()
            .filter(|_| is_linux),
        common_user: common_user(spec).filter(|_| is_linux),
    };
    let mut files = Vec::new();
    for volume in elements(&spec["volumes"]) {
        let name = volume["name"].as_str().unwrap_or_default();
        if !containers(spec).any(|container| mounts(container, name)) {
            continue;
        }
        for mut file in declared_files(volume) {
            name.clone_into(&mut file.volume);
            files.push(pod.written(file));
        }
    }
    files
}

struct Owners {
    fs_group: Option<i64>,
    common_user: Option<i64>,
}

impl Owners {
    /// The file as the kubelet writes it.
    fn written(&self, mut file: File) -> File {
        if matches!(
            file.kind,
            Kind::Token | Kind::Certificate | Kind::TrustBundle
        ) {
            if self.fs_group.is_some() || self.common_user.is_some() {
                file.mode = 0o600;
            }
            file.user = self.common_user.unwrap_or(0);
        }
        if let Some(group) = self.fs_group {
            file.group = group;
            file.mode |= if file.kind == Kind::Data {
                0o660
            } else {
                0o440
            };
        }
        file
    }
}

/// The user that every container sets, be it by itself or through the Pod. A user that only the
/// image names doesn't count.
pub fn common_user(spec: &Value) -> Option<i64> {
    let users: Vec<_> = containers(spec)
        .map(|container| user(spec, container))
        .collect();
    let first = users.first().copied().flatten()?;
    users
        .iter()
        .all(|user| *user == Some(first))
        .then_some(first)
}

/// Init, ephemeral and other containers.
pub fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| elements(&spec[list]))
}

pub fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The `runAsUser` that a container has.
pub fn user(spec: &Value, container: &Value) -> Option<i64> {
    let own = container["securityContext"]["runAsUser"].as_i64();
    own.or_else(|| spec["securityContext"]["runAsUser"].as_i64())
}

/// True when the container's processes start as root, or may: an image's user isn't known.
pub fn may_run_as_root(spec: &Value, container: &Value) -> bool {
    let own = container["securityContext"]["runAsNonRoot"].as_bool();
    let non_root = own.or_else(|| spec["securityContext"]["runAsNonRoot"].as_bool());
    non_root != Some(true) && user(spec, container).is_none_or(|user| user <= 0)
}

/// True when the runtime leaves the capability SETGID to the container, which it has by default.
pub fn may_change_groups(container: &Value) -> bool {
    let context = &container["securityContext"];
    let lists = |list: &str, names: &[&str]| {
        elements(&context["capabilities"][list])
            .filter_map(Value::as_str)
            .any(|name| {
                let name = name.to_uppercase();
                names.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
            })
    };
    if context["privileged"] == true {
        return true;
    }
    if lists("drop", &["SETGID"]) {
        return false;
    }
    !lists("drop", &["ALL"]) || lists("add", &["SETGID", "ALL"])
}

/// True when the container sees the files of a volume. A raw block device, which `volumeDevices`
/// gives to it, has none that the kubelet knows of.
pub fn mounts(container: &Value, volume: &str) -> bool {
    elements(&container["volumeMounts"]).any(|mount| mount["name"] == volume)
}

/// True when every container may have the group: in a user namespace there are fewer of them, and
/// with one that isn't mapped no container starts.
pub fn has_group(spec: &Value, group: i64) -> bool {
    spec["hostUsers"] != false || group <= LAST_MAPPED_ID
}

/// A process in a container.
pub struct Process {
    user: i64,
    groups: Vec<i64>,
    /// It began as root and gave up its user and all its groups.
    pub stepped_down: bool,
}

/// The processes that there may be in a container, each of which reads what it can.
pub fn processes(spec: &Value, container: &Value) -> Vec<Process> {
    let user = user(spec, container).unwrap_or(IMAGE_USER);
    let mut processes = vec![Process {
        user,
        groups: Vec::from_iter(spec["securityContext"]["fsGroup"].as_i64()),
        stepped_down: false,
    }];
    if may_run_as_root(spec, container) && may_change_groups(container) {
        processes.push(Process {
            user: STRANGER,
            groups: vec![STRANGER],
            stepped_down: true,
        });
    }
    processes
}

impl Process {
    pub fn reads(&self, file: &File) -> bool {
        file.is_readable(self.user, &self.groups)
    }
}

/// True when the Pod runs on Windows, where there is no fsGroup. What says most about the nodes
/// comes first.
pub fn is_windows(spec: &Value) -> bool {
    let by_name = match spec["os"]["name"].as_str() {
        None | Some("") => None,
        Some(name) => Some(name == "windows"),
    };
    by_name
        .or_else(|| selected_windows(&spec["nodeSelector"]))
        .or_else(|| required_windows(&spec["affinity"]))
        .unwrap_or_else(|| {
            let options = |object: &Value| !object["securityContext"]["windowsOptions"].is_null();
            options(spec) || containers(spec).any(options)
        })
}

/// Whether a node selector allows only Windows nodes, or only others.
fn selected_windows(labels: &Value) -> Option<bool> {
    let os = ["kubernetes.io/os", "beta.kubernetes.io/os"]
        .iter()
        .find_map(|label| labels[label].as_str())
        .map(|os| os == "windows");
    os.or_else(|| labels[WINDOWS_BUILD].is_string().then_some(true))
}

/// The label that only Windows nodes have.
const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";

/// The same for a required node affinity: a node has to match one of its terms.
fn required_windows(affinity: &Value) -> Option<bool> {
    let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let mut terms = elements(&required["nodeSelectorTerms"]).map(term_of_windows);
    let first = terms.next()??;
    terms.all(|term| term == Some(first)).then_some(first)
}

/// The same for a term: a node has to match all of its expressions.
fn term_of_windows(term: &Value) -> Option<bool> {
    elements(&term["matchExpressions"]).find_map(|expression| {
        let operator = expression["operator"].as_str().unwrap_or_default();
        let values: Vec<_> = elements(&expression["values"]).collect();
        match expression["key"].as_str().unwrap_or_default() {
            "kubernetes.io/os" if operator == "In" && !values.is_empty() => {
                let windows = values.iter().filter(|value| **value == "windows").count();
                match windows {
                    0 => Some(false),
                    all if all == values.len() => Some(true),
                    _ => None,
                }
            }
            WINDOWS_BUILD if ["In", "Exists"].contains(&operator) => Some(true),
            _ => None,
        }
    })
}

impl File {
    /// Whether a process can read it.
    pub fn is_readable(&self, user: i64, groups: &[i64]) -> bool {
        user == 0 || self.mode & self.class(user, groups) != 0
    }

    fn class(&self, user: i64, groups: &[i64]) -> i64 {
        match () {
            () if user == self.user => 0o400,
            () if groups.contains(&self.group) => 0o040,
            () => 0o004,
        }
    }

    /// As `ls -ln` would put it: `0640 0:65534`.
    pub fn listing(&self) -> String {
        format!("{:04o} {}:{}", self.mode, self.user, self.group)
    }
}

fn file(path: &str, mode: i64, kind: Kind) -> File {
    File {
        volume: String::new(),
        path: path.to_owned(),
        mode,
        user: 0,
        group: 0,
        kind,
        declared: mode,
    }
}

/// The files of a volume, as nothing but the volume has it.
fn declared_files(volume: &Value) -> Vec<File> {
    let mut files = Vec::new();
    for source in ["secret", "configMap", "downwardAPI"] {
        let mode = default_mode(&volume[source]);
        files.extend(config_files(source, &volume[source], mode));
    }
    let projected = &volume["projected"];
    for source in elements(&projected["sources"]) {
        files.extend(projected_files(source, default_mode(projected)));
    }
    if outlives_containers(volume) {
        // A database that keeps its files to itself.
        files.push(File {
            user: 999,
            group: 999,
            ..file("*", 0o600, Kind::Data)
        });
    }
    files
}

/// True when the volume has a source that isn't one of the harmless ones, known or not, and doesn't
/// say that it is read-only.
fn outlives_containers(volume: &Value) -> bool {
    let members = volume.as_object().into_iter().flatten();
    members
        .filter(|(source, value)| !HARMLESS.contains(&source.as_str()) && !value.is_null())
        .any(|(_, value)| value["readOnly"] != true)
}

fn default_mode(source: &Value) -> i64 {
    source["defaultMode"].as_i64().unwrap_or(0o644)
}

fn projected_files(source: &Value, mode: i64) -> Vec<File> {
    let mut files = Vec::new();
    for name in ["secret", "configMap", "downwardAPI"] {
        files.extend(config_files(name, &source[name], mode));
    }
    let single = |name: &str, member: &str, kind| {
        let path = source[name][member].as_str().unwrap_or_default();
        source[name].is_object().then(|| file(path, mode, kind))
    };
    files.extend(single("serviceAccountToken", "path", Kind::Token));
    files.extend(single("clusterTrustBundle", "path", Kind::TrustBundle));
    files.extend(single(
        "podCertificate",
        "credentialBundlePath",
        Kind::Certificate,
    ));
    files
}

fn config_files(source: &str, value: &Value, mode: i64) -> Vec<File> {
    if !value.is_object() {
        return Vec::new();
    }
    let item = |item: &Value| {
        let path = item["path"].as_str().unwrap_or_default();
        file(path, item["mode"].as_i64().unwrap_or(mode), Kind::Config)
    };
    let items: Vec<_> = elements(&value["items"]).map(item).collect();
    let all_keys = items.is_empty() && source != "downwardAPI";
    if all_keys {
        vec![file("*", mode, Kind::Config)]
    } else {
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(mode: i64) -> Value {
        json!({ "name": "own", "projected": { "defaultMode": mode, "sources": [
            { "serviceAccountToken": { "path": "token" } },
        ] } })
    }

    fn users(pod: Option<i64>, containers: &[Option<i64>]) -> Value {
        let containers: Vec<_> = containers
            .iter()
            .map(|user| json!({ "securityContext": { "runAsUser": user } }))
            .collect();
        json!({ "securityContext": { "runAsUser": pod }, "containers": containers })
    }

    fn with_fs_group(mut spec: Value, group: i64) -> Value {
        spec["securityContext"]["fsGroup"] = json!(group);
        spec
    }

    /// The spec with this volume, which its first container mounts.
    fn mounted(mut spec: Value, volume: &Value) -> Value {
        if spec["containers"].is_null() {
            spec["containers"] = json!([{}]);
        }
        let mount = json!({ "name": volume["name"], "mountPath": "/m" });
        spec["containers"][0]["volumeMounts"] = json!([mount]);
        spec["volumes"] = json!([volume]);
        spec
    }

    /// As the volume has it, in modes 0400, 0440 and 0644.
    const UNSET: [&str; 3] = ["0400 0:0", "0440 0:0", "0644 0:0"];
    const OF_ROOT: [&str; 3] = ["0600 0:0"; 3];
    const OF_1000: [&str; 3] = ["0600 1000:0"; 3];

    /// Mode and owner of a token by the containers' users, the fsGroup and the volume's mode.
    #[test]
    fn token_files() {
        let of_each = |users: &[i64]| -> Vec<_> { users.iter().copied().map(Some).collect() };
        let container = |user: Option<i64>| json!([{ "securityContext": { "runAsUser": user } }]);
        let with = |list: &str, user| {
            let mut spec = users(None, &[Some(1000)]);
            spec[list] = container(user);
            spec
        };
        for (name, spec, unset, of_group) in [
            ("root, nothing set", users(None, &[None]), UNSET, "0"),
            ("Pod 0", users(Some(0), &[None]), OF_ROOT, "0"),
            ("Pod 1000", users(Some(1000), &[None]), OF_1000, "1000"),
            ("1000", users(None, &of_each(&[1000])), OF_1000, "1000"),
            ("both", users(None, &of_each(&[1000; 2])), OF_1000, "1000"),
            ("two", users(None, &of_each(&[1000, 2000])), UNSET, "0"),
            ("one unset", users(None, &[Some(1000), None]), UNSET, "0"),
            ("one root", users(Some(1000), &[None, Some(0)]), UNSET, "0"),
            ("init 0", with("initContainers", Some(0)), UNSET, "0"),
            ("debug", with("ephemeralContainers", None), UNSET, "0"),
            (
                "1000 too",
                with("ephemeralContainers", Some(1000)),
                OF_1000,
                "1000",
            ),
        ] {
            for (mode, expected) in [0o400, 0o440, 0o644].into_iter().zip(unset) {
                let spec = mounted(spec.clone(), &token(mode));
                let listing = files(&spec)[0].listing();
                assert_eq!(listing, expected, "{name}, {mode:o}, no fsGroup");
                let listing = files(&with_fs_group(spec, 65534))[0].listing();
                let of_group = format!("0640 {of_group}:65534");
                assert_eq!(listing, of_group, "{name}, {mode:o}, fsGroup");
            }
        }
    }

    /// A process of a container that starts as root and becomes another user with other groups.
    #[test]
    fn processes_that_change_their_user() {
        let unset = users(None, &[None]);
        let pod_root = users(Some(0), &[None]);
        // The process, and whether it reads the token: without fsGroup, with 65534, with 1000, and
        // in a Pod of runAsUser 0.
        for (name, user, group, expected) in [
            ("root itself", 0, 0, [true; 4]),
            ("su user1000", 1000, 1000, [true, false, true, false]),
            ("su postgres", 999, 999, [true, false, false, false]),
            ("su nobody", 65534, 65534, [true, true, false, false]),
        ] {
            let specs = [
                unset.clone(),
                with_fs_group(unset.clone(), 65534),
                with_fs_group(unset.clone(), 1000),
                pod_root.clone(),
            ];
            for (spec, expected) in specs.into_iter().zip(expected) {
                let spec = mounted(spec, &token(0o644));
                let readable = files(&spec)[0].is_readable(user, &[group]);
                assert_eq!(readable, expected, "{name}: {}", spec["securityContext"]);
            }
        }
    }

    /// Which of a container's processes read a token, without and with an fsGroup.
    #[test]
    fn processes_that_read_a_token() {
        let dropped = json!({ "capabilities": { "drop": ["ALL"] } });
        for (name, context, without, with) in [
            ("the image's user", json!({}), "own, stepped down", "own"),
            ("root", json!({ "runAsUser": 0 }), "own", "own"),
            ("1000", json!({ "runAsUser": 1000 }), "own", "own"),
            ("not root", json!({ "runAsNonRoot": true }), "own", "own"),
            ("without SETGID", dropped, "own", "own"),
        ] {
            let spec = json!({ "containers": [{ "securityContext": context }] });
            let spec = mounted(spec, &token(0o644));
            for (spec, expected) in [(spec.clone(), without), (with_fs_group(spec, 7), with)] {
                let file = &files(&spec)[0];
                let readers: Vec<_> = processes(&spec, &spec["containers"][0])
                    .iter()
                    .filter(|process| process.reads(file))
                    .map(|process| {
                        if process.stepped_down {
                            "stepped down"
                        } else {
                            "own"
                        }
                    })
                    .collect();
                assert_eq!(readers.join(", "), expected, "{name}: {}", file.listing());
            }
        }
    }

    /// A volume, and how its files look without and with fsGroup 7.
    fn assert_files(name: &str, source: &str, value: &Value, without: &str, with: &str) {
        let spec = mounted(json!({}), &json!({ "name": "v", source: value }));
        let expected: Vec<_> = files(&spec).iter().map(File::listing).collect();
        assert!(!expected.is_empty(), "{name}");
        assert!(
            expected.iter().all(|it| it == without),
            "{name}: {expected:?}"
        );
        for file in files(&with_fs_group(spec, 7)) {
            assert_eq!(file.listing(), with, "{name}: {}", file.path);
        }
    }

    /// What fsGroup does to the files of volumes without tokens.
    #[test]
    fn files_of_secrets_and_their_like() {
        let item = json!({ "items": [{ "key": "k", "path": "k", "mode": 0o400 }] });
        let of = |mode: i64| json!({ "defaultMode": mode });
        let fields = |mode| json!({ "defaultMode": mode, "items": [{ "path": "n" }] });
        let projected = |mode| {
            json!({ "defaultMode": mode, "sources": [
                { "secret": { "name": "s" } },
                { "configMap": { "items": [{ "key": "k", "path": "k" }] } },
                { "downwardAPI": { "items": [{ "path": "n" }] } },
            ] })
        };
        for (source, value, without, with) in [
            ("secret", json!({}), "0644 0:0", "0644 0:7"),
            ("secret", of(0o400), "0400 0:0", "0440 0:7"),
            ("secret", of(0o600), "0600 0:0", "0640 0:7"),
            ("secret", of(0o440), "0440 0:0", "0440 0:7"),
            ("secret", of(0o444), "0444 0:0", "0444 0:7"),
            ("secret", item, "0400 0:0", "0440 0:7"),
            ("configMap", of(0o555), "0555 0:0", "0555 0:7"),
            ("configMap", json!({}), "0644 0:0", "0644 0:7"),
            ("configMap", of(0o400), "0400 0:0", "0440 0:7"),
            ("downwardAPI", fields(None), "0644 0:0", "0644 0:7"),
            ("downwardAPI", fields(Some(0o400)), "0400 0:0", "0440 0:7"),
            ("projected", projected(0o400), "0400 0:0", "0440 0:7"),
            ("projected", projected(0o600), "0600 0:0", "0640 0:7"),
        ] {
            assert_files(&format!("{source} {value}"), source, &value, without, with);
        }
    }

    #[test]
    fn files_that_outlive_a_container() {
        let writable = json!({ "driver": "x", "readOnly": false });
        for (source, value) in [
            ("persistentVolumeClaim", json!({ "claimName": "c" })),
            ("ephemeral", json!({})),
            ("csi", writable),
            ("flexVolume", json!({})),
            ("volumeSourceOfTomorrow", json!({ "x": 1 })),
        ] {
            assert_files(source, source, &value, "0600 999:999", "0660 999:7");
        }
    }

    #[test]
    fn files_that_the_kubelet_leaves_alone() {
        for (name, volume) in [
            ("no source", json!({})),
            (
                "a source that is null",
                json!({ "persistentVolumeClaim": null }),
            ),
            (
                "null beside a source",
                json!({ "emptyDir": {}, "csi": null }),
            ),
            ("emptyDir", json!({ "emptyDir": {} })),
            ("hostPath", json!({ "hostPath": { "path": "/x" } })),
            ("nfs", json!({ "nfs": { "path": "/x" } })),
            ("gitRepo", json!({ "gitRepo": { "repository": "x" } })),
            ("image", json!({ "image": { "reference": "x" } })),
            (
                "a read-only claim",
                json!({ "persistentVolumeClaim": { "readOnly": true } }),
            ),
            (
                "a read-only CSI volume",
                json!({ "csi": { "driver": "x", "readOnly": true } }),
            ),
            (
                "a read-only source of tomorrow",
                json!({ "later": { "readOnly": true } }),
            ),
            ("downwardAPI without files", json!({ "downwardAPI": {} })),
        ] {
            let mut volume = volume;
            volume["name"] = json!("v");
            assert_eq!(files(&mounted(json!({}), &volume)), [], "{name}");
        }
    }

    #[test]
    fn volumes_that_no_container_mounts_have_no_files() {
        let mount = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/m" }] });
        let other = json!({ "volumeMounts": [{ "name": "w", "mountPath": "/m" }] });
        let device = json!({ "volumeDevices": [{ "name": "v", "devicePath": "/dev/v" }] });
        for (name, containers, expected) in [
            ("a mount", json!({ "containers": [mount] }), 1),
            (
                "of an init container",
                json!({ "initContainers": [mount] }),
                1,
            ),
            (
                "of an ephemeral container",
                json!({ "ephemeralContainers": [mount] }),
                1,
            ),
            ("a raw block device", json!({ "containers": [device] }), 0),
            (
                "another volume's mount",
                json!({ "containers": [other] }),
                0,
            ),
            ("no container", json!({}), 0),
        ] {
            let mut spec = containers;
            spec["volumes"] =
                json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }]);
            assert_eq!(files(&spec).len(), expected, "{name}");
        }
    }

    #[test]
    fn groups_in_a_user_namespace() {
        for (name, spec, group, expected) in [
            ("the host's users", json!({}), 1_000_000_000, true),
            ("said so", json!({ "hostUsers": true }), 1_000_000_000, true),
            ("a namespace", json!({ "hostUsers": false }), 65535, true),
            (
                "a group that isn't mapped",
                json!({ "hostUsers": false }),
                65536,
                false,
            ),
        ] {
            assert_eq!(has_group(&spec, group), expected, "{name}");
        }
    }

    const OS: &str = "kubernetes.io/os";

    /// Whether the Pod runs on Windows; and never if it says another system first.
    fn assert_windows(name: &str, spec: &Value, expected: bool) {
        assert_eq!(is_windows(spec), expected, "{name}: {spec}");
        let mut linux = spec.clone();
        linux["os"] = json!({ "name": "linux" });
        assert!(!is_windows(&linux), "{name}, but for Linux: {spec}");
    }

    #[test]
    fn pods_that_run_on_windows() {
        let selector = |key: &str, value: &str| json!({ "nodeSelector": { key: value } });
        let options = json!({ "securityContext": { "windowsOptions": {} } });
        let mut with_linux = options.clone();
        with_linux["nodeSelector"] = json!({ OS: "linux" });
        for (name, spec, expected) in [
            ("nothing", json!({}), false),
            ("spec.os", json!({ "os": { "name": "windows" } }), true),
            ("another os", json!({ "os": { "name": "linux" } }), false),
            ("a node selector", selector(OS, "windows"), true),
            ("of Linux", selector(OS, "linux"), false),
            ("a build", selector(WINDOWS_BUILD, "10.0.20348"), true),
            ("the Pod's options", options.clone(), true),
            ("of a container", json!({ "containers": [options] }), true),
            ("on Linux", with_linux, false),
        ] {
            assert_windows(name, &spec, expected);
        }
    }

    /// An expression of a node affinity.
    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "key": key, "operator": operator, "values": values })
    }

    #[test]
    fn pods_that_a_node_affinity_puts_on_windows() {
        let windows = || expression(OS, "In", &["windows"]);
        let linux = || expression(OS, "In", &["linux"]);
        let either = expression(OS, "In", &["windows", "linux"]);
        let not_linux = expression(OS, "NotIn", &["linux"]);
        let zone = || expression("topology.kubernetes.io/zone", "In", &["a"]);
        let build = || expression(WINDOWS_BUILD, "In", &["10.0.20348"]);
        let is_built = expression(WINDOWS_BUILD, "Exists", &[]);
        let no_build = expression(WINDOWS_BUILD, "DoesNotExist", &[]);
        for (name, terms, expected) in [
            ("no term", vec![], false),
            ("the system", vec![vec![windows()]], true),
            ("another one", vec![vec![linux()]], false),
            ("either", vec![vec![either]], false),
            (
                "not Linux, which may be neither",
                vec![vec![not_linux]],
                false,
            ),
            ("a build", vec![vec![build()]], true),
            ("any build", vec![vec![is_built]], true),
            ("no build", vec![vec![no_build]], false),
            ("the zone, too", vec![vec![zone(), windows()]], true),
            (
                "each term",
                vec![vec![windows()], vec![zone(), build()]],
                true,
            ),
            ("one term", vec![vec![windows()], vec![zone()]], false),
            ("one of Linux", vec![vec![linux()], vec![windows()]], false),
        ] {
            let term = |expressions| json!({ "matchExpressions": expressions });
            let terms: Vec<_> = terms.into_iter().map(term).collect();
            let spec = json!({ "affinity": { "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
            } } });
            assert_windows(name, &spec, expected);
        }
    }

    #[test]
    fn containers_that_may_change_their_groups() {
        let drop = |names: &[&str]| json!({ "capabilities": { "drop": names } });
        let both =
            |add: &[&str], drop: &[&str]| json!({ "capabilities": { "add": add, "drop": drop } });
        let privileged = json!({ "privileged": true, "capabilities": { "drop": ["ALL"] } });
        for (name, context, expected) in [
            ("nothing set", json!({}), true),
            ("SETGID dropped", drop(&["SETGID"]), false),
            ("CAP_SETGID dropped", drop(&["CAP_SETGID"]), false),
            ("setgid dropped", drop(&["setgid"]), false),
            ("ALL dropped", drop(&["ALL"]), false),
            ("another one dropped", drop(&["SETUID"]), true),
            (
                "ALL dropped, SETGID added",
                both(&["SETGID"], &["ALL"]),
                true,
            ),
            (
                "ALL dropped, another one added",
                both(&["NET_BIND_SERVICE"], &["ALL"]),
                false,
            ),
            (
                "SETGID dropped, ALL added",
                both(&["ALL"], &["SETGID"]),
                false,
            ),
            ("privileged", privileged, true),
        ] {
            let container = json!({ "securityContext": context });
            assert_eq!(may_change_groups(&container), expected, "{name}");
        }
    }
}
