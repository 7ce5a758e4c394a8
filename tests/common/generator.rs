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

const LIFETIMES: [i64; 9] = [
    3607,
    600,
    3599,
    3600,
    3601,
    3606,
    3608,
    86400,
    4_294_967_296,
];
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
const NAMESPACES: [&str; 5] = ["payments", "kube-system", "ci-1", "shop", ""];
const PATHS: [&str; 20] = [
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
    "c:\\var\\run\\.\\secrets\\kubernetes.io\\serviceaccount\\",
    "C:/var/run/secrets/kubernetes.io/serviceaccount/token",
    "\\var\\run\\secrets\\kubernetes.io",
    "D:\\data",
    "",
];
/// Where clients look for a token, in some spellings.
const TOKEN_FOLDERS: [&str; 4] = [
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets/kubernetes.io/serviceaccount/",
    "C:\\var\\run\\secrets\\kubernetes.io\\serviceaccount",
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
const SUB_PATHS: [&str; 8] = [
    "..data",
    "..data/token",
    "token",
    "ca.crt",
    "a",
    "serviceaccount",
    "./token",
    "",
];
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
const SOURCES: [&str; 7] = [
    "emptyDir",
    "hostPath",
    "ephemeral",
    "image",
    "gitRepo",
    "flocker",
    "volumeSourceOfTomorrow",
];
/// Keys of node labels in an affinity, with values and operators.
const LABELS: [&str; 3] = [
    "kubernetes.io/os",
    "node.kubernetes.io/windows-build",
    "topology.kubernetes.io/zone",
];
const OPERATORS: [&str; 4] = ["In", "In", "Exists", "NotIn"];
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
pub const TOKEN_SECRET: &str = "kubernetes.io/service-account-token";
/// Values of a Secret's key `token`, and the namespace and Secret that the claims of each name.
pub const TOKENS: [(&str, Option<(&str, &str)>); 5] = [
    ("", None),
    ("eyJ", None),
    ("bm8gSldU", None),
    (TOKEN_OF_CI_TOKEN, Some(("shop", "ci-token"))),
    (TOKEN_OF_OTHER, Some(("shop", "other-token"))),
];
const TOKEN_OF_CI_TOKEN: &str = concat!(
    "ZXlKaGJHY2lPaUpTVXpJMU5pSXNJbXRwWkNJNkltc2lmUS5leUpwYzNNaU9pSnJkV0psY201bGRHVnpMM05sY25a",
    "cFkyVmhZMk52ZFc1MElpd2lhM1ZpWlhKdVpYUmxjeTVwYnk5elpYSjJhV05sWVdOamIzVnVkQzl1WVcxbGMzQmhZ",
    "MlVpT2lKemFHOXdJaXdpYTNWaVpYSnVaWFJsY3k1cGJ5OXpaWEoyYVdObFlXTmpiM1Z1ZEM5elpXTnlaWFF1Ym1G",
    "dFpTSTZJbU5wTFhSdmEyVnVJaXdpYTNWaVpYSnVaWFJsY3k1cGJ5OXpaWEoyYVdObFlXTmpiM1Z1ZEM5elpYSjJh",
    "V05sTFdGalkyOTFiblF1Ym1GdFpTSTZJbUoxYVd4a1pYSWlMQ0pyZFdKbGNtNWxkR1Z6TG1sdkwzTmxjblpwWTJW",
    "aFkyTnZkVzUwTDNObGNuWnBZMlV0WVdOamIzVnVkQzUxYVdRaU9pSTJaakZqSWl3aWMzVmlJam9pYzNsemRHVnRP",
    "bk5sY25acFkyVmhZMk52ZFc1ME9uTm9iM0E2WW5WcGJHUmxjaUo5LmMybG5ibUYwZFhKbA==",
);
const TOKEN_OF_OTHER: &str = concat!(
    "ZXlKaGJHY2lPaUpTVXpJMU5pSXNJbXRwWkNJNkltc2lmUS5leUpwYzNNaU9pSnJkV0psY201bGRHVnpMM05sY25a",
    "cFkyVmhZMk52ZFc1MElpd2lhM1ZpWlhKdVpYUmxjeTVwYnk5elpYSjJhV05sWVdOamIzVnVkQzl1WVcxbGMzQmhZ",
    "MlVpT2lKemFHOXdJaXdpYTNWaVpYSnVaWFJsY3k1cGJ5OXpaWEoyYVdObFlXTmpiM1Z1ZEM5elpXTnlaWFF1Ym1G",
    "dFpTSTZJbTkwYUdWeUxYUnZhMlZ1SWl3aWEzVmlaWEp1WlhSbGN5NXBieTl6WlhKMmFXTmxZV05qYjNWdWRDOXpa",
    "WEoyYVdObExXRmpZMjkxYm5RdWJtRnRaU0k2SW1KMWFXeGtaWElpTENKemRXSWlPaUp6ZVhOMFpXMDZjMlZ5ZG1s",
    "alpXRmpZMjkxYm5RNmMyaHZjRHBpZFdsc1pHVnlJbjAuYzJsbmJtRjBkWEps",
);
const CAPABILITIES: [&str; 7] = [
    "ALL",
    "SETGID",
    "CAP_SETGID",
    "setgid",
    "CAP_ALL",
    "all",
    "NET_BIND_SERVICE",
];
const OPERATING_SYSTEMS: [&str; 6] = ["linux", "linux", "linux", "linux", "linux", "windows"];
const MODES: [&str; 3] = ["mutate", "reject", "warn"];
const MAXIMA: [i64; 5] = [600, 3600, 3606, 86400, 31_536_000];
const UID: &str = "4a21420c-686c-5466-bea4-2c94014ab0d0";

impl<'c> Choices<'c> {
    /// Everything that can be in a request, right or wrong.
    pub fn new(choices: &'c [u8]) -> Self {
        Self {
            choices: choices.iter(),
            odd: true,
        }
    }

    /// Only what Kubernetes' types can hold.
    pub fn typed(choices: &'c [u8]) -> Self {
        Self {
            choices: choices.iter(),
            odd: false,
        }
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
        self.one_of(&[
            json!(3607.0),
            json!("3600"),
            json!([]),
            json!({}),
            json!(true),
            big,
        ])
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
        self.one_of(&[0_i64, 1, 65534, 3000, -1, 1 << 31, 70_000, 65535])
            .into()
    }

    fn user(&mut self) -> Value {
        self.one_of(&[0, 1000, 2000]).into()
    }

    fn boolean(&mut self) -> Value {
        (self.below(2) > 0).into()
    }

    fn mode(&mut self) -> Value {
        self.one_of(&[0o644, 0o400, 0o600, 0o440, 0o640, 0o400, 0, 0o777])
            .into()
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
            &[
                ("key", |it| it.text(&KEYS)),
                ("path", |it| it.text(&ITEM_PATHS)),
            ],
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
        self.object(&[
            ("sources", |it| it.list(3, Self::projection)),
            ("defaultMode", Self::mode),
        ])
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
        match self.below(10) {
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
            8 => {
                let source = self.object(&[("readOnly", |it| (it.below(4) == 0).into())]);
                json!({ self.one_of(&SOURCES): source })
            }
            _ => json!({}),
        }
    }

    /// Seldom two of one name, which the API server refuses, and members that are no sources.
    fn volumes(&mut self) -> Value {
        let number = self.below(VOLUMES.len() + 1);
        let repeats = self.odd && self.below(16) == 15;
        let volumes = VOLUMES.iter().take(number).map(|name| {
            let mut volume = if *name == API_ACCESS {
                self.api_access()
            } else {
                self.volume_source()
            };
            if self.below(8) == 7 {
                let other = self.one_of(&["csi", "emptyDir", "persistentVolumeClaim", "later"]);
                if volume[other].is_null() {
                    volume[other] = Value::Null;
                }
            }
            volume["name"] = json!(if repeats { VOLUMES[0] } else { name });
            volume
        });
        volumes.collect()
    }

    /// Mostly what the API server injects.
    fn api_access(&mut self) -> Value {
        if self.below(4) == 3 {
            return self.volume_source();
        }
        let seconds = self.one_of(&[3607, 3607, 3607, 3600, 600]);
        json!({ "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": seconds, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [
                { "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } },
            ] } },
        ] } })
    }

    fn key_reference(&mut self) -> Value {
        let key: Generate = |it| it.text(&["token", "token", "ca.crt", "namespace", "other"]);
        self.with(&[("name", Self::secret_name), ("key", key)], &[])
    }

    fn value_from(&mut self) -> Value {
        let config: Generate = |_| json!({ "name": "c", "key": "token" });
        self.object(&[
            ("secretKeyRef", Self::key_reference),
            ("configMapKeyRef", config),
        ])
    }

    fn env(&mut self) -> Value {
        self.object(&[("name", |_| "A".into()), ("valueFrom", Self::value_from)])
    }

    fn env_from(&mut self) -> Value {
        self.object(&[("secretRef", |it| it.object(&[("name", Self::secret_name)]))])
    }

    fn device(&mut self) -> Value {
        json!({ "name": self.volume_name(), "devicePath": "/dev/x" })
    }

    fn mount(&mut self) -> Value {
        let sub_path: Generate = |it| it.text(&SUB_PATHS);
        let required: [(&str, Generate); 2] = [
            ("name", Self::volume_name),
            ("mountPath", |it| it.text(&PATHS)),
        ];
        match self.below(8) {
            0 => self.with(
                &required,
                &[("subPath", sub_path), ("readOnly", Self::boolean)],
            ),
            1 => {
                let expr: Generate = |it| it.text(&["token", "$(FILE)", "a", "ca.crt"]);
                self.with(&required, &[("subPathExpr", expr)])
            }
            2 => self.object(&required),
            _ => self.with(&required, &[]),
        }
    }

    fn windows_options(&mut self) -> Value {
        if self.below(12) == 11 {
            json!({ "hostProcess": false })
        } else {
            Value::Null
        }
    }

    fn capabilities(&mut self) -> Value {
        let names: Generate = |it| it.list(2, |it| it.text(&CAPABILITIES));
        self.object(&[("drop", names), ("add", names)])
    }

    fn container(&mut self) -> Value {
        let name: Generate = |it| it.text(&CONTAINERS);
        self.with(
            &[
                ("name", name),
                ("volumeMounts", |it| it.list(3, Self::mount)),
            ],
            &[
                ("env", |it| it.list(1, Self::env)),
                ("envFrom", |it| it.list(1, Self::env_from)),
                ("volumeDevices", |it| it.list(1, Self::device)),
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
            ("fsGroup", |it| {
                if it.below(2) == 0 {
                    Value::Null
                } else {
                    it.group()
                }
            }),
            ("runAsUser", Self::user),
            ("runAsGroup", Self::group),
            ("runAsNonRoot", Self::boolean),
            ("fsGroupChangePolicy", |it| {
                it.text(&["Always", "OnRootMismatch"])
            }),
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

    /// A required node affinity; now and then a preferred one, which decides nothing.
    fn affinity(&mut self) -> Value {
        let expression = |it: &mut Self| {
            let operator = it.one_of(&OPERATORS);
            let mut expression = json!({ "key": it.one_of(&LABELS), "operator": operator });
            if operator != "Exists" {
                let values = [
                    json!(["windows"]),
                    json!(["linux"]),
                    json!(["windows", "linux"]),
                ];
                expression["values"] = it.one_of(&values);
            }
            expression
        };
        let terms: Value = (0..=self.below(2))
            .map(|_| json!({ "matchExpressions": [expression(self)] }))
            .collect();
        if self.below(8) == 7 {
            return json!({ "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution":
                    [{ "weight": 1, "preference": terms[0] }],
            } });
        }
        json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
        } })
    }

    fn pod_spec(&mut self) -> Value {
        let account: Generate = |it| it.text(&ACCOUNTS);
        let mut spec = self.object(&[
            ("initContainers", |it| it.list(1, Self::init_container)),
            ("securityContext", Self::security_context),
            ("serviceAccountName", account),
            ("serviceAccount", account),
            ("os", |it| json!({ "name": it.text(&OPERATING_SYSTEMS) })),
            ("nodeSelector", Self::node_selector),
            ("terminationGracePeriodSeconds", |it| {
                it.one_of(&[30, 600, 3601, 86401]).into()
            }),
            ("later", |_| json!([{ "x": 1e3 }])),
        ]);
        let seldom: [(&str, Generate); 4] = [
            ("automountServiceAccountToken", Self::boolean),
            ("hostUsers", Self::boolean),
            ("affinity", Self::affinity),
            ("ephemeralContainers", |it| it.list(2, Self::container)),
        ];
        spec["containers"] = (0..=self.below(2)).map(|_| self.container()).collect();
        spec["volumes"] = self.volumes();
        for (key, value) in seldom {
            if self.below(6) == 5 {
                spec[key] = value(self);
            }
        }
        if self.below(4) == 3 {
            self.add_legacy_volume(&mut spec);
        }
        spec
    }

    /// The Pod's own token Secret, mostly where clients look for a token.
    fn add_legacy_volume(&mut self, spec: &mut Value) {
        let account = ["serviceAccountName", "serviceAccount"]
            .iter()
            .find_map(|member| spec[member].as_str().filter(|account| !account.is_empty()))
            .unwrap_or("default");
        let base: String = format!("{account}-token-").chars().take(58).collect();
        let mut secret = match self.below(4) {
            0 => self.secret(),
            1 => self.object(&[("items", Self::items), ("defaultMode", Self::mode)]),
            _ => json!({}),
        };
        secret["secretName"] = json!(format!("{base}x7k2p"));
        let mut mount = match self.below(4) {
            0 => self.mount(),
            _ => json!({ "mountPath": self.one_of(&TOKEN_FOLDERS) }),
        };
        mount["name"] = json!("legacy");
        let volume = json!({ "name": "legacy", "secret": secret });
        if let Some(volumes) = spec["volumes"].as_array_mut() {
            volumes.push(volume);
        }
        if let Some(mounts) = spec["containers"][0]["volumeMounts"].as_array_mut() {
            mounts.push(mount);
        }
    }

    /// A Pod, or a template of Pods.
    pub fn pod(&mut self) -> Value {
        let annotations: Generate = |it| {
            it.object(&[
                ("kubernetes.io/config.mirror", |_| "x".into()),
                ("example.com/exempt", |it| {
                    it.text(&["true", "false", "True"])
                }),
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
            ("audiences", |it| it.list(3, Self::audience)),
            ("expirationSeconds", Self::lifetime),
            (
                "boundObjectRef",
                |it| json!({ "kind": it.one_of(&["Pod", "Pod", "Node"]) }),
            ),
        ]);
        json!({ "spec": spec })
    }

    fn claims(&mut self) -> Value {
        self.list(1, |it| {
            let mode: Generate = |it| it.text(&["Block", "Filesystem"]);
            let spec = it.object(&[("volumeMode", mode)]);
            json!({ "metadata": { "name": it.volume_name() }, "spec": spec })
        })
    }

    fn secret_annotations(&mut self) -> Value {
        let mut annotations =
            json!({ ACCOUNT_NAME: self.one_of(&["builder", "builder", "admin"]) });
        if let Some(uid) = self.one_of(&[Some("6f1c"), Some("6f1c"), Some("77aa"), Some(""), None])
        {
            annotations[ACCOUNT_UID] = json!(uid);
        }
        annotations
    }

    /// A Secret of this type, as it may be before or after an update.
    fn stored_secret(&mut self, kind: &str) -> Value {
        let name = self.one_of(&["ci-token", "ci-token", "other-token"]);
        let mut secret = json!({
            "type": kind, "metadata": { "name": name, "labels": {} }, "data": { "ca.crt": "Q0E=" },
        });
        if kind == TOKEN_SECRET || self.below(4) == 0 {
            secret["metadata"]["annotations"] = self.secret_annotations();
        }
        if let Some(since) = self.one_of(&[None, None, Some("2026-01-01"), Some("")]) {
            secret["metadata"]["labels"][INVALID_SINCE] = json!(since);
        }
        if self.below(4) > 0 {
            secret["data"]["token"] = json!(self.one_of(&TOKENS).0);
        }
        for member in ["labels", "data"] {
            if self.odd && self.below(16) == 15 {
                let place = if member == "data" {
                    &mut secret
                } else {
                    &mut secret["metadata"]
                };
                place[member] = Value::Null;
            }
        }
        secret
    }

    /// A Secret before an update and after it: mostly one member of it changes.
    fn secret_update(&mut self) -> (Value, Value) {
        let kind = self.one_of(&[TOKEN_SECRET, TOKEN_SECRET, "Opaque"]);
        let old = self.stored_secret(kind);
        let other = self.stored_secret(kind);
        let mut new = old.clone();
        for pointer in ["/metadata/annotations", "/metadata/labels", "/data"] {
            if self.below(3) == 0
                && let Some(value) = other.pointer(pointer)
                && let Some(place) = new.pointer_mut(pointer)
            {
                *place = value.clone();
            }
        }
        if self.below(2) == 0 {
            new["metadata"]["labels"]["team"] = json!("a");
        }
        (old, new)
    }

    /// A Pod, and the same with another ephemeral container or two.
    fn ephemeral_update(&mut self) -> (Value, Value) {
        let old = self.pod();
        let mut new = old.clone();
        let mut containers: Vec<_> = new["spec"]["ephemeralContainers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        containers.extend((0..=self.below(2)).map(|_| self.container()));
        new["spec"]["ephemeralContainers"] = json!(containers);
        (old, new)
    }

    /// Group, kind, subresource and object of something that is new.
    fn target(&mut self) -> (&'static str, &'static str, &'static str, Value) {
        match self.below(20) {
            kind @ 0..=4 => self.template(kind),
            5..=7 => (
                "authentication.k8s.io",
                "TokenRequest",
                "token",
                self.token_request(),
            ),
            8 => {
                let spec = self.object(&[("tokenRequests", |it| it.list(2, Self::token))]);
                ("storage.k8s.io", "CSIDriver", "", json!({ "spec": spec }))
            }
            9 => {
                let kind = self.one_of(&["Opaque", TOKEN_SECRET]);
                ("", "Secret", "", self.stored_secret(kind))
            }
            _ => ("", "Pod", "", self.pod()),
        }
    }

    /// The same of an object with a template of Pods.
    fn template(&mut self, kind: usize) -> (&'static str, &'static str, &'static str, Value) {
        let mut template = json!({ "template": self.pod() });
        match kind {
            0 => ("apps", "Deployment", "", json!({ "spec": template })),
            1 => {
                let spec = json!({ "jobTemplate": { "spec": template } });
                ("batch", "CronJob", "", json!({ "spec": spec }))
            }
            2 => ("", "PodTemplate", "", template),
            3 => {
                if self.below(2) == 0 {
                    template["volumeClaimTemplates"] = self.claims();
                }
                ("apps", "StatefulSet", "", json!({ "spec": template }))
            }
            _ => ("batch", "Job", "", json!({ "spec": template })),
        }
    }

    /// A request about a Pod, mostly, or another object that rules are about.
    pub fn request(&mut self) -> Value {
        let update = self.below(8);
        if update >= 6 {
            return self.update();
        }
        let (group, kind, part, object) = self.target();
        self.about(("CREATE", group, kind, part), object, &Value::Null)
    }

    fn update(&mut self) -> Value {
        let what = self.below(8);
        if what < 3 {
            let (old, new) = self.ephemeral_update();
            let old = if self.odd && self.below(8) == 7 {
                Value::Null
            } else {
                old
            };
            return self.about(("UPDATE", "", "Pod", "ephemeralcontainers"), new, &old);
        }
        if what < 6 {
            return self.update_of_secret();
        }
        let (group, kind, part, object) = self.target();
        let old = match self.below(3) {
            0 => object.clone(),
            1 => self.target().3,
            _ => Value::Null,
        };
        self.about(("UPDATE", group, kind, part), object, &old)
    }

    /// A Secret is changed.
    pub fn update_of_secret(&mut self) -> Value {
        let (old, new) = self.secret_update();
        self.about(("UPDATE", "", "Secret", ""), new, &old)
    }

    /// A Secret is created.
    pub fn creation_of_secret(&mut self) -> Value {
        let kind = self.one_of(&["Opaque", TOKEN_SECRET]);
        let secret = self.stored_secret(kind);
        self.about(("CREATE", "", "Secret", ""), secret, &Value::Null)
    }

    /// Somebody asks for a token.
    pub fn creation_of_token(&mut self) -> Value {
        let object = self.token_request();
        let what = ("CREATE", "authentication.k8s.io", "TokenRequest", "token");
        self.about(what, object, &Value::Null)
    }

    fn user_info(&mut self, kind: &str) -> Value {
        let node = json!({
            "username": "system:node:worker", "groups": ["system:nodes", "system:authenticated"],
        });
        if kind == "TokenRequest" && self.below(2) == 0 {
            return node;
        }
        self.one_of(&[
            json!({ "username": "alex", "groups": ["dev", "system:authenticated"] }),
            json!({ "groups": ["dev"] }),
            json!({ "username": "", "groups": [] }),
            json!({}),
            Value::Null,
            // Each half of a node.
            json!({ "username": "system:node:worker", "groups": ["system:authenticated"] }),
            json!({ "username": "alex", "groups": ["system:nodes"] }),
            node,
        ])
    }

    /// The request about an object: operation, group, kind and subresource, the object, and what
    /// it was before.
    fn about(&mut self, what: (&str, &str, &str, &str), mut object: Value, old: &Value) -> Value {
        let (operation, group, kind, part) = what;
        let user = self.user_info(kind);
        if let Some(uid) = self.one_of(&[None, Some(UID), Some("another"), Some("")]) {
            object["metadata"]["uid"] = json!(uid);
        }
        let name = match object["metadata"]["name"].as_str() {
            Some(name) if kind == "Secret" => json!(name),
            _ => self.text(&ACCOUNTS),
        };
        json!({
            "uid": self.one_of(&[UID, ""]), "operation": operation,
            "kind": { "group": group, "version": "v1", "kind": kind },
            "subResource": part, "namespace": self.one_of(&NAMESPACES), "name": name,
            "userInfo": user, "object": object, "oldObject": old,
        })
    }

    fn fs_group(&mut self) -> Value {
        let choice: Generate = |it| it.text(&["Leave", "Set", "Reject"]);
        let groups = [
            json!([{ "min": 1, "max": 65534 }]),
            json!([{ "min": 0, "max": i32::MAX }]),
            json!([{ "min": 0, "max": 10 }, { "min": 1_000, "max": i32::MAX }]),
            json!([{ "min": 70_000, "max": 80_000 }]),
        ];
        let ranges = self.one_of(&groups);
        let mut fs_group = self.object(&[
            ("rule", |it| {
                it.text(&[
                    "MustRunAs",
                    "MustRunAs",
                    "MustRunAs",
                    "MayRunAs",
                    "RunAsAny",
                ])
            }),
            ("commonUser", |it| it.text(&["Require", "Accept"])),
            ("persistentVolumes", choice),
            ("privateFiles", choice),
            ("rootContainers", choice),
        ]);
        if self.below(2) == 0 {
            fs_group["ranges"] = ranges.clone();
            let only_high = ranges[0]["min"] == 70_000;
            fs_group["default"] = json!(if only_high { 75_000 } else { 65_534 });
        }
        fs_group
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

    fn overrides(&mut self) -> Value {
        self.list(3, |it| {
            let patterns = [json!(["ci-*"]), json!(["*"]), json!(["shop", "payments"])];
            let mut entry = json!({ "namespaces": it.one_of(&patterns) });
            if it.below(2) == 0 {
                entry["mode"] = it.text(&MODES);
            }
            if it.below(2) == 0 {
                entry["maxExpirationSeconds"] = it.one_of(&MAXIMA).into();
            }
            entry
        })
    }

    fn automount(&mut self) -> Value {
        let accounts: Generate = |it| {
            it.one_of(&[
                json!(["*/default"]),
                json!(["*/*"]),
                json!(["payments/*", "ci-*/builder"]),
            ])
        };
        let rule: Generate = |it| it.text(&["Allow", "Warn", "Warn", "Reject"]);
        self.object(&[("rule", rule), ("serviceAccounts", accounts)])
    }

    fn legacy_tokens(&mut self) -> Value {
        let rule: Generate = |it| it.text(&["Reject", "Reject", "Reject", "Allow"]);
        let detect: Generate = |it| it.text(&["Name", "Name", "Name", "Lookup"]);
        self.object(&[("rule", rule), ("detect", detect)])
    }

    /// No audience twice, which isn't valid.
    fn audience_maxima(&mut self) -> Value {
        let maxima = [
            &["vault", "own"][..],
            &["sts.*", "*", "https://kubernetes.default.svc*"],
        ];
        let mut entries = Vec::new();
        for audiences in maxima {
            if self.below(2) == 0 {
                entries.push(json!({
                    "audience": self.text(audiences),
                    "maxExpirationSeconds": self.one_of(&[600, 7200, 86400]),
                }));
            }
        }
        json!(entries)
    }

    /// Settings that are valid.
    pub fn settings(&mut self) -> Value {
        let odd = std::mem::replace(&mut self.odd, false);
        let members: [(&str, Generate<'c>); 12] = [
            ("mode", |it| it.text(&MODES)),
            ("maxExpirationSeconds", |it| it.one_of(&MAXIMA).into()),
            ("audiences", Self::audience_maxima),
            ("allowedAudiences", |it| {
                it.one_of(&[json!(["vault*", "sts.*"]), json!([])])
            }),
            ("apiServer", Self::api_server),
            ("legacyTokens", Self::legacy_tokens),
            ("fsGroup", Self::fs_group),
            ("automount", Self::automount),
            ("exemptNamespaces", |_| json!(["kube-*"])),
            ("exemptServiceAccounts", |_| {
                json!(["ci-*/builder", "shop/admin"])
            }),
            ("optOutAnnotation", |_| json!("example.com/exempt")),
            ("overrides", Self::overrides),
        ];
        let mut settings = json!({});
        for (key, value) in members {
            if self.below(3) == 0 {
                settings[key] = value(self);
            }
        }
        self.odd = odd;
        settings
    }
}
