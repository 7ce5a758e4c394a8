//! How the file of a token looks in its volume: its mode and its owner.

/// A file as the kubelet writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenFile {
    pub mode: i32,
    pub user: i64,
    pub group: i64,
}

impl WrittenFile {
    /// True for a file that a process of any user and group reads.
    pub fn is_readable_by_all(self) -> bool {
        self.mode & 0o004 != 0
    }
}

/// A projected token, and likewise a Pod certificate and a trust bundle
/// (`pkg/volume/projected/projected.go`, `collectData`): without an fsGroup it keeps the volume's
/// mode, unless all containers run as one user, who then owns it alone
/// (`pkg/volume/util/util.go`, `FsUserFrom`). An fsGroup may read it as well
/// (`pkg/volume/volume_linux.go`, `changeFilePermission`).
pub fn projected_token_file(
    fs_group: Option<i64>,
    common_user: Option<i64>,
    default_mode: i32,
) -> WrittenFile {
    let user = common_user.unwrap_or(0);
    match fs_group {
        Some(group) => WrittenFile {
            mode: 0o640,
            user,
            group,
        },
        None if common_user.is_some() => WrittenFile {
            mode: 0o600,
            user,
            group: 0,
        },
        None => WrittenFile {
            mode: default_mode,
            user,
            group: 0,
        },
    }
}

/// A key of a Secret (`pkg/volume/secret/secret.go`, `MakePayload`): it is root's, whoever runs in
/// the containers, and an fsGroup may read it.
pub fn secret_file(fs_group: Option<i64>, mode: i32) -> WrittenFile {
    WrittenFile {
        mode: if fs_group.is_some() {
            mode | 0o440
        } else {
            mode
        },
        user: 0,
        group: fs_group.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projected_token() {
        for (name, fs_group, common_user, default_mode, expected) in [
            ("nothing is set", None, None, 0o644, (0o644, 0, 0)),
            ("a private volume", None, None, 0o400, (0o400, 0, 0)),
            ("one user", None, Some(1000), 0o644, (0o600, 1000, 0)),
            (
                "one user and a private volume",
                None,
                Some(1000),
                0o400,
                (0o600, 1000, 0),
            ),
            ("root by its own words", None, Some(0), 0o644, (0o600, 0, 0)),
            ("an fsGroup", Some(65534), None, 0o644, (0o640, 0, 65534)),
            (
                "an fsGroup and a private volume",
                Some(65534),
                None,
                0o400,
                (0o640, 0, 65534),
            ),
            (
                "an fsGroup and one user",
                Some(7),
                Some(1000),
                0o644,
                (0o640, 1000, 7),
            ),
        ] {
            let (mode, user, group) = expected;
            let file = projected_token_file(fs_group, common_user, default_mode);
            assert_eq!(file, WrittenFile { mode, user, group }, "{name}");
        }
    }

    #[test]
    fn a_secret() {
        for (name, fs_group, mode, expected, by_all) in [
            ("the default", None, 0o644, (0o644, 0), true),
            ("a private mode", None, 0o400, (0o400, 0), false),
            ("an fsGroup", Some(7), 0o644, (0o644, 7), true),
            (
                "a private mode and an fsGroup",
                Some(7),
                0o400,
                (0o440, 7),
                false,
            ),
        ] {
            let file = secret_file(fs_group, mode);
            assert_eq!((file.mode, file.group), expected, "{name}");
            assert_eq!(file.is_readable_by_all(), by_all, "{name}");
        }
    }
}
