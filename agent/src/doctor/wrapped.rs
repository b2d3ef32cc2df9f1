//! Findings as text for a terminal.

use accelscope_core::sampler::Finding;

/// Longest line, in characters.
const WIDTH: usize = 100;
/// Before each further line of a finding.
const INDENT: &str = "      ";

/// The findings, each on as many lines as it takes.
pub fn text(findings: &[Finding]) -> String {
    findings.iter().map(|finding| wrapped(&finding.to_string())).collect()
}

/// A word that is longer than a line, such as a path, is broken.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line, mut length) = (String::new(), String::new(), 0);
    let mut end = |line: &mut String, length: &mut usize| {
        lines.push_str(line.trim_end());
        lines.push('\n');
        INDENT.clone_into(line);
        *length = INDENT.len();
    };
    for word in text.split_inclusive(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        let visible = rest.iter().rev().skip_while(|c| **c == ' ').count();
        if length + visible > WIDTH && visible <= WIDTH - INDENT.len() {
            end(&mut line, &mut length);
        }
        while length + rest.len() > WIDTH + 1 {
            if length >= WIDTH {
                end(&mut line, &mut length);
                continue;
            }
            let part = rest.drain(..WIDTH - length);
            line.extend(part);
            end(&mut line, &mut length);
        }
        length += rest.len();
        line.extend(rest);
    }
    end(&mut line, &mut length);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_is_longer_and_nothing_is_lost(text in "ok  [a-zA-Z0-9/é ]{0,400}") {
            let wrapped = wrapped(&text);
            prop_assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
            let joined: String = wrapped.split_whitespace().collect();
            prop_assert_eq!(joined, text.split_whitespace().collect::<String>());
        }
    }

    #[test]
    fn a_long_word_after_a_full_line_is_broken() {
        let text = format!("warn  {} {}", "a".repeat(WIDTH - 6), "b".repeat(150));
        let wrapped = wrapped(&text);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        assert_eq!(wrapped.matches('b').count(), 150);
    }

    #[test]
    fn lines_break_between_words() {
        let text = format!("warn  otlp: {}and more", "a word ".repeat(13));
        let lines: Vec<_> = wrapped(&text).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], format!("{INDENT}word and more"));
    }
}
