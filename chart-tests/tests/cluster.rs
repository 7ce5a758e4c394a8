//! What the objects in a cluster don't allow is refused before anything changes, with the way out.

use chart_tests::cluster;
use chart_tests::helm::{NAMESPACE, RELEASE, policy, rendered, template_in};
use serde_json::{Value, json};

/// An object as a release of Helm makes it.
fn of_release(mut object: Value, release: &str) -> Value {
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    metadata["annotations"]["meta.helm.sh/release-name"] = json!(release);
    metadata["annotations"]["meta.helm.sh/release-namespace"] = json!(NAMESPACE);
    object
}

fn server(name: &str, release: &str) -> Value {
    let server = json!({
        "apiVersion": "policies.kubewarden.io/v1", "kind": "PolicyServer",
        "metadata": { "name": name, "labels": {}, "annotations": {} },
        "spec": { "image": "policy-server", "replicas": 1 },
    });
    of_release(server, release)
}

#[test]
fn what_cannot_be_changed_in_place_is_refused_with_the_way_out() {
    let values = json!({ "step": "enforce" });
    let installed = vec![
        of_release(policy(&rendered(&values), "").clone(), RELEASE),
        of_release(policy(&rendered(&values), "-final").clone(), RELEASE),
        server(RELEASE, RELEASE),
        server("shared", "kubewarden-defaults"),
    ];
    let elsewhere = vec![server("shared", "kubewarden-defaults")];
    let backstop = json!({ "step": "enforce", "backstop": { "enabled": true } });
    for (case, version, objects, values, expected) in [
        ("nothing is there", "v1.35.2", &vec![], &values, None),
        ("the same again", "v1.35.2", &installed, &values, None),
        (
            "another step",
            "v1.35.2",
            &installed,
            &json!({ "step": "see" }),
            None,
        ),
        (
            "another server",
            "v1.35.2",
            &installed,
            &json!({ "policyServer": { "name": "another" } }),
            Some(
                "runs on PolicyServer bound-service-account-tokens and can't move to another: keep the old one, or uninstall",
            ),
        ),
        (
            "an existing server instead of the release's",
            "v1.35.2",
            &installed,
            &json!({ "policyServer": { "create": false, "name": "shared" } }),
            Some("can't move to shared"),
        ),
        (
            "the release's server, no longer its own",
            "v1.35.2",
            &installed,
            &json!({ "policyServer": { "create": false, "name": RELEASE } }),
            Some("was made by this release, and Helm would delete it"),
        ),
        (
            "an existing server from the first day",
            "v1.35.2",
            &elsewhere,
            &json!({ "policyServer": { "create": false, "name": "shared" } }),
            None,
        ),
        (
            "a cluster without MutatingAdmissionPolicy",
            "v1.35.2",
            &installed,
            &backstop,
            Some("needs Kubernetes 1.36"),
        ),
        (
            "one of a provider",
            "v1.35.2-gke.100",
            &installed,
            &backstop,
            Some("needs Kubernetes 1.36"),
        ),
        ("a cluster with it", "v1.36.2", &installed, &backstop, None),
        (
            "one of a provider with it",
            "v1.36.1-eks-123",
            &installed,
            &backstop,
            None,
        ),
    ] {
        let kubeconfig = cluster::start(version, objects);
        match (template_in(&kubeconfig, values), expected) {
            (Ok(_), None) => {}
            (Err(message), Some(expected)) => {
                assert!(message.contains(expected), "{case}: {message}");
            }
            (answer, _) => panic!("{case}: {:?}", answer.err()),
        }
    }
}
