//! Text made safe for people: on a terminal and in a text log.
//!
//! Names of files, processes and containers, values of the environment and keys of a configuration come from anybody. A
//! terminal obeys control characters in them, a line break makes a second log line that the agent never wrote, and characters
//! that turn the direction of text or that nobody sees make one name look like another. All output for people passes through
//! here where it leaves the agent; formats for programs (JSON, OTLP, Prometheus) keep what was read.

use std::fmt::{self, Write};

/// The text in one line, with what is not legible escaped as in Rust: `\n`, `\u{1b}`, `\u{202e}`. Applying it
/// again changes nothing.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a string cannot fail.
    Printable(&mut out).write_str(text).ok();
    out
}

/// Lines made printable one by one; the breaks between them stay.
pub fn printable_lines(lines: &str) -> String {
    lines.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Writes what it is given as [`printable`] shows it.
#[derive(Debug)]
pub struct Printable<W>(pub W);

impl<W: Write> Write for Printable<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_legible(*c)) {
            self.0.write_str(&rest[..at])?;
            match c {
                '\n' | '\r' | '\t' => write!(self.0, "{}", c.escape_default())?,
                _ => write!(self.0, "{}", c.escape_unicode())?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether a person sees the character as what it is. Not legible are control characters, the separators of lines and
/// paragraphs, what turns the direction of text, what is not shown at all, and what is for private use or not assigned.
fn is_legible(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{9f}' | '\u{2028}' | '\u{2029}' => false,
        _ if is_ignorable(c) => false,
        // Spaces: those of CJK and French text too.
        _ if c.is_whitespace() => true,
        _ => is_printable(c),
    }
}

/// Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt): shown as nothing. The marks and overrides of the
/// direction of text, joiners, variation selectors and tags are among them.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether the standard library knows the character as an assigned and visible one. It tells by what it escapes in debug
/// output, where marks that combine are escaped at the start only.
fn is_printable(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_turns_or_hides_text_is_shown_as_its_number() {
        for (text, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("one\ntwo\r\tthree", "one\\ntwo\\r\\tthree"),
            ("\u{7f}\u{85}\u{9b}", "\\u{7f}\\u{85}\\u{9b}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{61c}\u{200e}\u{202e}\u{2066}", "\\u{61c}\\u{200e}\\u{202e}\\u{2066}"),
            (
                "\u{ad}\u{200b}\u{200d}\u{2060}\u{feff}",
                "\\u{ad}\\u{200b}\\u{200d}\\u{2060}\\u{feff}",
            ),
            (
                "\u{3164}\u{fe0f}\u{e0041}\u{e0101}",
                "\\u{3164}\\u{fe0f}\\u{e0041}\\u{e0101}",
            ),
            (
                "\u{e000}\u{378}\u{ffff}\u{10ffff}",
                "\\u{e000}\\u{378}\\u{ffff}\\u{10ffff}",
            ),
        ] {
            assert_eq!(printable(text), shown);
            assert_eq!(printable(shown), shown, "once is enough");
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "Grüße, Łódź, Ελλάδα, Привет",
            "推論サーバー　한국어 ไทย हिन्दी العربية עברית",
            "e\u{301} 🚀 🇩🇪",
            "C:\\x 'a' \"b\" {c} 5\u{a0}€",
        ] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(printable_lines("a\r\nb\u{1b}\n"), "a\\r\nb\\u{1b}\n");
    }
}
