//! Requests and settings made from a list of choices, which proptest or a fuzzer gives: what
//! objects can look like as far as the rules look, and some of what they can't.

#![allow(dead_code, reason = "each user has its part")]

use serde_json::{Map, Value, json};

/// Choices, one byte each; zeros when they run out.
pub struct Choices<'c> {
    choices: std::slice::Iter<'c, u8>,
    /// Whether values of a wrong type come up, too.
    odd: bool,
}

type Generate<'c> = fn(&mut Choices<'c>) -> Value;

const LIFETIMES: [i64; 9] = [3607, 600, 3599, 3600, 3601, 3606, 3608, 86400, 4_294_967_296];
const CLUSTER_LOCAL: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCES: [&str; 9] = [
    "",
    "vault",
    "Vault",
    "vault/",
    "sts.amazonaws.com",
    "own",
    CLUSTER_LOCAL,
    "kubernetes.default.svc",
    LONG_AUDIENCE,
];
/// Longer than a warning may be.
const LONG_AUDIENCE: &str = "https://an-issuer-with-a-very-long-name.example.com/\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// With 58 characters: nothing of `-token-` is left in the names of its Secrets.
const LONG_ACCOUNT: &str = "inventory-synchronisation-controller-emea-production-agent";
/// With 55 characters: `-to` is left.
const ACCOUNT_OF_55: &str = "inventory-synchronisation-controller-emea-production-ag";
const ACCOUNTS: [&str; 6] = ["default", "builder", LONG_ACCOUNT, ACCOUNT_OF_55, "", "*"];
const SECRETS: [&str; 11] = [
    "default-token-x7k2p",
    "builder-token-b6wzs",
    "inventory-synchronisation-controller-emea-production-agentx7zps",
    "inventory-synchronisation-controller-emea-production-ag-tox7zps",
    "app-token-store",
    "my-token-abcde",
    "tls",
    "kube-api-access-rvrs4",
    "*",
    "v\u{0}\u{e9}\"",
    LONG_SECRET,
];
/// A legacy token's name that doesn't fit into a warning beside anything else.
const LONG_SECRET: &str = "an-account-with-a-very-long-name.\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.\
    0123456789abcdef0123456789abcdef0123456789-token-x7k2p";
const API_ACCESS: &str = "kube-api-access-rvrs4";
const LONG_VOLUME: &str = "a-volume-whose-name-is-as-long-as-the-api-server-lets-it-be-abc";
const VOLUMES: [&str; 5] = ["v0", "v1", API_ACCESS, "v3", LONG_VOLUME];
const LONG_CONTAINER: &str = "a-container-whose-name-is-as-long-as-the-api-server-lets-it-be0";
const CONTAINERS: [&str; 4] = ["app", "sidecar", "debug", LONG_CONTAINER];
const NAMESPACES: [&str; 4] = ["payments", "kube-system", "ci-1", ""];
const PATHS: [&str; 16] = [
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets/kubernetes.io/serviceaccount/",
    "//var/./run//secrets/x/../kubernetes.io/serviceaccount",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    "/var/run/secrets/kubernetes.io",
    "/var/run/secrets",
    "/run",
    "/",
    "/var/run/secrets/kubernetes.io/serviceaccounts",
    "/var/run/secrets/kubernetes.io/serviceaccount/..",
    "/var/run/secrets/tokens",
    "/data",
    "C:\\var\\run\\secrets\\kubernetes.io\\serviceaccount",
    "",
];
const ITEM_PATHS: [&str; 8] = [
    "token",
    "ca.crt",
    "namespace",
    "a/token",
    "serviceaccount/token",
    "kubernetes.io/serviceaccount/token",
    "secrets/kubernetes.io/serviceaccount/token",
    "./token",
];
const KEYS: [&str; 5] = ["token", "ca.crt", "namespace", "service-ca.crt", "other"];
const SUB_PATHS: [&str; 8] =
    ["..data", "..data/token", "token", "ca.crt", "a", "serviceaccount", "./token", ""];
/// Volume sources that have `readOnly`, and others.
const READ_ONLY_SOURCES: [&str; 11] = [
    "persistentVolumeClaim",
    "csi",
    "nfs",
    "iscsi",
    "fc",
    "flexVolume",
    "azureDisk",
    "cephfs",
    "rbd",
    "portworxVolume",
    "awsElasticBlockStore",
];
const SOURCES: [&str; 7] =
    ["emptyDir", "hostPath", "ephemeral", "image", "gitRepo", "flocker", "later"];
const CAPABILITIES: [&str; 7] =
    ["ALL", "SETGID", "CAP_SETGID", "setgid", "CAP_ALL", "all", "NET_BIND_SERVICE"];
const OPERATING_SYSTEMS: [&str; 6] = ["linux", "linux", "linux", "linux", "linux", "windows"];
const UID: &str = "4a21420c-686c-5466-bea4-2c94014ab0d0";

impl<'c> Choices<'c> {
    /// Everything that can be in a request, right or wrong.
    pub fn new(choices: &'c [u8]) -> Self {
        Self { choices: choices.iter(), odd: true }
    }

    /// Only what Kubernetes' types can hold.
    pub fn typed(choices: &'c [u8]) -> Self {
        Self { choices: choices.iter(), odd: false }
    }

    fn below(&mut self, number: usize) -> usize {
        usize::from(self.choices.next().copied().unwrap_or_default()) % number
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn text(&mut self, of: &[&str]) -> Value {
        of[self.below(of.len())].into()
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

    /// An object with all of the first members, and some of the others.
    fn with(&mut self, required: &[(&str, Generate<'c>)], some: &[(&str, Generate<'c>)]) -> Value {
        let mut object = self.object(some);
        for (key, value) in required {
            object[*key] = value(self);
        }
        object
    }

    /// Mostly `null`, which is the same as nothing; seldom something that belongs nowhere.
    fn odd(&mut self) -> Value {
        if !self.odd || self.below(8) < 7 {
            return Value::Null;
        }
        let big: Value = serde_json::from_str("10000000000000000000").unwrap_or_default();
        self.one_of(&[json!(3607.0), json!("3600"), json!([]), json!({}), json!(true), big])
    }

    fn lifetime(&mut self) -> Value {
        self.one_of(&LIFETIMES).into()
    }

    fn secret_name(&mut self) -> Value {
        self.text(&SECRETS)
    }

    fn volume_name(&mut self) -> Value {
        self.text(&VOLUMES)
    }

    fn audience(&mut self) -> Value {
        self.text(&AUDIENCES)
    }

    fn group(&mut self) -> Value {
        self.one_of(&[0_i64, 1, 65534, 3000, -1, 1 << 31]).into()
    }

    fn user(&mut self) -> Value {
        self.one_of(&[0, 1000, 2000, -1]).into()
    }

    fn boolean(&mut self) -> Value {
        (self.below(2) > 0).into()
    }

    fn mode(&mut self) -> Value {
        self.one_of(&[0o644, 0o400, 0o600, 0o440, 0o640, 0o400, 0, 0o777]).into()
    }

    fn token(&mut self) -> Value {
        self.object(&[
            ("audience", Self::audience),
            ("expirationSeconds", Self::lifetime),
            ("path", |_| "token".into()),
        ])
    }

    /// The token as most clients ask for it.
    fn usual_token(&mut self) -> Value {
        let lifetime: Generate = |it| it.one_of(&[3607, 3600, 86400]).into();
        self.with(
            &[("path", |it| it.text(&["token", "a/token"]))],
            &[("expirationSeconds", lifetime)],
        )
    }

    fn item(&mut self) -> Value {
        self.with(
            &[("key", |it| it.text(&KEYS)), ("path", |it| it.text(&ITEM_PATHS))],
            &[("mode", Self::mode)],
        )
    }

    fn items(&mut self) -> Value {
        self.list(4, Self::item)
    }

    fn downward_items(&mut self) -> Value {
        self.list(2, |it| {
            let field: Generate = |_| json!({ "fieldPath": "metadata.namespace" });
            it.with(
                &[("path", |it| it.text(&ITEM_PATHS))],
                &[("mode", Self::mode), ("fieldRef", field)],
            )
        })
    }

    fn projection(&mut self) -> Value {
        match self.below(8) {
            0..=2 => json!({ "serviceAccountToken": self.token() }),
            3 => {
                let source = self.with(&[("name", Self::secret_name)], &[("items", Self::items)]);
                json!({ "secret": source })
            }
            4 => json!({ "configMap": self.with(&[("name", |_| "c".into())], &[("items", Self::items)]) }),
            5 => json!({ "downwardAPI": self.object(&[("items", Self::downward_items)]) }),
            6 => json!({ "clusterTrustBundle": { "name": "b", "path": "bundle.pem" } }),
            _ => self.object(&[
                ("serviceAccountToken", Self::token),
                ("podCertificate", |_| {
                    json!({ "signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "bundle" })
                }),
                ("later", |_| json!({ "a": [1.0] })),
            ]),
        }
    }

    fn projected(&mut self) -> Value {
        self.object(&[("sources", |it| it.list(3, Self::projection)), ("defaultMode", Self::mode)])
    }

    fn secret(&mut self) -> Value {
        self.with(
            &[("secretName", Self::secret_name)],
            &[
                ("items", Self::items),
                ("defaultMode", Self::mode),
                ("optional", Self::boolean),
                ("later", |_| json!({ "a": [1.0] })),
            ],
        )
    }

    fn volume_source(&mut self) -> Value {
        let mode: (&str, Generate) = ("defaultMode", Self::mode);
        match self.below(9) {
            0 => json!({ "projected": self.projected() }),
            1 | 2 => json!({ "secret": self.secret() }),
            3 | 4 => {
                let sources = json!([{ "serviceAccountToken": self.usual_token() }]);
                let mut projected = self.object(&[mode]);
                projected["sources"] = sources;
                json!({ "projected": projected })
            }
            5 => {
                json!({ "configMap": self.with(&[("name", |_| "c".into())], &[("items", Self::items), mode]) })
            }
            6 => json!({ "downwardAPI": self.object(&[("items", Self::downward_items), mode]) }),
            7 => {
                let source = self.object(&[("readOnly", Self::boolean)]);
                json!({ self.one_of(&READ_ONLY_SOURCES): source })
            }
            _ => json!({ self.one_of(&SOURCES): {} }),
        }
    }

    fn volumes(&mut self) -> Value {
        let number = self.below(VOLUMES.len() + 1);
        let volumes = VOLUMES.iter().take(number).map(|name| {
            let mut volume =
                if *name == API_ACCESS { self.api_access() } else { self.volume_source() };
            volume["name"] = json!(name);
            volume
        });
        volumes.collect()
    }

    /// Mostly what the API server injects.
    fn api_access(&mut self) -> Value {
        if self.below(4) == 3 {
            return self.volume_source();
        }
        json!({ "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [
                { "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } },
            ] } },
        ] } })
    }

    fn reference(&mut self) -> Value {
        self.with(&[("name", Self::secret_name)], &[("key", |_| "token".into())])
    }

    fn env(&mut self) -> Value {
        let value_from = |it: &mut Self| it.object(&[("secretKeyRef", Self::reference)]);
        self.object(&[("name", |_| "A".into()), ("valueFrom", value_from)])
    }

    fn mount(&mut self) -> Value {
        let sub_path: Generate = |it| it.text(&SUB_PATHS);
        let required: [(&str, Generate); 2] =
            [("name", Self::volume_name), ("mountPath", |it| it.text(&PATHS))];
        match self.below(8) {
            0 => self.with(&required, &[("subPath", sub_path), ("readOnly", Self::boolean)]),
            1 => {
                let expr: Generate = |it| it.text(&["token", "$(FILE)", "a", "ca.crt"]);
                self.with(&required, &[("subPathExpr", expr)])
            }
            2 => self.object(&required),
            _ => self.with(&required, &[]),
        }
    }

    fn windows_options(&mut self) -> Value {
        if self.below(12) == 11 { json!({ "hostProcess": false }) } else { Value::Null }
    }

    fn capabilities(&mut self) -> Value {
        let names: Generate = |it| it.list(2, |it| it.text(&CAPABILITIES));
        self.object(&[("drop", names), ("add", names)])
    }

    fn container(&mut self) -> Value {
        let name: Generate = |it| it.text(&CONTAINERS);
        self.with(
            &[("name", name), ("volumeMounts", |it| it.list(3, Self::mount))],
            &[
                ("env", |it| it.list(1, Self::env)),
                ("envFrom", |it| it.list(1, |it| it.object(&[("secretRef", Self::reference)]))),
                ("securityContext", |it| {
                    it.object(&[
                        ("runAsUser", Self::user),
                        ("runAsNonRoot", Self::boolean),
                        ("runAsGroup", Self::group),
                        ("capabilities", Self::capabilities),
                        ("privileged", |it| (it.below(4) == 0).into()),
                        ("windowsOptions", Self::windows_options),
                    ])
                }),
            ],
        )
    }

    fn init_container(&mut self) -> Value {
        let mut container = self.container();
        if self.below(2) > 0 {
            container["restartPolicy"] = json!("Always");
        }
        container
    }

    fn security_context(&mut self) -> Value {
        self.object(&[
            ("fsGroup", |it| if it.below(2) == 0 { Value::Null } else { it.group() }),
            ("runAsUser", Self::user),
            ("runAsGroup", Self::group),
            ("runAsNonRoot", Self::boolean),
            ("fsGroupChangePolicy", |it| it.text(&["Always", "OnRootMismatch"])),
            ("windowsOptions", Self::windows_options),
        ])
    }

    fn node_selector(&mut self) -> Value {
        let os: Generate = |it| it.text(&OPERATING_SYSTEMS);
        let mut selector = self.object(&[("kubernetes.io/os", os), ("beta.kubernetes.io/os", os)]);
        if let Some(labels) = selector.as_object_mut() {
            labels.retain(|_, value| !value.is_null());
        }
        selector
    }

    fn pod_spec(&mut self) -> Value {
        let account: Generate = |it| it.text(&ACCOUNTS);
        let mut spec = self.object(&[
            ("initContainers", |it| it.list(1, Self::init_container)),
            ("securityContext", Self::security_context),
            ("serviceAccountName", account),
            ("serviceAccount", account),
            ("automountServiceAccountToken", Self::boolean),
            ("os", |it| json!({ "name": it.text(&OPERATING_SYSTEMS) })),
            ("nodeSelector", Self::node_selector),
            ("terminationGracePeriodSeconds", |it| it.one_of(&[30, 600, 3601, 86401]).into()),
            ("later", |_| json!([{ "x": 1e3 }])),
        ]);
        spec["containers"] = (0..=self.below(2)).map(|_| self.container()).collect();
        if self.below(8) == 7 {
            spec["ephemeralContainers"] = self.list(2, Self::container);
        }
        spec["volumes"] = self.volumes();
        spec
    }

    /// A Pod, or a template of Pods.
    pub fn pod(&mut self) -> Value {
        let annotations: Generate = |it| {
            it.object(&[
                ("kubernetes.io/config.mirror", |_| "x".into()),
                ("example.com/exempt", |it| it.text(&["true", "false", "True"])),
            ])
        };
        let metadata = match self.below(8) {
            0 => json!({ "name": "p", "annotations": annotations(self) }),
            _ => json!({ "name": "p", "namespace": self.one_of(&NAMESPACES) }),
        };
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.pod_spec() })
    }

    fn token_request(&mut self) -> Value {
        let spec = self.object(&[
            ("audiences", |it| it.list(2, Self::audience)),
            ("expirationSeconds", Self::lifetime),
            ("boundObjectRef", |it| json!({ "kind": it.one_of(&["Pod", "Pod", "Node"]) })),
        ]);
        json!({ "spec": spec })
    }

    fn claims(&mut self) -> Value {
        self.list(1, |it| json!({ "metadata": { "name": it.volume_name() }, "spec": {} }))
    }

    /// Group, kind, subresource and object.
    fn target(&mut self) -> (&'static str, &'static str, &'static str, Value) {
        match self.below(16) {
            0 => ("apps", "Deployment", "", json!({ "spec": { "template": self.pod() } })),
            1 => {
                let job = json!({ "spec": { "template": self.pod() } });
                ("batch", "CronJob", "", json!({ "spec": { "jobTemplate": job } }))
            }
            2 => ("", "PodTemplate", "", json!({ "template": self.pod() })),
            3 => {
                let mut spec = self.object(&[("volumeClaimTemplates", Self::claims)]);
                spec["template"] = self.pod();
                ("apps", "StatefulSet", "", json!({ "spec": spec }))
            }
            4 | 5 => ("authentication.k8s.io", "TokenRequest", "token", self.token_request()),
            6 => {
                let spec = self.object(&[("tokenRequests", |it| it.list(2, Self::token))]);
                ("storage.k8s.io", "CSIDriver", "", json!({ "spec": spec }))
            }
            7 => {
                let kind: Generate =
                    |it| it.text(&["Opaque", "kubernetes.io/service-account-token"]);
                ("", "Secret", "", self.object(&[("type", kind), ("data", |_| json!({}))]))
            }
            8 => ("", "Pod", "ephemeralcontainers", self.pod()),
            _ => ("", "Pod", "", self.pod()),
        }
    }

    /// A request about a Pod, mostly, or another object that rules are about.
    pub fn request(&mut self) -> Value {
        let (group, kind, part, mut object) = self.target();
        let update = part == "ephemeralcontainers" || self.below(16) == 15;
        let old = if update && self.below(2) == 0 { object.clone() } else { Value::Null };
        let user = self.one_of(&[
            json!({ "username": "alex", "groups": ["dev", "system:authenticated"] }),
            json!({ "username": "system:node:worker", "groups": ["system:nodes"] }),
            json!({ "groups": ["dev"] }),
            json!({ "username": "", "groups": [] }),
            json!({}),
            Value::Null,
        ]);
        if let Some(uid) = self.one_of(&[None, Some(UID), Some("another"), Some("")]) {
            object["metadata"]["uid"] = json!(uid);
        }
        json!({
            "uid": self.one_of(&[UID, ""]), "operation": if update { "UPDATE" } else { "CREATE" },
            "kind": { "group": group, "version": "v1", "kind": kind },
            "subResource": part, "namespace": self.one_of(&NAMESPACES),
            "name": self.one_of(&ACCOUNTS), "userInfo": user,
            "object": object, "oldObject": old,
        })
    }

    fn fs_group(&mut self) -> Value {
        let choice: Generate = |it| it.text(&["Leave", "Set", "Reject"]);
        self.object(&[
            ("rule", |it| {
                it.text(&["MustRunAs", "MustRunAs", "MustRunAs", "MayRunAs", "RunAsAny"])
            }),
            ("ranges", |it| json!([{ "min": it.below(2), "max": it.one_of(&[65534, i32::MAX]) }])),
            ("commonUser", |it| it.text(&["Require", "Accept"])),
            ("persistentVolumes", choice),
            ("privateFiles", choice),
            ("rootContainers", choice),
        ])
    }

    fn api_server(&mut self) -> Value {
        let audiences = [
            json!([]),
            json!(["own"]),
            json!(["own*"]),
            json!(["own", "https://kubernetes.default.svc*"]),
        ];
        json!({ "extendsTokens": self.below(4) > 0, "audiences": self.one_of(&audiences) })
    }

    /// Settings that are valid.
    pub fn settings(&mut self) -> Value {
        let odd = std::mem::replace(&mut self.odd, false);
        let audience = json!([{
            "audience": self.one_of(&["vault", "own", "*", "https://kubernetes.default.svc*"]),
            "maxExpirationSeconds": self.one_of(&[600, 7200]),
        }]);
        let allowed = [json!(["vault*", "sts.*"]), json!([])];
        let exceptions = json!([{ "namespaces": ["ci-*"], "maxExpirationSeconds": 86400 }]);
        let mut settings = json!({ "mode": self.one_of(&["mutate", "reject", "warn"]) });
        for (key, value) in [
            ("maxExpirationSeconds", json!(self.one_of(&[600, 3600, 86400, 31_536_000]))),
            ("audiences", audience),
            ("allowedAudiences", self.one_of(&allowed)),
            ("apiServer", self.api_server()),
            ("legacyTokens", json!({ "rule": self.one_of(&["Reject", "Reject", "Allow"]) })),
            ("exemptNamespaces", json!(["kube-*"])),
            ("exemptServiceAccounts", json!(["ci-*/builder"])),
            ("optOutAnnotation", json!("example.com/exempt")),
            ("overrides", exceptions),
        ] {
            if self.below(3) == 0 {
                settings[key] = value;
            }
        }
        if self.below(2) == 0 {
            settings["fsGroup"] = self.fs_group();
        }
        self.odd = odd;
        settings
    }
}
