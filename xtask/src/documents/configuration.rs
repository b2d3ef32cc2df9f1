//! `docs/configuration.md`: the example file as a reference.

use std::fmt::Write;

use accelscope_core::source::Sources;

use super::example_toml;

/// The whole page.
pub fn configuration_md(sources: Sources) -> String {
    let example = example_toml(sources);
    let mut page = String::from(
        "# Configuration\n\nGenerated from the settings of the agent and its sources by `cargo xtask bless`; do not edit. \
         [`deploy/agent.example.toml`](../deploy/agent.example.toml) is the same as a file to start from. \
         [limits.md](limits.md) lists what is bounded, and what happens beyond.\n",
    );
    let mut text: Vec<&str> = Vec::new();
    for line in example.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            writeln!(page, "\n## `[{section}]`\n\n{}", paragraph(&mut text)).ok();
        } else if let Some((key, default)) = default(line) {
            writeln!(page, "\n### `{key}` (default `{default}`)\n\n{}", paragraph(&mut text)).ok();
        } else if let Some(comment) = line.strip_prefix('#') {
            text.push(comment.trim());
        } else if !text.is_empty() {
            writeln!(page, "\n{}", paragraph(&mut text)).ok();
        }
    }
    page
}

/// Key and default of a line such as `#period = "1s"`.
fn default(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix('#')?.split_once(" = ")?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_key.then_some((key, value))
}

/// Comment lines as text; examples, which are assignments and tables, as code.
fn paragraph(lines: &mut Vec<&str>) -> String {
    let mut text = String::new();
    let mut is_code = false;
    for line in lines.drain(..) {
        let code = is_example(line);
        if code != is_code {
            text.push_str("\n```");
            text.push_str(if code { "toml\n" } else { "\n" });
            is_code = code;
        }
        text.push_str(line);
        text.push('\n');
    }
    if is_code {
        text.push_str("```\n");
    }
    text.trim_end().replace('<', "\\<").clone()
}

fn is_example(line: &str) -> bool {
    let table = line.starts_with('[') && line.ends_with(']');
    let assignment = line
        .split_once(" = ")
        .is_some_and(|(key, _)| !key.contains(' ') && !key.contains('`'));
    table || assignment
}
