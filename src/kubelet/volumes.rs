//! What an fsGroup does to the volumes of a Pod. The kubelet changes group and mode of the files of a
//! volume that a container mounts; it reaches neither raw block devices nor what no container names
//! (`pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go`).

use crate::decode::Object;
use crate::objects::{DEFAULT_MODE, KeyToPath, PersistentVolumeClaim, Volume, VolumeProjection};

/// The source of a volume that stays as it is when its Pod ends, and that an fsGroup would change
/// (`pkg/volume/volume_linux.go`, `ChangePermissions`): any source that isn't known to be left
/// alone, unless it is read-only. `None` for other volumes.
pub fn outliving_source<'v>(volume: &'v Volume) -> Option<&'v str> {
    let (name, source) = volume.other_source.as_ref()?;
    (source.read_only != Some(true)).then_some(name)
}

/// True for a claim whose volume has files; a raw block device has none.
pub fn has_files(claim: &PersistentVolumeClaim) -> bool {
    &*claim.spec.volume_mode != "Block"
}

/// True when a file of the volume lacks read access for its group, as far as the Pod says: the
/// kubelet adds 0440 to every file for an fsGroup (`pkg/volume/volume_linux.go`,
/// `changeFilePermission`).
pub fn has_private_file(volume: &Volume) -> bool {
    if let Some(secret) = &volume.secret {
        return keys_are_private(&secret.items, secret.default_mode);
    }
    if let Some(config_map) = &volume.config_map {
        return keys_are_private(&config_map.items, config_map.default_mode);
    }
    if let Some(fields) = &volume.downward_api {
        let mut files = fields.items.iter();
        return files.any(|file| is_private(file.mode.or(fields.default_mode)));
    }
    let Some(projected) = &volume.projected else {
        return false;
    };
    let mut sources = projected.sources.iter();
    sources.any(|source| has_private_projection(source, projected.default_mode))
}

fn has_private_projection(source: &VolumeProjection, default_mode: Option<i32>) -> bool {
    if let Some(secret) = &source.secret {
        return keys_are_private(&secret.items, default_mode);
    }
    if let Some(config_map) = &source.config_map {
        return keys_are_private(&config_map.items, default_mode);
    }
    if let Some(fields) = &source.downward_api {
        let mut files = fields.items.iter();
        return files.any(|file| is_private(file.mode.or(default_mode)));
    }
    // A token, a certificate, or what a later Kubernetes has.
    is_private(default_mode)
}

/// All keys become files when none is selected.
fn keys_are_private(items: &[Object<KeyToPath>], default_mode: Option<i32>) -> bool {
    if items.is_empty() {
        return is_private(default_mode);
    }
    items
        .iter()
        .any(|item| is_private(item.mode.or(default_mode)))
}

fn is_private(mode: Option<i32>) -> bool {
    mode.unwrap_or(DEFAULT_MODE) & 0o040 == 0
}

/// True for a volume with the key of a Pod certificate, whose mode is that of a token: a common user
/// alone has it (`pkg/volume/projected/projected.go`, `collectData`).
pub fn has_certificate_key(volume: &Volume) -> bool {
    volume
        .projections()
        .any(|source| source.pod_certificate.is_some())
}

/// True for a volume with files that have the mode and owner of a token though they are none.
pub fn has_files_like_tokens(volume: &Volume) -> bool {
    volume
        .projections()
        .any(|source| source.pod_certificate.is_some() || source.cluster_trust_bundle.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn with_volume<T>(source: &Value, ask: impl Fn(&Volume) -> T) -> T {
        let source = source.to_string();
        let volume: Object<Volume> = serde_json::from_str(&source).unwrap();
        ask(&volume)
    }

    #[test]
    fn sources_that_an_fs_group_changes() {
        for (source, expected) in [
            (json!({}), None),
            (json!({ "emptyDir": {} }), None),
            (json!({ "hostPath": { "path": "/" } }), None),
            (json!({ "nfs": { "server": "s", "path": "/" } }), None),
            (json!({ "image": { "reference": "i" } }), None),
            (json!({ "gitRepo": {} }), None),
            (json!({ "secret": {} }), None),
            (json!({ "configMap": {} }), None),
            (json!({ "downwardAPI": {} }), None),
            (json!({ "projected": {} }), None),
            (
                json!({ "persistentVolumeClaim": { "claimName": "c" } }),
                Some("persistentVolumeClaim"),
            ),
            (
                json!({ "persistentVolumeClaim": { "readOnly": true } }),
                None,
            ),
            (
                json!({ "persistentVolumeClaim": { "readOnly": false } }),
                Some("persistentVolumeClaim"),
            ),
            (json!({ "csi": { "driver": "d" } }), Some("csi")),
            (json!({ "csi": { "driver": "d", "readOnly": true } }), None),
            (json!({ "csi": null }), None),
            (
                json!({ "csi": null, "persistentVolumeClaim": {} }),
                Some("persistentVolumeClaim"),
            ),
            (
                json!({ "ephemeral": { "volumeClaimTemplate": {} } }),
                Some("ephemeral"),
            ),
            (json!({ "flexVolume": {} }), Some("flexVolume")),
            (json!({ "fc": { "wwids": ["w"], "lun": 1 } }), Some("fc")),
            (json!({ "iscsi": {} }), Some("iscsi")),
            (json!({ "rbd": { "readOnly": true } }), None),
            (
                json!({ "azureDisk": { "diskName": "d" } }),
                Some("azureDisk"),
            ),
            (json!({ "later": { "a": [1, { "b": 2 }] } }), Some("later")),
            (json!({ "later": { "readOnly": true } }), None),
            (json!({ "emptyDir": {}, "later": {} }), Some("later")),
        ] {
            let found = with_volume(&source, |volume| {
                outliving_source(volume).map(str::to_owned)
            });
            assert_eq!(found.as_deref(), expected, "{source}");
        }
    }

    #[test]
    fn claims_without_files() {
        for (claim, expected) in [
            (json!({}), true),
            (json!({ "spec": { "volumeMode": "Filesystem" } }), true),
            (json!({ "spec": { "volumeMode": "Block" } }), false),
        ] {
            let json = claim.to_string();
            let view: Object<PersistentVolumeClaim> = serde_json::from_str(&json).unwrap();
            assert_eq!(has_files(&view), expected, "{claim}");
        }
    }

    #[test]
    fn private_files() {
        let projected = |mode: Value, source: Value| json!({ "projected": { "defaultMode": mode, "sources": [source] } });
        let items = |mode: Value| json!([{ "key": "k", "path": "p" }, { "key": "l", "path": "q", "mode": mode }]);
        let only_item = |mode: i32| json!([{ "key": "k", "path": "p", "mode": mode }]);
        for (name, source, expected) in [
            ("a Secret", json!({ "secret": {} }), false),
            (
                "a Secret of 0400",
                json!({ "secret": { "defaultMode": 0o400 } }),
                true,
            ),
            (
                "a Secret of 0600",
                json!({ "secret": { "defaultMode": 0o600 } }),
                true,
            ),
            (
                "a Secret of 0440",
                json!({ "secret": { "defaultMode": 0o440 } }),
                false,
            ),
            (
                "an item of 0600",
                json!({ "secret": { "items": items(json!(0o600)) } }),
                true,
            ),
            (
                "an item of 0444",
                json!({ "secret": { "items": items(json!(0o444)) } }),
                false,
            ),
            (
                "items that all have their own mode",
                json!({ "secret": { "defaultMode": 0o400, "items": only_item(0o644) } }),
                false,
            ),
            (
                "an item without a mode",
                json!({ "secret": { "defaultMode": 0o400, "items": items(json!(0o644)) } }),
                true,
            ),
            (
                "a ConfigMap of 0400",
                json!({ "configMap": { "defaultMode": 0o400 } }),
                true,
            ),
            (
                "a ConfigMap of 0555",
                json!({ "configMap": { "defaultMode": 0o555 } }),
                false,
            ),
            (
                "the downward API of 0400",
                json!({ "downwardAPI": { "defaultMode": 0o400, "items": [{ "path": "p" }] } }),
                true,
            ),
            (
                "the downward API without files",
                json!({ "downwardAPI": { "defaultMode": 0o400 } }),
                false,
            ),
            (
                "a projected Secret of 0400",
                projected(json!(0o400), json!({ "secret": {} })),
                true,
            ),
            (
                "a projected Secret",
                projected(json!(null), json!({ "secret": {} })),
                false,
            ),
            (
                "an item of a projected ConfigMap",
                projected(
                    json!(0o644),
                    json!({ "configMap": { "items": items(json!(0o600)) } }),
                ),
                true,
            ),
            (
                "an item of the projected downward API",
                projected(
                    json!(0o644),
                    json!({ "downwardAPI": { "items": items(json!(0o400)) } }),
                ),
                true,
            ),
            (
                "a token of 0400",
                projected(json!(0o400), json!({ "serviceAccountToken": {} })),
                true,
            ),
            (
                "a trust bundle",
                projected(json!(null), json!({ "clusterTrustBundle": {} })),
                false,
            ),
            (
                "a projected volume without sources",
                json!({ "projected": { "defaultMode": 0o400 } }),
                false,
            ),
            ("a claim", json!({ "persistentVolumeClaim": {} }), false),
        ] {
            assert_eq!(with_volume(&source, has_private_file), expected, "{name}");
        }
    }

    #[test]
    fn files_that_look_like_tokens() {
        for (source, has_key, is_like_token) in [
            (json!({ "podCertificate": {} }), true, true),
            (json!({ "clusterTrustBundle": {} }), false, true),
            (json!({ "serviceAccountToken": {} }), false, false),
            (json!({ "secret": {} }), false, false),
        ] {
            let volume = json!({ "projected": { "sources": [source] } });
            assert_eq!(
                with_volume(&volume, has_certificate_key),
                has_key,
                "{volume}"
            );
            assert_eq!(
                with_volume(&volume, has_files_like_tokens),
                is_like_token,
                "{volume}"
            );
        }
    }
}
