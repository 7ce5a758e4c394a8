//! Where a process sees the files of a volume: mount paths, subPaths, and the folder in which
//! clients look for their token.

use crate::decode::Object;
use crate::objects::{KeyToPath, VolumeMount};

/// Where clients look for a token (`plugin/pkg/admission/serviceaccount`,
/// `DefaultAPITokenMountPath`).
pub const TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Its [`process_path`], which isn't worth finding again for each mount.
const TOKEN_FOLDER_NAMES: [&str; 4] = ["run", "secrets", "kubernetes.io", "serviceaccount"];

/// True when the mount shows this file of the volume as it was when the container started: with
/// subPath or subPathExpr the kubelet's later versions never reach the container.
pub fn is_never_updated(mount: &VolumeMount, file: &str) -> bool {
    let is_part = !names(sub_path(mount)).is_empty();
    is_part && (names(file).starts_with(&shown_path(mount)) || is_unknown(mount))
}

/// True when a container sees files of a Secret where clients look for a token. `items` are the
/// Secret's keys and their paths in the volume; all keys, under their names, when there are none.
pub fn is_seen_as_token(mount: &VolumeMount, items: &[Object<KeyToPath>]) -> bool {
    let at = process_path(&mount.mount_path);
    let is_below = at.len() > TOKEN_FOLDER_NAMES.len() && at.starts_with(&TOKEN_FOLDER_NAMES);
    // A key has no slash in it, so that without items all files lie in the mount's own folder.
    let shows_any_name = items.is_empty() || is_unknown(mount);
    let shown = shown_path(mount);
    let shows_token = |item: &Object<KeyToPath>| {
        let file = names(&item.path);
        // The mount leaves out file[..i] and shows the rest.
        (0..file.len()).filter(|i| is_unknown(mount) || file[..*i] == *shown).any(|i| {
            let seen = format!("{}/{}", &*mount.mount_path, file[i..].join("/"));
            process_path(&seen).strip_prefix(&TOKEN_FOLDER_NAMES) == Some(&["token"])
        })
    };
    is_below || (shows_any_name && at == TOKEN_FOLDER_NAMES) || items.iter().any(shows_token)
}

/// The subPath, whichever way it is said; empty for the whole volume.
fn sub_path<'m>(mount: &'m VolumeMount) -> &'m str {
    if mount.sub_path.is_empty() { &mount.sub_path_expr } else { &mount.sub_path }
}

/// The file or folder of the volume that the mount shows. `..data` is the kubelet's link to all of
/// the files (`pkg/volume/util/atomic_writer.go`).
fn shown_path<'m>(mount: &'m VolumeMount) -> Vec<&'m str> {
    let mut names = names(sub_path(mount));
    if names.starts_with(&["..data"]) {
        names.remove(0);
    }
    names
}

/// True when the container's environment decides what the mount shows.
fn is_unknown(mount: &VolumeMount) -> bool {
    mount.sub_path_expr.contains("$(")
}

/// The names in a path as a process sees it: `/var/run` is a link to `/run`.
fn process_path(path: &str) -> Vec<&str> {
    let mut names = names(path);
    if names.starts_with(&["var", "run"]) {
        names.remove(0);
    }
    names
}

/// The names that lead to a file, without `.`, `..` and empty ones.
fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: &str) -> Object<VolumeMount<'_>> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_token_folder_is_the_same_in_both_forms() {
        assert_eq!(process_path(TOKEN_FOLDER), TOKEN_FOLDER_NAMES);
    }

    #[test]
    fn a_secret_is_seen_as_token() {
        const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
        let below = format!("{FOLDER}/token");
        let cases: &[(&str, &str, &str, &[&str], bool)] = &[
            ("the folder", FOLDER, "", &[], true),
            ("a trailing slash", "/var/run/secrets/kubernetes.io/serviceaccount/", "", &[], true),
            ("doubled slashes", "//var//run/secrets/kubernetes.io//serviceaccount", "", &[], true),
            ("/run", "/run/secrets/kubernetes.io/serviceaccount", "", &[], true),
            ("a dot", "/run/./secrets/kubernetes.io/serviceaccount/.", "", &[], true),
            ("two dots", "/run/x/../secrets/kubernetes.io/serviceaccount", "", &[], true),
            ("two dots at the root", "/../run/secrets/kubernetes.io/serviceaccount", "", &[], true),
            ("no leading slash", "run/secrets/kubernetes.io/serviceaccount", "", &[], true),
            ("the file", &below, "token", &[], true),
            ("below the folder", &below, "", &["x"], true),
            ("the folder, items with the token", FOLDER, "", &["ca.crt", "token"], true),
            ("the folder, other items", FOLDER, "", &["extra.crt"], false),
            (
                "a parent, the token inside",
                "/run/secrets",
                "",
                &["kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "the root, the token inside",
                "/",
                "",
                &["var/run/secrets/kubernetes.io/serviceaccount/token"],
                true,
            ),
            ("a parent, other items", "/run/secrets", "", &["kubernetes.io/token"], false),
            ("a parent without items", "/run/secrets/kubernetes.io", "", &[], false),
            (
                "a subPath with the token",
                "/run/secrets",
                "a",
                &["a/kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "another subPath",
                "/run/secrets",
                "b",
                &["a/kubernetes.io/serviceaccount/token"],
                false,
            ),
            (
                "a subPath of the kubelet's link",
                "/run/secrets",
                "..data/a",
                &["a/kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "a subPath that the environment decides",
                "/run/secrets",
                "$(X)",
                &["a/kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "such a subPath without the token",
                "/run/secrets",
                "$(X)",
                &["a/kubernetes.io/serviceaccount/x"],
                false,
            ),
            ("another folder", "/var/run/secrets/kubernetes.io/serviceaccounts", "", &[], false),
            ("the folder's parent", "/run/secrets/kubernetes.io/serviceaccount/..", "", &[], false),
            ("below another root", "/x/run/secrets/kubernetes.io/serviceaccount", "", &[], false),
            ("nothing", "", "", &[], false),
        ];
        for (name, mount_path, sub_path, items, expected) in cases {
            let field = if sub_path.contains('$') { "subPathExpr" } else { "subPath" };
            let json = serde_json::json!({ "mountPath": mount_path, field: sub_path }).to_string();
            let items: Vec<_> =
                items.iter().map(|path| serde_json::json!({ "path": path })).collect();
            let items = serde_json::json!(items).to_string();
            let items: Vec<Object<KeyToPath>> = serde_json::from_str(&items).unwrap();
            assert_eq!(is_seen_as_token(&mount(&json), &items), *expected, "{name}");
        }
    }

    #[test]
    fn a_file_is_never_updated() {
        for (name, json, file, expected) in [
            ("the whole volume", "{}", "token", false),
            ("an empty subPath", r#"{"subPath":""}"#, "token", false),
            ("the volume's own folder", r#"{"subPath":"./"}"#, "token", false),
            ("the token", r#"{"subPath":"token"}"#, "token", true),
            ("the token, spelled otherwise", r#"{"subPath":"./a//token/"}"#, "a/token", true),
            ("a folder with the token", r#"{"subPath":"a"}"#, "a/token", true),
            ("the kubelet's link", r#"{"subPath":"..data"}"#, "token", true),
            ("the token by the kubelet's link", r#"{"subPath":"..data/token"}"#, "token", true),
            ("another file by the link", r#"{"subPath":"..data/ca.crt"}"#, "token", false),
            ("another file", r#"{"subPath":"ca.crt"}"#, "token", false),
            ("an expression without variables", r#"{"subPathExpr":"token"}"#, "token", true),
            ("another file by an expression", r#"{"subPathExpr":"ca.crt"}"#, "token", false),
            ("an expression", r#"{"subPathExpr":"$(POD)/x"}"#, "token", true),
        ] {
            assert_eq!(is_never_updated(&mount(json), file), expected, "{name}");
        }
    }
}
