//! Translation of attributes to labels.

use std::collections::HashMap;
use std::fmt::{Arguments, Write};
use std::rc::Rc;

use super::name::label_name;
use accelscope_core::metric::AttributeValue;

/// Label names of one rendering, each translated once.
#[derive(Default)]
pub(super) struct LabelNames<'a>(HashMap<&'a str, Option<Rc<str>>>);

impl<'a> LabelNames<'a> {
    /// The attributes as `a="1",b="2"`, sorted by label; empty without any label.
    ///
    /// The values of keys with the same label are joined with `;` in the order of the keys (OpenTelemetry's Prometheus
    /// compatibility, "Metric Attributes"). Labels that begin with `__`, and `le` in a histogram (`reserved`), belong to the
    /// scraper, which would drop them or refuse the scrape; they are left out.
    pub(super) fn render(
        &mut self,
        attributes: impl IntoIterator<Item = (&'a str, &'a AttributeValue)>,
        reserved: Option<&str>,
    ) -> String {
        let mut labels = Vec::new();
        for (key, value) in attributes {
            let label = self.0.entry(key).or_insert_with(|| label_name(key).map(Rc::from));
            labels.extend(label.clone().map(|label| (label, key, value)));
        }
        labels.retain(|(label, ..)| !label.starts_with("__") && Some(&**label) != reserved);
        labels.sort_unstable_by(|(label, key, _), other| (label, key).cmp(&(&other.0, &other.1)));

        let mut text = String::new();
        let mut previous = None;
        for (label, _, value) in &labels {
            if previous == Some(label) {
                text.pop();
                text.push(';');
            } else {
                let comma = if text.is_empty() { "" } else { "," };
                put(&mut text, format_args!("{comma}{label}=\""));
                previous = Some(label);
            }
            match value {
                AttributeValue::Str(value) => escape_into(&mut text, value, true),
                other => put(&mut text, format_args!("{other}")),
            }
            text.push('"');
        }
        text
    }
}

#[expect(clippy::let_underscore_must_use, reason = "writing into a string cannot fail")]
pub(super) fn put(text: &mut String, what: Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// Appends `value` with the escapes of both formats. `quotes` escapes quotes too: in label values, and in OpenMetrics' HELP.
pub(crate) fn escape_into(text: &mut String, value: &str, quotes: bool) {
    let mut rest = value;
    while let Some(at) = rest.find(|c| matches!(c, '\\' | '\n') || (quotes && c == '"')) {
        let (plain, special) = rest.split_at(at);
        text.push_str(plain);
        text.push_str(match special.as_bytes()[0] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            _ => "\\\"",
        });
        rest = &special[1..];
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(attributes: &[(&'static str, &str)]) -> String {
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| (*k, AttributeValue::from(*v))).collect();
        LabelNames::default().render(attributes.iter().map(|(k, v)| (*k, v)), Some("le"))
    }

    #[test]
    fn keys_that_become_one_label_are_joined_in_the_order_of_the_keys() {
        assert_eq!(
            rendered(&[("a_b", "3"), ("z", "4"), ("a.b", "1"), ("a/b", "2")]),
            r#"a_b="1;2;3",z="4""#
        );
    }

    #[test]
    fn labels_of_the_scraper_are_left_out() {
        assert_eq!(
            rendered(&[("__name__", "x"), ("___", "x"), ("le", "x"), ("ok", "y")]),
            r#"ok="y""#
        );
    }

    #[test]
    fn a_value_cannot_end_the_label() {
        assert_eq!(rendered(&[("k", "a\"} 1\n\\n")]), r#"k="a\"} 1\n\\n""#);
    }
}
