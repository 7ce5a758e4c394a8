//! Which Secrets that a Pod refers to hold a token that never expires, and whose it is.

use crate::cluster::{LookUpError, Secrets};
use crate::review::{Review, SecretReference};
use crate::settings::{Detect, LegacyRule, Settings};
use std::borrow::Cow;

/// How many random characters end a name, and where Kubernetes cuts what comes before them
/// (`staging/src/k8s.io/apiserver/pkg/storage/names/generate.go`).
const RANDOM_LENGTH: usize = 5;
const LONGEST_BASE: usize = 58;

/// A reference to a Secret with a token that never expires.
pub struct LegacyToken<'r> {
    pub reference: &'r SecretReference<'r>,
    /// The service account; empty where it isn't known.
    pub owner: Cow<'r, str>,
    /// True where there is no doubt that it is this account's token: a Secret with such a name may
    /// hold another program's.
    pub is_certain: bool,
}

/// What is found about a reference: a token, or why nobody can tell.
pub enum Finding<'r> {
    LegacyToken(LegacyToken<'r>),
    Unknown(&'r SecretReference<'r>, LookUpError),
}

/// Finds the references to legacy tokens.
pub fn find<'r>(
    review: &'r Review<'r>,
    settings: &Settings,
    secrets: &Secrets,
) -> Vec<Finding<'r>> {
    if settings.legacy_tokens.rule == LegacyRule::Allow {
        return Vec::new();
    }
    let named = review
        .secrets
        .iter()
        .filter(|reference| !reference.name.is_empty());
    let found = named.filter_map(|reference| match settings.legacy_tokens.detect {
        Detect::Name => find_by_name(reference, review.service_account),
        Detect::Lookup => look_up(reference, secrets),
    });
    found.collect()
}

fn find_by_name<'r>(reference: &'r SecretReference<'r>, own: &'r str) -> Option<Finding<'r>> {
    let is_seen = reference.is_seen_as_token;
    let owner = owner_in_name(reference.name, own);
    match owner.filter(|_| is_seen || reference.used.shows_token_key()) {
        Some(owner) => Some(Finding::LegacyToken(LegacyToken {
            reference,
            owner: owner.into(),
            is_certain: is_seen || is_cut_name(reference.name, own),
        })),
        None => find_by_mount(reference),
    }
}

/// Where clients look for a token they take any file for one, whatever its key is called.
fn find_by_mount<'r>(reference: &'r SecretReference<'r>) -> Option<Finding<'r>> {
    reference.is_seen_as_token.then(|| {
        Finding::LegacyToken(LegacyToken {
            reference,
            owner: "".into(),
            is_certain: false,
        })
    })
}

fn look_up<'r>(reference: &'r SecretReference<'r>, secrets: &Secrets) -> Option<Finding<'r>> {
    if !reference.used.shows_token_key() {
        return find_by_mount(reference);
    }
    match secrets.look_up(reference.name) {
        Err(error) => Some(Finding::Unknown(reference, error)),
        Ok(None) => find_by_mount(reference),
        Ok(Some(owner)) => Some(Finding::LegacyToken(LegacyToken {
            reference,
            owner: owner.into(),
            is_certain: true,
        })),
    }
}

/// The account in the name that Kubernetes gave to a Secret. What it cut of a long name is known
/// only of the Pod's own account.
fn owner_in_name<'n>(secret: &'n str, own: &'n str) -> Option<&'n str> {
    if is_cut_name(secret, own) {
        return Some(own);
    }
    let owner = base_of_generated(secret)?.strip_suffix("-token-")?;
    Some(owner).filter(|owner| !owner.is_empty())
}

/// True for a name of which Kubernetes cut the end, `-token-` or a part of it. What is left has 58
/// characters in common with the account: nobody calls another Secret so by chance.
fn is_cut_name(secret: &str, own: &str) -> bool {
    let base = base_of_generated(secret).filter(|base| base.len() == LONGEST_BASE);
    base.is_some_and(|base| !own.is_empty() && format!("{own}-token-").starts_with(base))
}

/// What comes before the random characters of a generated name.
fn base_of_generated(name: &str) -> Option<&str> {
    let length = name.len().checked_sub(RANDOM_LENGTH)?;
    let (base, random) = name.split_at_checked(length)?;
    random.bytes().all(is_random).then_some(base)
}

/// The characters of generated names are those without vowels, and without digits that look like
/// them (`staging/src/k8s.io/apimachinery/pkg/util/rand`): `bcdfghjklmnpqrstvwxz2456789`.
fn is_random(byte: u8) -> bool {
    matches!(byte, b'b'..=b'z' | b'2' | b'4'..=b'9')
        && !matches!(byte, b'e' | b'i' | b'o' | b'u' | b'y')
}

/// True for a name that Kubernetes generated from this base.
pub fn is_generated(name: &str, base: &str) -> bool {
    base_of_generated(name) == Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_gave() {
        let long = "inventory-synchronisation-controller-emea-production-agent";
        let half = "inventory-synchronisation-controller-emea-production";
        let cut = format!("{long}x7kzp");
        let half_cut = format!("{half}-tokenx7kzp");
        let uncut = format!("{long}-token-x7kzp");
        for (name, own, owner) in [
            ("default-token-x7k2p", "default", Some("default")),
            ("my-app-token-bcdfg", "default", Some("my-app")),
            (
                "a-token-bcdfg-token-24569",
                "default",
                Some("a-token-bcdfg"),
            ),
            ("a.b-token-zzzzz", "default", Some("a.b")),
            ("app-token-store", "app", None),
            ("my-token-abcde", "my", None),
            ("default-token-x7k2", "default", None),
            ("default-token-x7k2pp", "default", None),
            ("default-token-X7K2P", "default", None),
            ("default-token-13013", "default", None),
            ("-token-x7k2p", "", None),
            ("token-x7k2p", "", None),
            ("default-tokenx7k2p", "default", None),
            ("default-token-x7k2é", "default", None),
            ("", "default", None),
            ("x7k2p", "default", None),
            // Cut at 58 characters.
            (&*cut, long, Some(long)),
            (&*half_cut, half, Some(half)),
            (&*cut, "default", None),
            // Too long to be generated, but there is no doubt about it.
            (&*uncut, "default", Some(long)),
        ] {
            assert_eq!(owner_in_name(name, own), owner, "{name} of {own}");
        }
    }

    #[test]
    fn names_with_a_base() {
        for (name, expected) in [
            ("kube-api-access-x7k2p", true),
            ("kube-api-access-own", false),
            ("kube-api-access-abcde", false),
            ("kube-api-access-", false),
            ("other-x7k2p", false),
        ] {
            assert_eq!(is_generated(name, "kube-api-access-"), expected, "{name}");
        }
    }
}
