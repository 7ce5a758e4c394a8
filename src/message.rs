//! The words of messages: Kubernetes' `field.Error` forms, quoted values, warnings that fit.

use std::fmt::Display;

/// The longest warning, in characters. The API server may cut what is longer
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/filters/warning.go`, `truncateItemRunes`).
const LONGEST_WARNING: usize = 256;

/// The longest text from a request in a message: the longest name that Kubernetes allows.
const LONGEST_VALUE: usize = 253;

/// The longest name in a warning.
const LONGEST_NAME: usize = 40;

/// `field.Invalid` of apimachinery.
pub fn invalid(value: impl Display, detail: impl Display) -> String {
    format!("Invalid value: {value}: {detail}")
}

/// `field.Required` of apimachinery.
pub fn required(detail: impl Display) -> String {
    format!("Required value: {detail}")
}

/// `field.Forbidden` of apimachinery.
pub fn forbidden(detail: impl Display) -> String {
    format!("Forbidden: {detail}")
}

/// `field.NotSupported` of apimachinery.
pub fn not_supported(value: impl Display, supported: &[String]) -> String {
    format!("Unsupported value: {value}: supported values: {}", supported.join(", "))
}

/// Text from a request in quotes, on one line and not longer than a name can be.
pub fn quoted(text: &str) -> String {
    quoted_up_to(LONGEST_VALUE, text)
}

/// A name in a warning: in quotes, shortened when it is long.
pub fn name(text: &str) -> String {
    quoted_up_to(LONGEST_NAME, text)
}

/// Whose token it is; nothing where that isn't known.
pub fn of_account(account: &str) -> String {
    if account.is_empty() {
        return String::new();
    }
    format!(" of service account {}", quoted(account))
}

/// A warning of at most [`LONGEST_WARNING`] characters.
pub fn warning(text: &str) -> String {
    shortened(LONGEST_WARNING, text)
}

fn quoted_up_to(length: usize, text: &str) -> String {
    serde_json::to_string(&shortened(length, text)).unwrap_or_default()
}

fn shortened(length: usize, text: &str) -> String {
    if text.chars().nth(length).is_none() {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_shortened() {
        for (text, expected) in [
            ("vault", "\"vault\"".to_owned()),
            ("a\n\"b\"", r#""a\n\"b\"""#.to_owned()),
            (&"é".repeat(253), format!("\"{}\"", "é".repeat(253))),
            (&"é".repeat(254), format!("\"{}…\"", "é".repeat(252))),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(name(&"x".repeat(63)).chars().count(), LONGEST_NAME + 2);
    }

    #[test]
    fn warnings_fit() {
        assert_eq!(warning(&"x".repeat(256)), "x".repeat(256));
        let cut = warning(&"é".repeat(257));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (256, true));
    }
}
