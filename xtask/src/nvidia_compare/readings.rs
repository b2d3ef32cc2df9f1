//! Readings of the agent and of `nvidia-smi`, each in a form for look-ups.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

/// `nvidia-smi -q -x`: text by path (`clocks/sm_clock`) for each GPU.
#[derive(Debug, Default)]
pub(super) struct Smi {
    /// Elements outside of the GPUs, e.g. `driver_version`.
    pub(super) host: BTreeMap<String, String>,
    /// Values by UUID.
    pub(super) gpus: BTreeMap<String, BTreeMap<String, String>>,
    /// Processes by UUID: pid and used memory in MiB.
    pub(super) processes: BTreeMap<String, BTreeMap<u32, Option<f64>>>,
}

impl Smi {
    pub(super) fn parse(xml: &str) -> anyhow::Result<Self> {
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            nodes_limit: 1 << 20,
            ..roxmltree::ParsingOptions::default()
        };
        let document = roxmltree::Document::parse_with_options(xml, options).context("nvidia-smi's XML")?;
        let mut smi = Self::default();
        for node in document.root_element().children().filter(roxmltree::Node::is_element) {
            if !node.has_tag_name("gpu") {
                leaves(node, node.tag_name().name(), &mut smi.host);
                continue;
            }
            let mut leaves_of = BTreeMap::new();
            for child in node.children().filter(roxmltree::Node::is_element) {
                if !child.has_tag_name("processes") {
                    leaves(child, child.tag_name().name(), &mut leaves_of);
                }
            }
            let uuid = leaves_of.get("uuid").context("a GPU without UUID")?.clone();
            smi.processes.insert(uuid.clone(), processes(node));
            smi.gpus.insert(uuid, leaves_of);
        }
        Ok(smi)
    }
}

fn leaves(node: roxmltree::Node<'_, '_>, path: &str, to: &mut BTreeMap<String, String>) {
    let children: Vec<_> = node.children().filter(roxmltree::Node::is_element).collect();
    if children.is_empty() {
        to.insert(path.to_owned(), node.text().unwrap_or_default().trim().to_owned());
    }
    for child in children {
        leaves(child, &format!("{path}/{}", child.tag_name().name()), to);
    }
}

fn processes(gpu: roxmltree::Node<'_, '_>) -> BTreeMap<u32, Option<f64>> {
    let infos = gpu.descendants().filter(|node| node.has_tag_name("process_info"));
    let one = |info: roxmltree::Node<'_, '_>| {
        let text = |name: &str| info.children().find(|node| node.has_tag_name(name))?.text();
        let pid = text("pid")?.trim().parse().ok()?;
        Some((pid, text("used_memory").and_then(number)))
    };
    infos.filter_map(one).collect()
}

/// The number in `81559 MiB`, `P0`, `16x`; `None` for `N/A`.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim().trim_start_matches('P');
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// A reading of the agent.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) name: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// Output of `agent --stdout --format json --once`.
#[derive(Debug, Default)]
pub(super) struct Agent {
    pub(super) points: Vec<Point>,
}

impl Agent {
    pub(super) fn parse(lines: &str) -> anyhow::Result<Self> {
        let mut points = Vec::new();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let line: Value = serde_json::from_str(line).with_context(|| format!("the agent's line {line}"))?;
            let (Some(name), Some(value)) = (line["name"].as_str(), line["value"].as_f64()) else {
                // A distribution, or the end of a series.
                continue;
            };
            let attributes = line["attributes"].as_object().into_iter().flatten();
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            points.push(Point {
                name: name.to_owned(),
                attributes: attributes.map(|(key, value)| (key.clone(), text(value))).collect(),
                value,
            });
        }
        Ok(Self { points })
    }

    /// The point of that GPU with these attributes.
    pub(super) fn find(&self, gpu: &str, name: &str, more: &[(&str, &str)]) -> Option<&Point> {
        let has = |point: &Point, key: &str, value: &str| point.attributes.get(key).is_some_and(|found| found == value);
        self.points.iter().find(|point| {
            point.name == name && has(point, "hw.id", gpu) && more.iter().all(|(key, value)| has(point, key, value))
        })
    }
}
