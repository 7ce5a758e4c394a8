//! Values in messages, and the limits of what is said: an answer stays short whatever comes.

/// The longest warning, in characters: the API server may cut what is longer
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/filters/warning.go`, `truncateItemRunes`).
const LONGEST_WARNING: usize = 256;

/// The longest value in a message, in characters: that of a name.
const LONGEST_VALUE: usize = 253;

/// The longest name in a warning, in characters.
const LONGEST_NAME_IN_WARNING: usize = 40;

/// The most violations and warnings in an answer, and the most bytes of all violations together.
pub const MOST_VIOLATIONS: usize = 20;
pub const MOST_WARNINGS: usize = 10;
const MOST_BYTES: usize = 12_000;
const LONGEST_LINE: usize = 2_000;

/// A warning that the API server takes whole.
pub fn fit_warning(text: &str) -> String {
    shorten(LONGEST_WARNING, text)
}

/// A name in a warning: in quotes, shortened when it is long.
pub fn quote_in_warning(text: &str) -> String {
    quote(&shorten(LONGEST_NAME_IN_WARNING, text))
}

/// Text from a request in quotes, on one line and not longer than a name can be.
pub fn quote(text: &str) -> String {
    serde_json::to_string(&shorten(LONGEST_VALUE, text)).unwrap_or_default()
}

/// Text that isn't longer than a name can be, such as one in a log line.
pub fn shorten_value(text: &str) -> String {
    shorten(LONGEST_VALUE, text)
}

/// Text that isn't longer than a line of a message.
pub fn shorten_line(text: &str) -> String {
    shorten(LONGEST_LINE, text)
}

/// Says whose a token is; nothing where that isn't known.
pub fn name_owner(account: &str) -> String {
    if account.is_empty() {
        return String::new();
    }
    format!(" of service account {}", quote(account))
}

/// The first violations of so many, one a line, and how many more there are.
pub fn join_violations(first: &[String], number: usize) -> String {
    let mut shown = Vec::new();
    let mut length = 0;
    for line in first.iter().take(MOST_VIOLATIONS) {
        let line = shorten_line(line);
        length += line.len();
        if !shown.is_empty() && length > MOST_BYTES {
            break;
        }
        shown.push(line);
    }
    if shown.len() < number {
        shown.push(format!("and {} more", number - shown.len()));
    }
    shown.join("\n")
}

/// The first warnings of so many, and how many more there are.
pub fn limit_warnings(first: &[String], number: usize) -> Vec<String> {
    let mut limited: Vec<_> = first
        .iter()
        .take(MOST_WARNINGS)
        .map(|it| fit_warning(it))
        .collect();
    if limited.len() < number {
        limited.truncate(MOST_WARNINGS - 1);
        let more = number - limited.len();
        limited.push(format!("and {more} more warnings"));
    }
    limited
}

/// The first few of some names or values, each quoted.
pub fn list_first(values: &[&str], quote: fn(&str) -> String) -> String {
    const SHOWN: usize = 3;
    let shown = values.iter().take(SHOWN).map(|value| quote(value));
    let listed = shown.collect::<Vec<_>>().join(", ");
    if values.len() <= SHOWN {
        return listed;
    }
    format!("{listed} and {} more", values.len() - SHOWN)
}

fn shorten(length: usize, text: &str) -> String {
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
            assert_eq!(quote(text), expected);
        }
    }

    #[test]
    fn names_in_warnings_are_quoted_and_shortened() {
        for (text, expected) in [
            ("vault", "\"vault\"".to_owned()),
            ("a\n\"b\"", r#""a\n\"b\"""#.to_owned()),
            (&"é".repeat(40), format!("\"{}\"", "é".repeat(40))),
            (&"é".repeat(41), format!("\"{}…\"", "é".repeat(39))),
        ] {
            assert_eq!(quote_in_warning(text), expected);
        }
    }

    #[test]
    fn values_and_lines_are_shortened() {
        for (shorten, longest) in [
            (shorten_value as fn(&str) -> String, 253),
            (shorten_line, 2000),
        ] {
            assert_eq!(shorten("vault"), "vault");
            assert_eq!(shorten(&"é".repeat(longest)), "é".repeat(longest));
            let cut = format!("{}…", "é".repeat(longest - 1));
            assert_eq!(shorten(&"é".repeat(longest + 1)), cut);
        }
    }

    #[test]
    fn warnings_fit() {
        assert_eq!(fit_warning(&"x".repeat(256)), "x".repeat(256));
        let cut = fit_warning(&"é".repeat(257));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (256, true));
    }

    #[test]
    fn answers_have_a_limit() {
        for (name, number, length, lines, last) in [
            ("one", 1, 5, 1, "xxxxx"),
            ("twenty", 20, 5, 20, "xxxxx"),
            ("twenty-one", 21, 5, 21, "and 1 more"),
            ("long ones", 300, 1_500, 9, "and 292 more"),
            ("one that is far too long", 1, 100_000, 1, "…"),
        ] {
            let joined = join_violations(&vec!["x".repeat(length); number], number);
            assert_eq!(joined.lines().count(), lines, "{name}");
            assert!(joined.ends_with(last), "{name}: {joined}");
            assert!(joined.len() < MOST_BYTES + 100, "{name}: {}", joined.len());
        }
        for (number, expected, last) in [
            (0, 0, None),
            (10, 10, Some("x")),
            (11, 10, Some("and 2 more warnings")),
        ] {
            let limited = limit_warnings(&vec!["x".to_owned(); number], number);
            assert_eq!(limited.len(), expected, "{number}");
            assert_eq!(limited.last().map(String::as_str), last, "{number}");
        }
    }

    #[test]
    fn lists_show_the_first_few() {
        for (values, expected) in [
            (&["a"][..], "\"a\""),
            (&["a", "b", "c"], "\"a\", \"b\", \"c\""),
            (&["a", "b", "c", "d", "e"], "\"a\", \"b\", \"c\" and 2 more"),
        ] {
            assert_eq!(list_first(values, quote), expected);
        }
    }
}
