//! A reader of JSON text that goes through it once and keeps nothing.
//!
//! The policy looks at a few members of a large object, for every Pod of a cluster. serde_json
//! spends most of its instructions on the members that nobody asks for; this reader skips them
//! eight bytes at a time. It takes and refuses the same texts as serde_json's `IgnoredAny`, which
//! a fuzz target and a property test compare it with, and leaves escapes to serde_json.

use std::borrow::Cow;
use std::fmt;

/// Why a text can't be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    message: Cow<'static, str>,
    /// Where, in bytes from the start.
    at: usize,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.at)
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

/// A place in a text.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The lists and objects around the place that is being skipped.
    around: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// The start of a text.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, around: Vec::new() }
    }

    /// An error here.
    pub fn error(&self, message: impl Into<Cow<'static, str>>) -> Error {
        Error { message: message.into(), at: self.at }
    }

    /// What comes next.
    ///
    /// # Errors
    /// When no value can begin like that.
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
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
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
        mut element: impl FnMut(&mut Self) -> Result<(), Error>,
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
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let escapes = self.skip_string()?;
        if !escapes {
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let decoded = serde_json::from_str(&self.text[start - 1..self.at]);
        decoded.map(Cow::Owned).map_err(|_| self.error("an invalid escape in the string"))
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

    /// The text from a place to here.
    pub fn since(&self, place: usize) -> &'a str {
        &self.text[place..self.at]
    }

    /// Skips a value. However deep it is, this doesn't recur.
    ///
    /// # Errors
    /// When the text isn't JSON.
    pub fn skip(&mut self) -> Result<(), Error> {
        let outside = self.around.len();
        loop {
            let first = self.next()?;
            match first {
                b'"' => {
                    self.at += 1;
                    self.skip_string()?;
                }
                b'{' => {
                    self.at += 1;
                    if !self.take(b'}')? {
                        self.around.push(b'}');
                        self.skip_key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if !self.take(b']')? {
                        self.around.push(b']');
                        continue;
                    }
                }
                _ => self.skip_scalar(first)?,
            }
            if self.skip_ends(outside)? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what ends here. True when that is all that was to be skipped, false
    /// in front of the next value.
    fn skip_ends(&mut self, outside: usize) -> Result<bool, Error> {
        while self.around.len() > outside {
            let end = self.around.last().copied().unwrap_or_default();
            let next = self.next()?;
            self.at += 1;
            if next == b',' {
                if end == b'}' {
                    self.skip_key()?;
                }
                return Ok(false);
            }
            if next != end {
                return Err(self.error("expected a comma or the end of the list or object"));
            }
            self.around.pop();
        }
        Ok(true)
    }

    fn skip_key(&mut self) -> Result<(), Error> {
        self.expect(b'"', "expected a key")?;
        self.skip_string()?;
        self.expect(b':', "expected a colon")
    }

    fn skip_scalar(&mut self, first: u8) -> Result<(), Error> {
        let word = match first {
            b't' => "true",
            b'f' => "false",
            b'n' => "null",
            b'-' | b'0'..=b'9' => return self.skip_number(),
            _ => return Err(self.error("expected a value")),
        };
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), Error> {
        self.take_here(b'-');
        if !self.take_here(b'0') {
            self.skip_digits()?;
        }
        if self.take_here(b'.') {
            self.skip_digits()?;
        }
        if self.take_here(b'e') || self.take_here(b'E') {
            let _sign = self.take_here(b'+') || self.take_here(b'-');
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), Error> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(self.error("expected a digit")) }
    }

    /// Goes on after the end of the string that this place is in. True when there are escapes.
    fn skip_string(&mut self) -> Result<bool, Error> {
        let mut escapes = false;
        loop {
            self.at += plain(self.rest());
            match self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(escapes);
                }
                [b'\\', ..] => self.skip_escape()?,
                [_, ..] => return Err(self.error("a control character in a string")),
                [] => return Err(self.error("the text ends in a string")),
            }
            escapes = true;
        }
    }

    fn skip_escape(&mut self) -> Result<(), Error> {
        let length = match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|it| it.is_ascii_hexdigit()) => 6,
            _ => return Err(self.error("an invalid escape in a string")),
        };
        self.at += length;
        Ok(())
    }

    /// # Errors
    /// When something else than white space follows.
    pub fn end(&mut self) -> Result<(), Error> {
        match self.next() {
            Ok(_) => Err(self.error("expected the end")),
            Err(_) => Ok(()),
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The next byte that isn't white space.
    fn next(&mut self) -> Result<u8, Error> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(self.error("the text ends here")),
            }
        }
    }

    /// Goes on after the next byte if it is this one, white space aside.
    fn take(&mut self, byte: u8) -> Result<bool, Error> {
        let found = self.next()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    fn take_here(&mut self, byte: u8) -> bool {
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, message: &'static str) -> Result<(), Error> {
        if self.take(byte)? { Ok(()) } else { Err(self.error(message)) }
    }
}

/// How many bytes there are before the first quote, backslash or control character.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let chunk = u64::from_le_bytes(*chunk);
        // The high bit of each byte that is zero; those above the first may be wrong.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        let quote = zero(chunk ^ (ONES * b'"' as u64));
        let backslash = zero(chunk ^ (ONES * b'\\' as u64));
        let control = chunk.wrapping_sub(ONES * 0x20) & !chunk & HIGH;
        let special = quote | backslash | control;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at)
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
        ] {
            let expected = serde_json::from_str::<IgnoredAny>(text).is_ok();
            assert_eq!(reads(text).is_ok(), expected, "{text:.80}: {:?}", reads(text));
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
                assert_eq!(plain(&text), before, "{special} after {before}");
            }
        }
        assert_eq!(plain(&[0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff, 0xa2, 0xdc]), 10);
    }

    #[test]
    fn an_error_says_where() {
        assert_eq!(reads("[1,]").unwrap_err().to_string(), "expected a value at byte 3");
        assert_eq!(reads("{\"a\" 1}").unwrap_err().to_string(), "expected a colon at byte 5");
    }
}
