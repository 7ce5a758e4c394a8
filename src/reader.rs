//! A reader of JSON text that goes through it once and keeps nothing.
//!
//! The policy looks at a few members of a large object, for every Pod of a cluster. serde_json
//! spends most of its instructions on the members that nobody asks for; this reader skips them
//! eight bytes at a time. It takes and refuses the same texts as serde_json's `IgnoredAny`, which
//! a fuzz target and a property test compare it with.

#![allow(clippy::inline_always, reason = "the benchmark shows what it saves where size counts")]

use std::borrow::Cow;
use std::fmt;
use std::str::Chars;

/// Why a text can't be read. In a box, as it is passed through every function here and seldom
/// there.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(Box<Wrong>);

#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// What is wrong.
    message: Cow<'static, str>,
    /// Where, in bytes from the start.
    at: usize,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} at byte {}", self.0.message, self.0.at)
    }
}

/// What a value is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{`
    Object,
    /// `[`
    List,
    /// `"`
    Text,
    /// `t` or `f`
    Boolean,
    /// A digit or `-`
    Number,
    /// `n`
    Null,
}

/// What is done with a member of an object: its key is given, its value has to be read or skipped.
/// Not generic, so that there is one loop over members in the module and not one for each view.
pub type Member<'f, 'a> = dyn FnMut(&mut Reader<'a>, &Cow<'a, str>) -> Result<(), Error> + 'f;

/// A place in a text.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// True once a value was of another type than somebody wanted to read.
    pub misread: bool,
}

impl<'a> Reader<'a> {
    /// The start of a text.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, misread: false }
    }

    /// An error here.
    #[cold]
    #[inline(never)]
    pub fn error(&self, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Wrong { message: message.into(), at: self.at }))
    }

    /// What comes next.
    ///
    /// # Errors
    /// When no value can begin like that.
    #[inline(never)]
    pub fn form(&mut self) -> Result<Form, Error> {
        Ok(match self.next()? {
            b'{' => Form::Object,
            b'[' => Form::List,
            b'"' => Form::Text,
            b't' | b'f' => Form::Boolean,
            b'n' => Form::Null,
            b'-' | b'0'..=b'9' => Form::Number,
            _ => return Err(self.error("expected a value")),
        })
    }

    /// Reads an object: calls `member` with each key, which has to read or skip the value.
    ///
    /// # Errors
    /// When the text isn't JSON, and those of `member`.
    pub fn object(&mut self, member: &mut Member<'_, 'a>) -> Result<(), Error> {
        self.expect(b'{', "expected an object")?;
        if self.take(b'}')? {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "expected a colon")?;
            member(self, &key)?;
            if !self.take(b',')? {
                return self.expect(b'}', "expected a comma or the end of the object");
            }
        }
    }

    /// Reads a list: calls `element` for each element, which has to read or skip it.
    ///
    /// # Errors
    /// When the text isn't JSON, and those of `element`.
    pub fn list(
        &mut self,
        element: &mut dyn FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'[', "expected a list")?;
        if self.take(b']')? {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.take(b',')? {
                return self.expect(b']', "expected a comma or the end of the list");
            }
        }
    }

    /// Reads a string. One without escapes is a slice of the text.
    ///
    /// # Errors
    /// When the text isn't JSON.
    #[inline(never)]
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let (end, escapes) = match string_end(self.text.as_bytes(), start) {
            Ok(end) => end,
            Err((at, message)) => {
                self.at = at;
                return Err(self.error(message));
            }
        };
        self.at = end;
        if !escapes {
            return Ok(Cow::Borrowed(self.text.get(start..end - 1).unwrap_or_default()));
        }
        let decoded = self.text.get(start..end - 1).and_then(decode);
        decoded.map(Cow::Owned).ok_or_else(|| self.error("an invalid escape in the string"))
    }

    /// Skips a value, and returns its text.
    ///
    /// # Errors
    /// When the text isn't JSON.
    pub fn raw(&mut self) -> Result<&'a str, Error> {
        let start = self.place()?;
        self.skip()?;
        Ok(self.since(start))
    }

    /// Where the next value begins.
    ///
    /// # Errors
    /// When the text ends here.
    pub fn place(&mut self) -> Result<usize, Error> {
        self.next()?;
        Ok(self.at)
    }

    /// Goes on after a text that is known to be a value, if it stands here.
    pub fn take_known(&mut self, value: &'a str) -> bool {
        let rest = self.text.get(self.at..).and_then(|rest| rest.get(..value.len()));
        let stands_here = rest.is_some_and(|rest| std::ptr::eq(rest, value));
        self.at += if stands_here { value.len() } else { 0 };
        stands_here
    }

    /// The text from a place to here.
    pub fn since(&self, place: usize) -> &'a str {
        self.text.get(place..self.at).unwrap_or_default()
    }

    /// Skips a value. However deep it is, this doesn't recur.
    ///
    /// # Errors
    /// When the text isn't JSON.
    #[inline(never)]
    pub fn skip(&mut self) -> Result<(), Error> {
        let skipped = skip_value(self.text.as_bytes(), self.at);
        let (at, message) = match skipped {
            Ok(at) => (at, None),
            Err((at, message)) => (at, Some(message)),
        };
        self.at = at;
        message.map_or(Ok(()), |message| Err(self.error(message)))
    }

    /// # Errors
    /// When something else than white space follows.
    pub fn end(&mut self) -> Result<(), Error> {
        self.at = space_end(self.text.as_bytes(), self.at);
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("expected the end")) }
    }

    /// The next byte that isn't white space.
    #[inline(always)]
    fn next(&mut self) -> Result<u8, Error> {
        self.at = space_end(self.text.as_bytes(), self.at);
        match byte(self.text.as_bytes(), self.at) {
            END => Err(self.error("the text ends here")),
            byte => Ok(byte),
        }
    }

    /// Goes on after the next byte if it is this one, white space aside.
    #[inline(always)]
    fn take(&mut self, byte: u8) -> Result<bool, Error> {
        let found = self.next()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, message: &'static str) -> Result<(), Error> {
        if self.take(byte)? { Ok(()) } else { Err(self.error(message)) }
    }
}

/// Where something ends; or where it is wrong, and how.
type End = Result<usize, (usize, &'static str)>;

/// What [`byte`] returns after the end. In JSON no such byte begins or ends anything.
const END: u8 = 0;

#[inline(always)]
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(END)
}

#[inline(always)]
fn space_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(byte(bytes, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

/// The end of the value that begins at a place, white space aside.
///
/// This is where most of the time goes, and so the place stays in a local variable.
fn skip_value(bytes: &[u8], mut at: usize) -> End {
    let mut around = Around::default();
    loop {
        at = space_end(bytes, at);
        match byte(bytes, at) {
            b'"' => at = string_end(bytes, at + 1)?.0,
            b'{' => {
                at = space_end(bytes, at + 1);
                if byte(bytes, at) == b'}' {
                    at += 1;
                } else {
                    around.push(true);
                    at = key_end(bytes, at)?;
                    continue;
                }
            }
            b'[' => {
                at = space_end(bytes, at + 1);
                if byte(bytes, at) == b']' {
                    at += 1;
                } else {
                    around.push(false);
                    continue;
                }
            }
            first => at = scalar_end(bytes, at, first)?,
        }
        // A value has ended, and with it perhaps the lists and objects around it.
        loop {
            if around.depth == 0 {
                return Ok(at);
            }
            at = space_end(bytes, at);
            match byte(bytes, at) {
                b',' if around.in_object => at = key_end(bytes, space_end(bytes, at + 1))?,
                b',' => at += 1,
                found if found == if around.in_object { b'}' } else { b']' } => {
                    around.pop();
                    at += 1;
                    continue;
                }
                _ => return Err((at, "expected a comma or the end of the list or object")),
            }
            break;
        }
    }
}

/// The lists and objects around a place: a bit for each, 1 for an object, so that only what is
/// nested deeper than anything in Kubernetes needs memory.
#[derive(Default)]
struct Around {
    depth: usize,
    /// True in an object, false in a list.
    in_object: bool,
    /// The next 64 outwards.
    bits: u64,
    /// Those further out.
    more: Vec<u64>,
}

impl Around {
    #[inline(always)]
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.more.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(self.in_object);
        self.in_object = object;
        self.depth += 1;
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.depth -= 1;
        self.in_object = self.bits & 1 == 1;
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.more.pop().unwrap_or_default();
        }
    }
}

/// The end of the key that begins here, and of the colon after it.
#[inline(always)]
fn key_end(bytes: &[u8], at: usize) -> End {
    if byte(bytes, at) != b'"' {
        return Err((at, "expected a key"));
    }
    let (at, _) = string_end(bytes, at + 1)?;
    let at = space_end(bytes, at);
    if byte(bytes, at) == b':' { Ok(at + 1) } else { Err((at, "expected a colon")) }
}

fn scalar_end(bytes: &[u8], at: usize, first: u8) -> End {
    let word: &[u8] = match first {
        b't' => b"true",
        b'f' => b"false",
        b'n' => b"null",
        b'-' | b'0'..=b'9' => return number_end(bytes, at),
        END => return Err((at, "the text ends here")),
        _ => return Err((at, "expected a value")),
    };
    let found = bytes.get(at..at + word.len()) == Some(word);
    if found { Ok(at + word.len()) } else { Err((at, "expected a value")) }
}

fn number_end(bytes: &[u8], mut at: usize) -> End {
    at += usize::from(byte(bytes, at) == b'-');
    at = if byte(bytes, at) == b'0' { at + 1 } else { digits_end(bytes, at)? };
    if byte(bytes, at) == b'.' {
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(byte(bytes, at), b'e' | b'E') {
        let sign = matches!(byte(bytes, at + 1), b'+' | b'-');
        at = digits_end(bytes, at + 1 + usize::from(sign))?;
    }
    Ok(at)
}

fn digits_end(bytes: &[u8], start: usize) -> End {
    let mut at = start;
    while byte(bytes, at).is_ascii_digit() {
        at += 1;
    }
    if at > start { Ok(at) } else { Err((at, "expected a digit")) }
}

/// The end of the string that a place is in, and whether there are escapes in it.
#[inline(always)]
fn string_end(bytes: &[u8], mut at: usize) -> Result<(usize, bool), (usize, &'static str)> {
    let mut escapes = false;
    loop {
        at = plain_end(bytes, at);
        match byte(bytes, at) {
            b'"' => return Ok((at + 1, escapes)),
            b'\\' => at = escape_end(bytes, at)?,
            END if at >= bytes.len() => return Err((at, "the text ends in a string")),
            _ => return Err((at, "a control character in a string")),
        }
        escapes = true;
    }
}

#[cold]
fn escape_end(bytes: &[u8], at: usize) -> End {
    let hex = |at| byte(bytes, at).is_ascii_hexdigit();
    match byte(bytes, at + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
        b'u' if (at + 2..at + 6).all(hex) => Ok(at + 6),
        _ => Err((at, "an invalid escape in a string")),
    }
}

/// The string that a text with escapes stands for; `None` for half of a surrogate pair, which
/// stands for nothing. [`escape_end`] has been through the text.
#[cold]
fn decode(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        decoded.push(match character {
            '\\' => decode_escape(&mut rest)?,
            itself => itself,
        });
    }
    Some(decoded)
}

/// What comes after a backslash.
fn decode_escape(rest: &mut Chars) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return decode_hex(rest),
        itself => itself,
    })
}

/// One escape in hexadecimal digits, or two that are one character together.
fn decode_hex(rest: &mut Chars) -> Option<char> {
    let digits = |rest: &mut Chars| {
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | rest.next()?.to_digit(16)?))
    };
    let unit = digits(rest)?;
    if let Some(character) = char::from_u32(unit) {
        return Some(character);
    }
    let is_escape = rest.next()? == '\\' && rest.next()? == 'u';
    let low = is_escape.then(|| digits(rest))??;
    let is_pair = (0xd800..0xdc00).contains(&unit) && (0xdc00..0xe000).contains(&low);
    is_pair.then(|| char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)))?
}

/// The first quote, backslash or control character from a place on; looks at eight bytes at once.
#[inline(always)]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let chunk = u64::from_le_bytes(*chunk);
        // The high bit of each byte that is below a number; those above the first may be wrong.
        let below = |word: u64, number: u64| word.wrapping_sub(ONES * number) & !word;
        let quote = below(chunk ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(chunk ^ (ONES * u64::from(b'\\')), 1);
        let special = (quote | backslash | below(chunk, 0x20)) & HIGH;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while !matches!(byte(bytes, at), b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    fn reads(text: &str) -> Result<(), Error> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn takes_what_serde_json_takes() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let mixed = |n| "{\"a\":[".repeat(n) + &"]}".repeat(n);
        let (mixed, crossed) = (mixed(5000), mixed(100).replacen("]}", "}]", 1));
        for text in [
            "null",
            "true",
            "false",
            " [ ] ",
            "{ }",
            "0",
            "-0",
            "10",
            "01",
            "-",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1E+5",
            "1e",
            "1e-",
            "--1",
            "+1",
            "1 2",
            "nul",
            "nulll",
            "tru",
            "\"\"",
            "\"",
            "\"a",
            "\"\\",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12ag\"",
            "\"\\ud800\"",
            "\"\\u00e9é\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "[1}",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1]",
            "{,}",
            "",
            " ",
            "\u{feff}1",
            "1\0",
            "1\0 2",
            "\0",
            "[1\0]",
            "\"a\0\"",
            "{\"a\":[{\"b\":[]},{}],\"c\":{\"d\":\"e\"}}",
            "[[[]",
            "]",
            "}",
            "[1]]",
            "\"12345678\"",
            "\"1234567\\n\"",
            "\"1234567\u{1}\"",
            "\"12345678é\"",
            &deep,
            &mixed,
            &crossed,
        ] {
            let expected = serde_json::from_str::<IgnoredAny>(text).is_ok();
            assert_eq!(reads(text).is_ok(), expected, "{text:.80}: {:?}", reads(text));
        }
    }

    #[test]
    fn decodes_what_serde_json_decodes() {
        for text in [
            r#""a""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e9\u20AC\ud7ff\ue000\uffff""#,
            r#""\u0000""#,
            r#""é\né""#,
            r#""\ud834\udd1e""#,
            r#""\uD800\uDC00\udbff\udfff""#,
            r#""\ud834""#,
            r#""\ud834 \udd1e""#,
            r#""\ud834\n""#,
            r#""\ud834\u0041""#,
            r#""\ud834\ud834""#,
            r#""\ud834\ue000""#,
            r#""\udd1e""#,
            r#""\udd1e\ud834""#,
        ] {
            let decoded = Reader::new(text).string().ok().map(Cow::into_owned);
            assert_eq!(decoded, serde_json::from_str::<String>(text).ok(), "{text}");
        }
    }

    #[test]
    fn special_bytes_are_found_wherever_they_are() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for before in 0..40 {
                let mut text = vec![b'a'; 60];
                // Neighbours that a wrong borrow would mistake.
                text[before + 1..].fill(special + 1);
                text[before] = special;
                assert_eq!(plain_end(&text, 0), before, "{special} after {before}");
            }
        }
        assert_eq!(plain_end(&[0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff, 0xa2, 0xdc], 0), 10);
    }

    #[test]
    fn an_error_says_where() {
        assert_eq!(reads("[1,]").unwrap_err().to_string(), "expected a value at byte 3");
        assert_eq!(reads("{\"a\" 1}").unwrap_err().to_string(), "expected a colon at byte 5");
    }
}
