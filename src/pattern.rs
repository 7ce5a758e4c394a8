//! Patterns in settings: text with `*` for any number of characters.

/// True when the whole text matches the pattern.
///
/// Takes at most one step for each pair of a pattern character and a text character, so no
/// pattern can make a request slow.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last star and how much of the text it covers, to come back to.
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, covered)) = star {
            star = Some((at, covered + 1));
            (p, t) = (at + 1, covered + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("payments", "payments", true),
            ("payments", "payment", false),
            ("payments", "payments2", false),
            ("Payments", "payments", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("ci-*", "ci-", true),
            ("ci-*", "ci-42", true),
            ("ci-*", "xci-42", false),
            ("*-ci", "team-ci", true),
            ("*-ci", "team-ci-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "abc", true),
            ("kube-?", "kube-x", false),
            ("[a]", "a", false),
            ("ü*", "über", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_on_a_long_text_end() {
        assert!(!matches(&"*a".repeat(50), &"b".repeat(50_000)));
        assert!(!matches(&"a*".repeat(50), &("a".repeat(49) + &"b".repeat(50_000))));
    }
}
