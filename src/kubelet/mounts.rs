//! Where a process sees the files of a volume: mount paths, subPaths, and the place at which clients
//! look for their token.

use crate::decode::Object;
use crate::field_path::FieldPath;
use crate::kubelet::containers::ContainerFacts;
use crate::objects::{KeyToPath, VolumeMount};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The folder in which clients look for a token (`plugin/pkg/admission/serviceaccount`,
/// `DefaultAPITokenMountPath`).
pub const TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The paths of the token as a process may write them: `/var/run` is a link to `/run`.
const TOKEN_PATHS: [&str; 2] = [
    "run/secrets/kubernetes.io/serviceaccount/token",
    "var/run/secrets/kubernetes.io/serviceaccount/token",
];

/// The kubelet's own link to all of a volume's files (`pkg/volume/util/atomic_writer.go`).
const DATA_LINK: &str = "..data";

/// A volume mount, and the container that it is in.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'r> {
    pub container: ContainerFacts<'r>,
    pub index: usize,
    pub written: &'r VolumeMount<'r>,
}

impl Mount<'_> {
    /// The path of the mount, in a Pod whose spec has this path.
    pub fn path(&self, spec: &FieldPath) -> FieldPath {
        self.container
            .path(spec)
            .element("volumeMounts", self.index)
    }

    /// The subPath, whichever way it is said; empty for the whole volume.
    fn sub_path(&self) -> &str {
        if self.written.sub_path.is_empty() {
            &self.written.sub_path_expr
        } else {
            &self.written.sub_path
        }
    }

    /// True when the container's environment decides what the mount shows.
    fn is_unknown(&self) -> bool {
        self.written.sub_path_expr.contains("$(")
    }

    /// True for a part of the volume. With subPath and subPathExpr the kubelet's later versions of a
    /// file never reach the container.
    fn is_part(&self) -> bool {
        self.is_unknown() || !clean_path(self.sub_path()).is_empty()
    }

    /// The file or folder of the volume that the mount shows; empty for all of it.
    fn shown_path(&self) -> String {
        let path = clean_path(self.sub_path());
        let inside = path_inside(&path, DATA_LINK).map(str::to_owned);
        inside.unwrap_or(path)
    }
}

/// The mounts of some containers, by the names of their volumes.
#[derive(Debug, Default)]
pub struct Mounts<'r> {
    by_volume: BTreeMap<&'r str, Vec<Mount<'r>>>,
}

impl<'r> Mounts<'r> {
    pub fn new(containers: &[ContainerFacts<'r>]) -> Self {
        let mut by_volume: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for container in containers {
            let mounts = container.container.volume_mounts.iter().enumerate();
            for (index, written) in mounts {
                let mount = Mount {
                    container: *container,
                    index,
                    written,
                };
                by_volume.entry(&*written.name).or_default().push(mount);
            }
        }
        Self { by_volume }
    }

    /// The volumes of which some mount shows a part only.
    pub fn volumes_shown_in_part(&self) -> impl Iterator<Item = &'r str> {
        let is_part = |mounts: &Vec<Mount>| mounts.iter().any(Mount::is_part);
        let volumes = self
            .by_volume
            .iter()
            .filter(move |(_, mounts)| is_part(mounts));
        volumes.map(|(volume, _)| *volume)
    }

    /// The mounts of a volume.
    pub fn of(&self, volume: &str) -> &[Mount<'r>] {
        self.by_volume.get(volume).map_or(&[], Vec::as_slice)
    }
}

/// The mounts that show one of these files of their volume as it was when the container started.
pub fn mounts_never_updated<'m, 'r>(mounts: &'m [Mount<'r>], files: &[&str]) -> Vec<&'m Mount<'r>> {
    let parts: Vec<_> = mounts.iter().filter(|mount| mount.is_part()).collect();
    if parts.is_empty() || files.is_empty() {
        return Vec::new();
    }
    let mut clean_files = BTreeSet::new();
    clean_files.extend(files.iter().map(|file| clean_path(file)));
    let shows_one =
        |mount: &&&Mount| mount.is_unknown() || has_file_inside(&clean_files, &mount.shown_path());
    parts
        .into_iter()
        .filter(|mount| shows_one(&mount))
        .collect()
}

/// True when one of the files is, or lies in, a folder.
fn has_file_inside(files: &BTreeSet<String>, folder: &str) -> bool {
    let below = format!("{folder}/");
    let first_below = files.range(below.clone()..).next();
    folder.is_empty()
        || files.contains(folder)
        || first_below.is_some_and(|file| file.starts_with(&below))
}

/// Which files of a volume a container sees where clients look for a token, by all mounts of the
/// volume together.
#[derive(Debug, Default)]
pub struct TokenPlaces {
    /// Files of the volume.
    files: BTreeSet<String>,
    /// What the path of a file ends with, where the environment decides what a mount shows.
    endings: BTreeSet<String>,
}

impl TokenPlaces {
    pub fn new(mounts: &[Mount]) -> Self {
        let mut places = Self::default();
        for mount in mounts {
            let at = process_path(&mount.written.mount_path);
            let rests = TOKEN_PATHS
                .iter()
                .filter_map(|token| path_inside(token, &at));
            for rest in rests {
                let file = join_paths(&mount.shown_path(), rest);
                if mount.is_unknown() {
                    places.endings.insert(rest.to_owned());
                } else if !file.is_empty() {
                    // Else the whole volume is a folder where the token would be a file.
                    places.files.insert(file);
                }
            }
        }
        places
    }

    /// True when one of the keys is seen as the token: `items` are the keys and their files, all keys
    /// under their names when there are none.
    pub fn show_token(&self, items: &[Object<KeyToPath>]) -> bool {
        if self.files.is_empty() && self.endings.is_empty() {
            return false;
        }
        if items.is_empty() {
            // A key has no slash in it.
            let is_key = |file: &String| !file.contains('/');
            return self.files.iter().any(is_key) || self.endings.iter().any(is_key);
        }
        items.iter().any(|item| {
            let file = clean_path(&item.path);
            let mut endings = self.endings.iter();
            self.files.contains(&file) || endings.any(|ending| ends_with_path(&file, ending))
        })
    }
}

/// The rest of a path below a folder; all of it for no folder, nothing for the folder itself.
fn path_inside<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    if folder.is_empty() {
        return Some(path);
    }
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

fn ends_with_path(path: &str, ending: &str) -> bool {
    let Some(start) = path.strip_suffix(ending) else {
        return false;
    };
    ending.is_empty() || start.is_empty() || start.ends_with('/')
}

fn join_paths(folder: &str, rest: &str) -> String {
    match (folder, rest) {
        ("", path) | (path, "") => path.to_owned(),
        _ => format!("{folder}/{rest}"),
    }
}

/// A path as a process writes it. A drive or a backslash says that it is one of Windows, which takes
/// capital letters for small ones.
fn process_path(path: &str) -> String {
    let without_drive = without_drive(path);
    if without_drive.is_some() || path.contains('\\') {
        return clean_path(&without_drive.unwrap_or(path).to_ascii_lowercase());
    }
    clean_path(path)
}

/// The rest of a path of Windows that begins with a drive.
fn without_drive(path: &str) -> Option<&str> {
    let (drive, rest) = path.split_at_checked(2)?;
    let is_drive = drive.ends_with(':') && drive.starts_with(|c: char| c.is_ascii_alphabetic());
    is_drive.then_some(rest)
}

/// The names that lead to a file, with a slash between them: without `.`, `..` and empty ones. A
/// backslash separates names on Windows, and is in no path that clients look at elsewhere.
pub fn clean_path(path: &str) -> String {
    let path = if path.contains('\\') {
        Cow::Owned(path.replace('\\', "/"))
    } else {
        Cow::Borrowed(path)
    };
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::PodSpec;
    use serde_json::{Value, json};

    const FOLDER: &str = TOKEN_FOLDER;

    /// Asks about the mounts of volume `v` of a container.
    fn with_mounts<T>(mounts: &Value, ask: impl Fn(&[Mount]) -> T) -> T {
        let spec = json!({ "containers": [{ "volumeMounts": mounts }] }).to_string();
        let spec: Object<PodSpec> = serde_json::from_str(&spec).unwrap();
        let containers = ContainerFacts::of_all(&spec);
        ask(Mounts::new(&containers).of("v"))
    }

    fn shows_token(mount: &Value, paths: &[&str]) -> bool {
        let items: Vec<_> = paths
            .iter()
            .map(|path| json!({ "key": "k", "path": path }))
            .collect();
        let items = json!(items).to_string();
        let items: Vec<Object<KeyToPath>> = serde_json::from_str(&items).unwrap();
        with_mounts(&json!([mount]), |mounts| {
            TokenPlaces::new(mounts).show_token(&items)
        })
    }

    #[test]
    fn the_token_lies_in_its_folder() {
        let token = format!("{FOLDER}/token");
        assert!(TOKEN_PATHS.contains(&token.trim_start_matches('/')));
    }

    /// All keys of a volume, mounted as a whole.
    #[test]
    fn folders_in_which_a_key_is_seen_as_token() {
        for (name, path, expected) in [
            ("the folder", FOLDER, true),
            (
                "a trailing slash",
                "/var/run/secrets/kubernetes.io/serviceaccount/",
                true,
            ),
            (
                "doubled slashes",
                "//var//run/secrets/kubernetes.io//serviceaccount",
                true,
            ),
            ("/run", "/run/secrets/kubernetes.io/serviceaccount", true),
            (
                "a dot",
                "/run/./secrets/kubernetes.io/serviceaccount/.",
                true,
            ),
            (
                "two dots",
                "/run/x/../secrets/kubernetes.io/serviceaccount",
                true,
            ),
            (
                "two dots at the root",
                "/../run/secrets/kubernetes.io/serviceaccount",
                true,
            ),
            (
                "no leading slash",
                "run/secrets/kubernetes.io/serviceaccount",
                true,
            ),
            (
                "a drive",
                r"C:\var\run\secrets\kubernetes.io\serviceaccount",
                true,
            ),
            (
                "a drive, with slashes",
                "c:/var/run/secrets/kubernetes.io/serviceaccount",
                true,
            ),
            (
                "a drive, in capitals",
                r"C:\Var\Run\Secrets\Kubernetes.io\ServiceAccount\",
                true,
            ),
            (
                "backslashes",
                r"\var\run\secrets\kubernetes.io\serviceaccount",
                true,
            ),
            (
                "capitals elsewhere",
                "/Var/Run/secrets/kubernetes.io/serviceaccount",
                false,
            ),
            (
                "the folder's parent",
                "/run/secrets/kubernetes.io/serviceaccount/..",
                false,
            ),
            (
                "a folder beside it",
                "/var/run/secrets/kubernetes.io/serviceaccounts",
                false,
            ),
            (
                "a folder in it",
                "/var/run/secrets/kubernetes.io/serviceaccount/x",
                false,
            ),
            (
                "below another root",
                "/x/run/secrets/kubernetes.io/serviceaccount",
                false,
            ),
            ("nothing", "", false),
        ] {
            let mount = json!({ "name": "v", "mountPath": path });
            assert_eq!(shows_token(&mount, &[]), expected, "{name}");
        }
    }

    #[test]
    fn parts_and_items_that_are_seen_as_token() {
        let file = format!("{FOLDER}/token");
        let certificate = format!("{FOLDER}/ca.crt");
        let nested: &[&str] = &["a/kubernetes.io/serviceaccount/token"];
        for (name, at, sub_path, items, expected) in [
            (
                "a key, mounted as the file",
                &*file,
                "some-key",
                &[][..],
                true,
            ),
            (
                "a key, mounted as another file",
                &certificate,
                "ca.crt",
                &[],
                false,
            ),
            ("a folder called token", &file, "", &["x"], false),
            (
                "a folder called token, with all keys",
                &file,
                "",
                &[],
                false,
            ),
            ("an item, mounted as the file", &file, "a/b", &["a/b"], true),
            (
                "another item, mounted as the file",
                &file,
                "a/b",
                &["a/c"],
                false,
            ),
            (
                "items with the token",
                FOLDER,
                "",
                &["ca.crt", "token"],
                true,
            ),
            ("other items", FOLDER, "", &["extra.crt"], false),
            (
                "a parent",
                "/run/secrets",
                "",
                &["kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "the root",
                "/",
                "",
                &["var/run/secrets/kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "the root, by /run",
                "/",
                "",
                &["run/secrets/kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "/var",
                "/var",
                "",
                &["run/secrets/kubernetes.io/serviceaccount/token"],
                true,
            ),
            (
                "a parent, other items",
                "/run/secrets",
                "",
                &["kubernetes.io/token"],
                false,
            ),
            (
                "a parent, all keys",
                "/run/secrets/kubernetes.io",
                "",
                &[],
                false,
            ),
            (
                "a subPath with the token",
                "/run/secrets",
                "a",
                nested,
                true,
            ),
            ("another subPath", "/run/secrets", "b", nested, false),
            (
                "the kubelet's link",
                "/run/secrets",
                "..data/a",
                nested,
                true,
            ),
            ("an unknown subPath", "/run/secrets", "$(X)", nested, true),
            (
                "an unknown subPath without the token",
                "/run/secrets",
                "$(X)",
                &["a/kubernetes.io/serviceaccount/x"],
                false,
            ),
            (
                "an unknown key, mounted as the file",
                &file,
                "$(X)",
                &[],
                true,
            ),
            (
                "an unknown folder with the token",
                FOLDER,
                "$(X)",
                &["a/token"],
                true,
            ),
            (
                "an unknown folder, which may be the whole volume",
                FOLDER,
                "$(X)",
                &["token"],
                true,
            ),
            (
                "an unknown item, mounted as the file",
                &file,
                "$(X)",
                &["x"],
                true,
            ),
            (
                "an unknown folder without it",
                FOLDER,
                "$(X)",
                &["a/mytoken"],
                false,
            ),
        ] {
            let field = if sub_path.contains('$') {
                "subPathExpr"
            } else {
                "subPath"
            };
            let mount = json!({ "name": "v", "mountPath": at, field: sub_path });
            assert_eq!(shows_token(&mount, items), expected, "{name}");
        }
    }

    #[test]
    fn files_that_are_never_updated() {
        for (name, mount, file, expected) in [
            ("the whole volume", json!({}), "token", false),
            ("an empty subPath", json!({ "subPath": "" }), "token", false),
            (
                "the volume's own folder",
                json!({ "subPath": "./" }),
                "token",
                false,
            ),
            ("the token", json!({ "subPath": "token" }), "token", true),
            (
                "the token, spelled otherwise",
                json!({ "subPath": "./a//token/" }),
                "a/token",
                true,
            ),
            (
                "a folder with the token",
                json!({ "subPath": "a" }),
                "a/token",
                true,
            ),
            (
                "a folder beside it",
                json!({ "subPath": "a" }),
                "ab/token",
                false,
            ),
            (
                "the kubelet's link",
                json!({ "subPath": "..data" }),
                "token",
                true,
            ),
            (
                "the token by the link",
                json!({ "subPath": "..data/token" }),
                "token",
                true,
            ),
            (
                "another file by the link",
                json!({ "subPath": "..data/ca.crt" }),
                "token",
                false,
            ),
            (
                "another file",
                json!({ "subPath": "ca.crt" }),
                "token",
                false,
            ),
            (
                "an expression without variables",
                json!({ "subPathExpr": "token" }),
                "token",
                true,
            ),
            (
                "another file by an expression",
                json!({ "subPathExpr": "ca.crt" }),
                "token",
                false,
            ),
            (
                "an expression",
                json!({ "subPathExpr": "$(POD)/x" }),
                "token",
                true,
            ),
        ] {
            let mut mount = mount;
            mount["name"] = json!("v");
            let other = json!({ "name": "v" });
            let found = with_mounts(&json!([other, mount]), |mounts| {
                let never_updated = mounts_never_updated(mounts, &["a-", file, "zzz"]);
                never_updated
                    .iter()
                    .map(|mount| mount.index)
                    .collect::<Vec<_>>()
            });
            assert_eq!(found, if expected { vec![1] } else { vec![] }, "{name}");
        }
        let frozen = |mounts: &[Mount]| mounts_never_updated(mounts, &[]).len();
        let mounts = json!([
            { "name": "v", "subPath": "token" },
            { "name": "v", "subPath": "..data" },
            { "name": "v", "subPathExpr": "$(POD)" },
        ]);
        assert_eq!(with_mounts(&mounts, frozen), 0, "a volume without tokens");
    }
}
