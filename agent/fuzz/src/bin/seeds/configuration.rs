//! Configurations: the documented example with its comments removed, and faults of each kind.

use crate::{Seeds, texts};

const EXAMPLE: &str = include_str!("../../../../../deploy/agent.example.toml");

pub(crate) fn seeds() -> Seeds {
    let mut seeds = texts(&[
        ("empty", ""),
        (
            "destinations",
            "[otlp]\nendpoint = \"https://c:4317\"\nheaders = { a = \"b\" }\n[otlp.destinations.edge]\nprotocol = \
             \"http/protobuf\"\nendpoint = \"http://e:4318/x\"\nqueue_bytes = \"64MiB\"\n",
        ),
        ("unknown", "[hailo]\nmax_aeg = '1s'\n[hialo]\ndir = '/x'\n"),
        (
            "types",
            "hailo = 3\nlog.level = 2020-01-01\nhttp.resource_labels = [1]\nlimits.series = -1\n",
        ),
        ("broken", "[otlp.headers]\nauthorization = \"Bearer x\nx = = 1\n"),
        (
            "variables",
            "log.format = 'json'\0ACCELSCOPE__OTLP__ENDPOINT=http://a:1\0OTEL_RESOURCE_ATTRIBUTES=a=b,c=%20\0\
             HTTPS_PROXY=http://u:p@proxy:3128\0NO_PROXY=10.0.0.0/8,.x\0ACCELSCOPE_OTLP_ENDPOINT=x",
        ),
        (
            "flags",
            "\0--set otlp.interval=5s\0--set http.listen=[::]:9464\0--set otlp.destinations.a.headers=x=y\0--set nonsense",
        ),
        ("escapes", "\"a\\u001b[2J\\n\" = 1\n[\"\\u202e\"]\nx = \"\\u200b\"\n"),
    ]);
    // Each section with its keys.
    let keys: Vec<String> = EXAMPLE.lines().map(uncommented).collect();
    seeds.push(("example".to_owned(), keys.join("\n").into()));
    let text = keys.join("\n");
    for (nth, section) in text.split("\n[").skip(1).enumerate() {
        seeds.push((format!("section-{nth:02}"), format!("[{section}").into()));
    }
    seeds
}

/// A line of the example as it is without the mark of a comment, if it is a key or a section; else nothing.
fn uncommented(line: &str) -> String {
    let text = line.trim_start_matches(['#', ' ']);
    let is_code = text.starts_with('[') || text.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    if is_code { text.to_owned() } else { String::new() }
}
