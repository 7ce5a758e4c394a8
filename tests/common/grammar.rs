//! Requests and settings from a grammar: what a Pod can look like, as far as the rules look, and
//! some of what it can't. A list of choices, from proptest or a fuzzer, picks one.

#![allow(dead_code, reason = "each user has its part")]

use serde_json::{Map, Value, json};

/// Choices, one byte each; zeros when they run out.
pub struct Choices<'c>(std::slice::Iter<'c, u8>);

type Generate<'c> = fn(&mut Choices<'c>) -> Value;

const LIFETIMES: [i64; 9] = [600, 3599, 3600, 3601, 3606, 3607, 3608, 86400, 4_294_967_296];
const AUDIENCES: [&str; 6] = ["", "vault", "Vault", "vault/", "sts.amazonaws.com", "own"];
const NAMES: [&str; 8] = [
    "default-token-x7k2p",
    "builder-token-b6wzs",
    "app-token-store",
    "my-token-abcde",
    "kube-api-access-rvrs4",
    "*",
    "v\u{0}\u{e9}\"",
    "",
];
const ACCOUNTS: [&str; 4] = ["default", "builder", "", "*"];
const NAMESPACES: [&str; 4] = ["payments", "kube-system", "ci-1", ""];
const PATHS: [&str; 4] = [
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/data",
    "",
];
const SOURCES: [&str; 7] =
    ["emptyDir", "hostPath", "persistentVolumeClaim", "csi", "nfs", "configMap", "later"];

impl<'c> Choices<'c> {
    pub fn new(choices: &'c [u8]) -> Self {
        Self(choices.iter())
    }

    fn below(&mut self, number: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or_default()) % number
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn list(&mut self, most: usize, element: fn(&mut Self) -> Value) -> Value {
        (0..self.below(most + 1)).map(|_| element(self)).collect()
    }

    /// An object with some of these members; now and then a value of another type, or `null`.
    fn object(&mut self, members: &[(&str, Generate<'c>)]) -> Value {
        let mut object = Map::new();
        for (key, value) in members {
            match self.below(8) {
                0 | 1 => {}
                2 => {
                    object.insert((*key).to_owned(), self.odd());
                }
                _ => {
                    object.insert((*key).to_owned(), value(self));
                }
            }
        }
        Value::Object(object)
    }

    /// Mostly `null`, which is the same as nothing; seldom something that belongs nowhere.
    fn odd(&mut self) -> Value {
        if self.below(8) < 7 {
            return Value::Null;
        }
        let big: Value = serde_json::from_str("10000000000000000000").unwrap_or_default();
        self.one_of(&[json!(3607.0), json!("3600"), json!([]), json!({}), json!(true), big])
    }

    fn lifetime(&mut self) -> Value {
        self.one_of(&LIFETIMES).into()
    }

    fn name(&mut self) -> Value {
        self.one_of(&NAMES).into()
    }

    fn group(&mut self) -> Value {
        self.one_of(&[0, 1, 65534, 3000, -1, 1 << 31]).into()
    }

    fn mode(&mut self) -> Value {
        self.one_of(&[256, 288, 420]).into()
    }

    fn token(&mut self) -> Value {
        self.object(&[
            ("audience", |it| it.one_of(&AUDIENCES).into()),
            ("expirationSeconds", Self::lifetime),
            ("path", |_| "token".into()),
        ])
    }

    fn reference(&mut self) -> Value {
        self.object(&[("name", Self::name), ("key", |_| "token".into())])
    }

    fn projection(&mut self) -> Value {
        self.object(&[
            ("serviceAccountToken", Self::token),
            ("secret", Self::reference),
            ("configMap", |_| json!({})),
        ])
    }

    fn item(&mut self) -> Value {
        self.object(&[
            ("key", |it| it.one_of(&["token", "ca.crt", "namespace", "other"]).into()),
            ("path", |it| it.one_of(&["token", "a/b"]).into()),
            ("mode", Self::mode),
        ])
    }

    fn secret(&mut self) -> Value {
        self.object(&[
            ("secretName", Self::name),
            ("items", |it| it.list(3, Self::item)),
            ("defaultMode", Self::mode),
            ("later", |_| json!({ "a": [1.0] })),
        ])
    }

    fn projected(&mut self) -> Value {
        self.object(&[("sources", |it| it.list(3, Self::projection)), ("defaultMode", Self::mode)])
    }

    fn volume(&mut self) -> Value {
        let mut volume = match self.below(4) {
            0 => json!({ "projected": self.projected() }),
            1 => json!({ "secret": self.secret() }),
            2 => json!({ "projected": { "sources": [{ "serviceAccountToken": self.token() }] } }),
            _ => json!({ self.one_of(&SOURCES): {} }),
        };
        volume["name"] = self.name();
        volume
    }

    fn env(&mut self) -> Value {
        let value_from = |it: &mut Self| it.object(&[("secretKeyRef", Self::reference)]);
        self.object(&[("name", |_| "A".into()), ("valueFrom", value_from)])
    }

    fn container(&mut self) -> Value {
        self.object(&[
            ("name", Self::name),
            ("env", |it| it.list(2, Self::env)),
            ("envFrom", |it| it.list(1, |it| it.object(&[("secretRef", Self::reference)]))),
            ("volumeMounts", |it| {
                it.list(2, |it| {
                    let path = |it: &mut Self| it.one_of(&PATHS).into();
                    it.object(&[("name", Self::name), ("mountPath", path)])
                })
            }),
            ("securityContext", |it| it.object(&[("runAsGroup", Self::group)])),
        ])
    }

    fn security_context(&mut self) -> Value {
        self.object(&[
            ("fsGroup", Self::group),
            ("runAsGroup", Self::group),
            ("fsGroupChangePolicy", |it| it.one_of(&["Always", "OnRootMismatch"]).into()),
            ("runAsNonRoot", |_| true.into()),
        ])
    }

    /// A Pod, or a template of Pods.
    pub fn pod(&mut self) -> Value {
        let spec: fn(&mut Self) -> Value = |it| {
            let mut spec = it.object(&[
                ("containers", |it| it.list(2, Self::container)),
                ("initContainers", |it| it.list(1, Self::container)),
                ("ephemeralContainers", |it| it.list(1, Self::container)),
                ("securityContext", Self::security_context),
                ("serviceAccountName", |it| it.one_of(&ACCOUNTS).into()),
                ("serviceAccount", |it| it.one_of(&ACCOUNTS).into()),
                ("os", |it| json!({ "name": it.one_of(&["linux", "linux", "windows"]) })),
                ("later", |_| json!([{ "x": 1e3 }])),
            ]);
            spec["volumes"] = it.list(4, Self::volume);
            spec
        };
        let annotations: fn(&mut Self) -> Value = |it| {
            it.object(&[
                ("kubernetes.io/config.mirror", |_| "x".into()),
                ("example.com/exempt", |it| it.one_of(&["true", "false", "True"]).into()),
            ])
        };
        let metadata = match self.below(4) {
            0 => json!({ "name": "p", "annotations": annotations(self) }),
            _ => json!({ "name": "p", "namespace": self.one_of(&NAMESPACES) }),
        };
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(self) })
    }

    /// A request about a Pod, mostly, or another object that rules are about.
    pub fn request(&mut self) -> Value {
        let pod = self.pod();
        let (group, kind, part, object) = match self.below(12) {
            0 => ("apps", "Deployment", "", json!({ "spec": { "template": pod } })),
            1 => {
                let job = json!({ "spec": { "template": pod } });
                ("batch", "CronJob", "", json!({ "spec": { "jobTemplate": job } }))
            }
            2 => ("", "PodTemplate", "", json!({ "template": pod })),
            3 => {
                let spec = self.object(&[
                    ("audiences", |it| it.list(2, |it| it.one_of(&AUDIENCES).into())),
                    ("expirationSeconds", Self::lifetime),
                    ("boundObjectRef", |it| json!({ "kind": it.one_of(&["Pod", "Node"]) })),
                ]);
                ("authentication.k8s.io", "TokenRequest", "token", json!({ "spec": spec }))
            }
            4 => {
                let spec = self.object(&[("tokenRequests", |it| it.list(2, Self::token))]);
                ("storage.k8s.io", "CSIDriver", "", json!({ "spec": spec }))
            }
            5 => {
                let kind = |it: &mut Self| {
                    it.one_of(&["Opaque", "kubernetes.io/service-account-token"]).into()
                };
                ("", "Secret", "", self.object(&[("type", kind), ("data", |_| json!({}))]))
            }
            6 => ("", "Pod", "ephemeralcontainers", pod),
            _ => ("", "Pod", "", pod),
        };
        let update = part == "ephemeralcontainers" || self.below(16) == 15;
        let old = if update && self.below(2) == 0 { object.clone() } else { Value::Null };
        json!({
            "uid": "1", "operation": if update { "UPDATE" } else { "CREATE" },
            "kind": { "group": group, "version": "v1", "kind": kind },
            "subResource": part, "namespace": self.one_of(&NAMESPACES), "name": "default",
            "object": object, "oldObject": old,
        })
    }

    /// Settings that are right.
    pub fn settings(&mut self) -> Value {
        let audience = |it: &mut Self| json!([{ "audience": it.one_of(&["vault", "own", "*"]), "maxExpirationSeconds": 7200 }]);
        let fs_group = |it: &mut Self| {
            json!({
                "rule": it.one_of(&["MustRunAs", "MustRunAs", "MayRunAs", "RunAsAny"]),
                "ranges": [{ "min": it.below(2), "max": it.one_of(&[65534, i32::MAX]) }],
                "persistentVolumes": it.one_of(&["Leave", "Set", "Reject"]),
            })
        };
        let mut settings = json!({ "mode": self.one_of(&["mutate", "reject", "warn"]) });
        for (key, value) in [
            ("maxExpirationSeconds", json!(self.one_of(&[600, 3600, 86400, 31_536_000]))),
            ("audiences", audience(self)),
            ("allowedAudiences", json!(["vault*", "sts.*"])),
            ("apiServer", json!({ "extendsTokens": self.below(4) > 0, "audiences": ["own"] })),
            ("legacyTokens", json!({ "rule": self.one_of(&["Reject", "Reject", "Allow"]) })),
            ("fsGroup", fs_group(self)),
            ("exemptNamespaces", json!(["kube-*"])),
            ("exemptServiceAccounts", json!(["ci-*/builder"])),
            ("optOutAnnotation", json!("example.com/exempt")),
            ("overrides", json!([{ "namespaces": ["ci-*"], "maxExpirationSeconds": 86400 }])),
        ] {
            if self.below(3) == 0 {
                settings[key] = value;
            }
        }
        settings
    }
}
