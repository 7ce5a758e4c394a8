//! Values in messages, and warnings: both have to fit.

/// A warning of at most 256 characters: the API server may cut what is longer
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/filters/warning.go`, `truncateItemRunes`).
pub fn warning(text: &str) -> String {
    shortened(256, text)
}

/// A name in a warning: in quotes, shortened when it is long.
pub fn name(text: &str) -> String {
    quoted(&shortened(40, text))
}

/// Text from a request in quotes, on one line and not longer than a name can be.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(&shortened(253, text)).unwrap_or_default()
}

/// Whose token it is; nothing where that isn't known.
pub fn of_account(account: &str) -> String {
    if account.is_empty() {
        String::new()
    } else {
        format!(" of service account {}", quoted(account))
    }
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
    }

    #[test]
    fn names_are_quoted_and_shortened() {
        for (text, expected) in [
            ("vault", "\"vault\"".to_owned()),
            ("a\n\"b\"", r#""a\n\"b\"""#.to_owned()),
            (&"é".repeat(40), format!("\"{}\"", "é".repeat(40))),
            (&"é".repeat(41), format!("\"{}…\"", "é".repeat(39))),
        ] {
            assert_eq!(name(text), expected);
        }
    }

    #[test]
    fn warnings_fit() {
        assert_eq!(warning(&"x".repeat(256)), "x".repeat(256));
        let cut = warning(&"é".repeat(257));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (256, true));
    }
}
