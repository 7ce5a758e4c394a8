//! A small model of the kubelet: mode, owner and group of the files in a Pod's volumes, and who
//! can read them. The tables of the tests are what was observed on a node of Kubernetes 1.36; none
//! of the policy's code is used.

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

/// Files of volumes that the kubelet hands over to fsGroup as a whole, unless they are read-only.
const DISKS: [&str; 21] = [
    "persistentVolumeClaim",
    "csi",
    "ephemeral",
    "flexVolume",
    "fc",
    "iscsi",
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// All files in the volumes of a Pod. A Secret or ConfigMap whose keys the Pod doesn't name has
/// one file, called `*`; so has a disk.
pub fn files(spec: &Value) -> Vec<File> {
    let pod = PodUsers {
        fs_group: spec["securityContext"]["fsGroup"].as_i64(),
        common_user: common_user(spec),
    };
    let mut files = Vec::new();
    for volume in elements(&spec["volumes"]) {
        for mut file in declared_files(volume) {
            volume["name"].as_str().unwrap_or_default().clone_into(&mut file.volume);
            files.push(pod.written(file));
        }
    }
    files
}

struct PodUsers {
    fs_group: Option<i64>,
    common_user: Option<i64>,
}

impl PodUsers {
    /// The file as the kubelet writes it.
    fn written(&self, mut file: File) -> File {
        if matches!(file.kind, Kind::Token | Kind::Certificate | Kind::TrustBundle) {
            if self.fs_group.is_some() || self.common_user.is_some() {
                file.mode = 0o600;
            }
            file.user = self.common_user.unwrap_or(0);
        }
        if let Some(group) = self.fs_group {
            file.group = group;
            file.mode |= if file.kind == Kind::Data { 0o660 } else { 0o440 };
        }
        file
    }
}

/// The user that every container sets, be it by itself or through the Pod. A user that only the
/// image names doesn't count.
pub fn common_user(spec: &Value) -> Option<i64> {
    let users: Vec<_> = containers(spec).map(|container| user(spec, container)).collect();
    let first = users.first().copied().flatten()?;
    users.iter().all(|user| *user == Some(first)).then_some(first)
}

/// Init, ephemeral and other containers.
pub fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| elements(&spec[list]))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
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
        elements(&context["capabilities"][list]).filter_map(Value::as_str).any(|name| {
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

/// True when the container mounts the volume.
pub fn mounts(container: &Value, volume: &str) -> bool {
    elements(&container["volumeMounts"]).any(|mount| mount["name"] == volume)
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
    let (volume, path) = (String::new(), path.to_owned());
    File { volume, path, mode, user: 0, group: 0, kind, declared: mode }
}

/// The files of a volume, as nothing but the volume has it.
fn declared_files(volume: &Value) -> Vec<File> {
    let mut files = Vec::new();
    for source in ["secret", "configMap", "downwardAPI"] {
        files.extend(config_files(source, &volume[source], default_mode(&volume[source])));
    }
    let projected = &volume["projected"];
    for source in elements(&projected["sources"]) {
        files.extend(projected_files(source, default_mode(projected)));
    }
    let is_writable = |disk: &&str| volume[disk].is_object() && volume[disk]["readOnly"] != true;
    if DISKS.iter().any(is_writable) {
        // A database that keeps its files to itself.
        files.push(File { user: 999, group: 999, ..file("*", 0o600, Kind::Data) });
    }
    files
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
    files.extend(single("podCertificate", "credentialBundlePath", Kind::Certificate));
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
    if all_keys { vec![file("*", mode, Kind::Config)] } else { items }
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

    /// Mode and owner of a token by the containers' users, the fsGroup and the volume's mode.
    #[test]
    fn token_files() {
        let root = users(None, &[None]);
        let pod_root = users(Some(0), &[None]);
        let pod_1000 = users(Some(1000), &[None]);
        let container_1000 = users(None, &[Some(1000)]);
        let both_1000 = users(None, &[Some(1000), Some(1000)]);
        let two_users = users(None, &[Some(1000), Some(2000)]);
        let one_unset = users(None, &[Some(1000), None]);
        let one_root = users(Some(1000), &[None, Some(0)]);
        let mut init_root = users(None, &[Some(1000)]);
        init_root["initContainers"] = json!([{ "securityContext": { "runAsUser": 0 } }]);
        let mut with_ephemeral = users(None, &[Some(1000)]);
        with_ephemeral["ephemeralContainers"] = json!([{}]);
        for (name, spec, unset, of_group) in [
            ("root, nothing set", root, ["0400 0:0", "0440 0:0", "0644 0:0"], "0640 0:65534"),
            ("Pod runAsUser 0", pod_root, ["0600 0:0"; 3], "0640 0:65534"),
            ("Pod runAsUser 1000", pod_1000, ["0600 1000:0"; 3], "0640 1000:65534"),
            ("container runAsUser 1000", container_1000, ["0600 1000:0"; 3], "0640 1000:65534"),
            ("both containers 1000", both_1000, ["0600 1000:0"; 3], "0640 1000:65534"),
            ("1000 and 2000", two_users, ["0400 0:0", "0440 0:0", "0644 0:0"], "0640 0:65534"),
            ("1000 and unset", one_unset, ["0400 0:0", "0440 0:0", "0644 0:0"], "0640 0:65534"),
            ("Pod 1000, one 0", one_root, ["0400 0:0", "0440 0:0", "0644 0:0"], "0640 0:65534"),
            ("1000, init 0", init_root, ["0400 0:0", "0440 0:0", "0644 0:0"], "0640 0:65534"),
            (
                "1000, ephemeral unset",
                with_ephemeral,
                ["0400 0:0", "0440 0:0", "0644 0:0"],
                "0640 0:65534",
            ),
        ] {
            for (mode, expected) in [0o400, 0o440, 0o644].into_iter().zip(unset) {
                let mut spec = spec.clone();
                spec["volumes"] = json!([token(mode)]);
                assert_eq!(files(&spec)[0].listing(), expected, "{name}, {mode:o}, no fsGroup");
                let spec = with_fs_group(spec, 65534);
                assert_eq!(files(&spec)[0].listing(), of_group, "{name}, {mode:o}, fsGroup");
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
            for (mut spec, expected) in specs.into_iter().zip(expected) {
                spec["volumes"] = json!([token(0o644)]);
                let readable = files(&spec)[0].is_readable(user, &[group]);
                assert_eq!(readable, expected, "{name}: {}", spec["securityContext"]);
            }
        }
    }

    /// What fsGroup does to the files of other volumes.
    #[test]
    fn other_files() {
        let secret_item = json!({ "items": [{ "key": "k", "path": "k", "mode": 0o400 }] });
        let downward = |mode| json!({ "defaultMode": mode, "items": [{ "path": "n" }] });
        let projected = |mode| {
            json!({ "defaultMode": mode, "sources": [
                { "secret": { "name": "s" } },
                { "configMap": { "items": [{ "key": "k", "path": "k" }] } },
                { "downwardAPI": { "items": [{ "path": "n" }] } },
            ] })
        };
        for (name, source, value, without, with) in [
            ("Secret, default", "secret", json!({}), "0644 0:0", "0644 0:7"),
            ("Secret 0400", "secret", json!({ "defaultMode": 0o400 }), "0400 0:0", "0440 0:7"),
            ("Secret 0600", "secret", json!({ "defaultMode": 0o600 }), "0600 0:0", "0640 0:7"),
            ("Secret 0440", "secret", json!({ "defaultMode": 0o440 }), "0440 0:0", "0440 0:7"),
            ("Secret 0444", "secret", json!({ "defaultMode": 0o444 }), "0444 0:0", "0444 0:7"),
            ("Secret's item 0400", "secret", secret_item, "0400 0:0", "0440 0:7"),
            (
                "ConfigMap 0555",
                "configMap",
                json!({ "defaultMode": 0o555 }),
                "0555 0:0",
                "0555 0:7",
            ),
            ("ConfigMap, default", "configMap", json!({}), "0644 0:0", "0644 0:7"),
            (
                "ConfigMap 0400",
                "configMap",
                json!({ "defaultMode": 0o400 }),
                "0400 0:0",
                "0440 0:7",
            ),
            ("downwardAPI", "downwardAPI", downward(Value::Null), "0644 0:0", "0644 0:7"),
            ("downwardAPI 0400", "downwardAPI", downward(json!(0o400)), "0400 0:0", "0440 0:7"),
            ("projected 0400", "projected", projected(0o400), "0400 0:0", "0440 0:7"),
            ("projected 0600", "projected", projected(0o600), "0600 0:0", "0640 0:7"),
            ("a local disk", "persistentVolumeClaim", json!({}), "0600 999:999", "0660 999:7"),
        ] {
            let spec = json!({ "volumes": [{ "name": "v", source: value }] });
            let expected: Vec<_> = files(&spec).iter().map(File::listing).collect();
            assert!(!expected.is_empty(), "{name}");
            assert!(expected.iter().all(|it| it == without), "{name}: {expected:?}");
            let spec = with_fs_group(spec, 7);
            for file in files(&spec) {
                assert_eq!(file.listing(), with, "{name}: {}", file.path);
            }
        }
    }

    #[test]
    fn files_that_the_kubelet_leaves_alone() {
        for (name, volume) in [
            ("emptyDir", json!({ "emptyDir": {} })),
            ("hostPath", json!({ "hostPath": { "path": "/x" } })),
            ("nfs", json!({ "nfs": { "path": "/x" } })),
            ("image", json!({ "image": { "reference": "x" } })),
            ("a read-only claim", json!({ "persistentVolumeClaim": { "readOnly": true } })),
            ("a read-only CSI volume", json!({ "csi": { "driver": "x", "readOnly": true } })),
            ("downwardAPI without files", json!({ "downwardAPI": {} })),
        ] {
            assert_eq!(files(&json!({ "volumes": [volume] })), [], "{name}");
        }
    }

    #[test]
    fn containers_that_may_change_their_groups() {
        let drop = |names: &[&str]| json!({ "capabilities": { "drop": names } });
        let both =
            |add: &[&str], drop: &[&str]| json!({ "capabilities": { "add": add, "drop": drop } });
        for (name, context, expected) in [
            ("nothing set", json!({}), true),
            ("SETGID dropped", drop(&["SETGID"]), false),
            ("CAP_SETGID dropped", drop(&["CAP_SETGID"]), false),
            ("setgid dropped", drop(&["setgid"]), false),
            ("ALL dropped", drop(&["ALL"]), false),
            ("another one dropped", drop(&["SETUID"]), true),
            ("ALL dropped, SETGID added", both(&["SETGID"], &["ALL"]), true),
            ("ALL dropped, another one added", both(&["NET_BIND_SERVICE"], &["ALL"]), false),
            ("SETGID dropped, ALL added", both(&["ALL"], &["SETGID"]), false),
            (
                "privileged",
                json!({ "privileged": true, "capabilities": { "drop": ["ALL"] } }),
                true,
            ),
        ] {
            let container = json!({ "securityContext": context });
            assert_eq!(may_change_groups(&container), expected, "{name}");
        }
    }
}
