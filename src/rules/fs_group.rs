//! The token files of a Pod are readable by one group, and that group is allowed.
//!
//! The kubelet writes a token 0644, for every process in the Pod, unless the Pod sets
//! `fsGroup` (`pkg/volume/projected/projected.go`, `collectData`): then 0640, for that group.

use super::{Finding, Remedy};
use crate::fix::{self, Edit, Member};
use crate::json::{Editable, Int};
use crate::message::{Joined, Path, Quoted};
use crate::pod_spec::{PodSpec, Volume};
use crate::settings::{GroupRule, PersistentVolumes, Settings};

/// The rule's name.
pub const RULE: &str = "fs-group";

/// Reports a missing or forbidden `fsGroup` of a Pod that has a token volume, or will have one
/// when the volumes at the ascending indices `converted` are mended.
pub fn check<'a>(
    spec: &Editable<'a, PodSpec<'a>>,
    converted: &[usize],
    settings: &Settings,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    let (Some(spec), Some(text)) = (spec.get(), spec.text) else { return };
    // The API server refuses fsGroup on Windows Pods.
    if settings.fs_group.rule == GroupRule::RunAsAny || spec.is_windows() {
        return;
    }
    let holds_token = |(i, volume): &(usize, &Volume)| {
        volume.tokens().next().is_some() || converted.binary_search(i).is_ok()
    };
    let Some((_, holder)) = spec.volumes.elements().find(holds_token) else { return };
    let asked = spec.security_context.get().map(|context| context.fs_group).unwrap_or_default();
    let (message, remedy) = match asked.get() {
        Some(group) if settings.fs_group.allows(group) => return,
        Some(group) => (forbidden(group, settings), Remedy::Reject),
        // One that is there but can't be read is reported as unreadable.
        None if !asked.is_absent() || settings.fs_group.rule == GroupRule::MayRunAs => return,
        None => missing(spec, text, holder, settings),
    };
    let path = at.member("securityContext").member("fsGroup").to_string();
    findings.push(Finding { path, rule: RULE, message, remedy });
}

fn forbidden(group: i64, settings: &Settings) -> String {
    let ranges = Joined(&settings.fs_group.ranges, ", ");
    format!("{group} is not an allowed group; choose one of {ranges}")
}

fn missing<'a>(
    spec: &PodSpec<'a>,
    text: &'a str,
    holder: &Volume<'a>,
    settings: &Settings,
) -> (String, Remedy<'a>) {
    let group = shared_group(spec)
        .filter(|group| settings.fs_group.allows(*group))
        .unwrap_or_else(|| settings.fs_group.group_to_set());
    let message = format!(
        "is not set, so the token files of volume {} are not limited to one group; set it to a \
         group of the processes that read them, such as {group}",
        Quoted(holder.name.or_empty()),
    );
    let mut volumes = spec.volumes.elements().map(|(_, volume)| volume);
    let remedy = match volumes.find_map(|volume| Some((volume, volume.persistent?))) {
        None => Remedy::Edit(set(spec, text, group, false)),
        Some((volume, source)) => match settings.fs_group.persistent_volumes {
            PersistentVolumes::Set => Remedy::Edit(set(spec, text, group, true)),
            PersistentVolumes::Reject => Remedy::Reject,
            PersistentVolumes::Leave => Remedy::Leave(format!(
                "not set by the policy, as it changes group and mode of every file on volume {} \
                 ({source}), which can outlive the Pod",
                Quoted(volume.name.or_empty()),
            )),
        },
    };
    (message, remedy)
}

/// The one `runAsGroup` that every container of the Pod has.
fn shared_group(spec: &PodSpec) -> Option<i64> {
    let pod = spec.security_context.get().and_then(|context| context.run_as_group.get());
    let mut groups = spec.all_containers().into_iter().map(|container| {
        let own = container.security_context.get().map(|context| context.run_as_group);
        own.and_then(Int::get).or(pod)
    });
    let first = groups.next()??;
    groups.all(|group| group == Some(first)).then_some(first)
}

fn set<'a>(spec: &PodSpec<'a>, text: &'a str, group: i64, on_root_mismatch: bool) -> Vec<Edit<'a>> {
    let context = spec.security_context.get();
    let now = context.and_then(|context| context.fs_group.text());
    let mut members = vec![Member { key: "fsGroup", now, value: group.to_string() }];
    let policy = context.map(|context| &context.fs_group_change_policy);
    if on_root_mismatch && policy.is_none_or(Editable::is_absent) {
        members.push(Member {
            key: "fsGroupChangePolicy",
            now: policy.and_then(|policy| policy.text),
            value: r#""OnRootMismatch""#.to_owned(),
        });
    }
    if let Some(object) = spec.security_context.text {
        return fix::set(object, &members);
    }
    let value = format!("{{{}}}", Joined(&members, ","));
    fix::set(text, &[Member { key: "securityContext", now: None, value }])
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings;
    use crate::json::Read;
    use crate::pod_spec::Pod;
    use k8s_openapi::api::core::v1::Volume;

    const TOKEN: &str =
        r#"{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"token"}}]}}"#;

    /// What is done about the `fsGroup` of a Pod with these members and, of course, a token.
    fn remedy(members: &str, settings: &str) -> String {
        let spec = format!(r#"{{{members}"volumes":[{TOKEN}]}}"#);
        match &findings(super::RULE, &spec, settings)[..] {
            [] => "nothing".to_owned(),
            [(line, remedy)] => {
                assert!(line.starts_with("spec.securityContext.fsGroup: "), "{line}");
                let volumes = format!(r#""volumes":[{TOKEN}]}}"#);
                remedy.replace(&volumes, "").replace(['{', '}'], "")
            }
            more => panic!("{more:?}"),
        }
    }

    #[test]
    fn groups_that_are_set() {
        let narrow =
            r#"{"fsGroup":{"ranges":[{"min":1,"max":9},{"min":20,"max":29}],"default":5}}"#;
        let may = r#"{"fsGroup":{"rule":"MayRunAs","ranges":[{"min":1,"max":9}]}}"#;
        let any = r#"{"fsGroup":{"rule":"RunAsAny"}}"#;
        for (group, settings, expected) in [
            ("0", "{}", "nothing"),
            ("2147483647", "{}", "nothing"),
            ("2147483648", "{}", "reject"),
            ("-1", "{}", "reject"),
            ("1", narrow, "nothing"),
            ("9", narrow, "nothing"),
            ("25", narrow, "nothing"),
            ("0", narrow, "reject"),
            ("10", narrow, "reject"),
            ("10", may, "reject"),
            ("9", may, "nothing"),
            ("null", may, "nothing"),
            ("-1", any, "nothing"),
            ("null", any, "nothing"),
        ] {
            let members = format!(r#""securityContext":{{"fsGroup":{group}}},"#);
            assert_eq!(remedy(&members, settings), expected, "{group} with {settings}");
        }
    }

    #[test]
    fn groups_that_are_missing() {
        let narrow = r#"{"fsGroup":{"ranges":[{"min":1,"max":9}],"default":5}}"#;
        for (members, settings, expected) in [
            ("", "{}", r#""securityContext":"fsGroup":65534,"#),
            (r#""securityContext":null,"#, "{}", r#""securityContext":"fsGroup":65534,"#),
            (r#""securityContext":{},"#, "{}", r#""securityContext":"fsGroup":65534,"#),
            (
                r#""securityContext":{"fsGroup":null,"x":1},"#,
                "{}",
                r#""securityContext":"fsGroup":65534,"x":1,"#,
            ),
            (
                r#""securityContext":{"runAsNonRoot":true},"#,
                narrow,
                r#""securityContext":"fsGroup":5,"runAsNonRoot":true,"#,
            ),
            // Without containers nobody says which group they share.
            (
                r#""securityContext":{"runAsGroup":7},"#,
                "{}",
                r#""securityContext":"fsGroup":65534,"runAsGroup":7,"#,
            ),
            (r#""os":{"name":"windows"},"#, "{}", "nothing"),
            (
                r#""os":{"name":"linux"},"#,
                "{}",
                r#""securityContext":"fsGroup":65534,"os":"name":"linux","#,
            ),
        ] {
            assert_eq!(remedy(members, settings), expected, "{members} with {settings}");
        }
    }

    #[test]
    fn the_group_that_all_containers_share() {
        let own = |group: i64| format!(r#"{{"securityContext":{{"runAsGroup":{group}}}}}"#);
        let (three, four) = (own(3), own(4));
        let narrow = r#"{"fsGroup":{"ranges":[{"min":4,"max":9}],"default":5}}"#;
        for (of_pod, containers, init, ephemeral, settings, expected) in [
            ("", &*three, "", "", "{}", 3),
            ("", &format!("{three},{three}"), &three, &three, "{}", 3),
            ("", &format!("{three},{four}"), "", "", "{}", 65534),
            ("", &format!("{three},{{}}"), "", "", "{}", 65534),
            ("", &three, &four, "", "{}", 65534),
            ("", &three, "", &four, "{}", 65534),
            (r#""runAsGroup":3"#, "{}", "{}", "", "{}", 3),
            (r#""runAsGroup":3"#, &format!("{{}},{three}"), "", "", "{}", 3),
            (r#""runAsGroup":3"#, &format!("{{}},{four}"), "", "", "{}", 65534),
            (r#""runAsGroup":3"#, &four, "", "", "{}", 4),
            ("", &three, "", "", narrow, 5),
            ("", &four, "", "", narrow, 4),
        ] {
            let members = format!(
                r#""containers":[{containers}],"initContainers":[{init}],"ephemeralContainers":[{ephemeral}],"securityContext":{{{of_pod}}},"#
            );
            let set = format!(r#""securityContext":"fsGroup":{expected}"#);
            assert!(remedy(&members, settings).contains(&set), "{members}: not {expected}");
        }
    }

    #[test]
    fn volumes_that_outlive_the_pod() {
        let leave = "{}";
        let set = r#"{"fsGroup":{"persistentVolumes":"Set"}}"#;
        let reject = r#"{"fsGroup":{"persistentVolumes":"Reject"}}"#;
        let context = |it: &str| format!(r#"{{"securityContext":{it},"volumes":[VOLUMES]}}"#);
        for (source, security_context, settings, expected) in [
            (r#""emptyDir":{}"#, "{}", leave, r#"{"fsGroup":65534}"#),
            (r#""hostPath":{}"#, "{}", leave, r#"{"fsGroup":65534}"#),
            (r#""ephemeral":{}"#, "{}", reject, r#"{"fsGroup":65534}"#),
            (r#""csi":null"#, "{}", leave, r#"{"fsGroup":65534}"#),
            (r#""csi":{}"#, "{}", leave, "leave"),
            (r#""nfs":{}"#, "{}", leave, "leave"),
            (r#""persistentVolumeClaim":{}"#, "{}", leave, "leave"),
            (r#""persistentVolumeClaim":{}"#, "{}", reject, "reject"),
            (r#""persistentVolumeClaim":{}"#, r#"{"fsGroup":0}"#, reject, "nothing"),
            (
                r#""persistentVolumeClaim":{}"#,
                "{}",
                set,
                r#"{"fsGroup":65534,"fsGroupChangePolicy":"OnRootMismatch"}"#,
            ),
            (
                r#""persistentVolumeClaim":{}"#,
                "null",
                set,
                r#"{"fsGroup":65534,"fsGroupChangePolicy":"OnRootMismatch"}"#,
            ),
            (
                r#""persistentVolumeClaim":{}"#,
                r#"{"fsGroupChangePolicy":null}"#,
                set,
                r#"{"fsGroup":65534,"fsGroupChangePolicy":"OnRootMismatch"}"#,
            ),
            (
                r#""persistentVolumeClaim":{}"#,
                r#"{"fsGroupChangePolicy":"Always"}"#,
                set,
                r#"{"fsGroup":65534,"fsGroupChangePolicy":"Always"}"#,
            ),
        ] {
            let volumes = format!(r#"{{"name":"d",{source}}},{TOKEN}"#);
            let spec = context(security_context).replace("VOLUMES", &volumes);
            let found = findings(super::RULE, &spec, settings);
            let remedy = found.first().map_or("nothing", |(_, remedy)| remedy);
            let remedy = if remedy.starts_with("leave: ") {
                assert!(remedy.contains(r#"volume "d" ("#), "{remedy}");
                "leave"
            } else {
                remedy
            };
            let mended = context(expected).replace("VOLUMES", &volumes);
            let expected = if expected.starts_with('{') { &mended } else { expected };
            assert_eq!(remedy, expected, "{source} and {security_context} with {settings}");
        }
    }

    #[test]
    fn pods_without_a_token_need_no_group() {
        for volumes in ["", r#"{"name":"e","emptyDir":{}}"#, r#"{"name":"p","projected":{}}"#] {
            let spec = format!(r#"{{"securityContext":{{"fsGroup":-1}},"volumes":[{volumes}]}}"#);
            assert_eq!(findings(super::RULE, &spec, "{}"), [], "{volumes}");
        }
    }

    /// Each source of a volume is either known to end with the Pod or known to be persistent, so
    /// that one that Kubernetes adds or renames is noticed.
    #[test]
    fn every_volume_source_is_known() {
        const ENDS_WITH_THE_POD: [&str; 9] = [
            "configMap",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "gitRepo",
            "hostPath",
            "image",
            "projected",
            "secret",
        ];
        let name = "every".to_owned();
        let volume = Volume { name, ..Volume::default() };
        // The names of the type's members stand in the error for one that it hasn't.
        let fields = serde_json::to_value(&volume).unwrap();
        assert_eq!(fields, serde_json::json!({ "name": "every" }));
        let sources = [&ENDS_WITH_THE_POD[..], &crate::pod_spec::PERSISTENT].concat();
        for source in &sources {
            let json = format!(r#"{{"name":"v","{source}":5}}"#);
            assert!(serde_json::from_str::<Volume>(&json).is_err(), "{source} is not known");
        }
        let debug = format!("{volume:?}");
        assert_eq!(debug.matches(": None").count(), sources.len(), "{debug}");
        for source in crate::pod_spec::PERSISTENT {
            let object = format!(r#"{{"spec":{{"volumes":[{{"{source}":{{}}}}]}}}}"#);
            let pod: Read<Pod> = crate::json::read(&object).unwrap();
            let spec = pod.get().unwrap().spec.get().unwrap();
            assert_eq!(spec.volumes.elements().next().unwrap().1.persistent, Some(source));
        }
    }
}
