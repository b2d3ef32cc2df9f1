//! os-release(5): assignments as of a shell, without its substitutions.

/// The value of a variable. Of several the last one counts, as in a shell.
pub(crate) fn value(text: &str, name: &str) -> Option<String> {
    let mut assigned = text.lines().filter_map(|line| {
        let value = line.trim().strip_prefix(name)?.strip_prefix('=')?;
        unquoted(value)
    });
    assigned.next_back().filter(|value| !value.is_empty())
}

/// The word without quotes and backslashes; `None` if a quote does not end.
fn unquoted(word: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = word.chars();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (Some('\''), _) => value.push(c),
            (Some(_), '\\') => match chars.next()? {
                escaped @ ('"' | '$' | '`' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            (None, '\\') => value.push(chars.next()?),
            // What follows is no part of the value.
            (None, _) if c.is_whitespace() => break,
            (_, _) => value.push(c),
        }
    }
    quote.is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_a_shell_reads() {
        for (line, expected) in [
            ("NAME=\"Debian GNU/Linux\"", Some("Debian GNU/Linux")),
            ("NAME=Fedora", Some("Fedora")),
            ("NAME='Alpine Linux'", Some("Alpine Linux")),
            (r#"NAME="a \"quoted\" \$name \\ \x""#, Some(r#"a "quoted" $name \ \x"#)),
            ("NAME=a\nNAME=b", Some("b")),
            ("NAME=plain # a comment", Some("plain")),
            ("PRETTY_NAME=x\nVERSION=1", None),
            ("NAME=", None),
            ("NAME=\"open", None),
            ("NAME=\\", None),
        ] {
            assert_eq!(value(line, "NAME").as_deref(), expected, "{line}");
        }
    }
}
