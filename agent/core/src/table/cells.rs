//! Values and names as cells.

use crate::metric::{Attributes, Series, Value, key};
use crate::printable::printable;

/// The value of an attribute, as a terminal can be given it: names come from anyone who starts a process.
pub fn text(of: &Attributes, key: &str) -> String {
    of.get(key)
        .map(|value| printable(&value.to_string()))
        .unwrap_or_default()
}

/// The value of a series as a number.
pub fn number(series: Option<&&Series>) -> Option<f64> {
    series?.value.as_ref().and_then(Value::as_f64)
}

/// A ratio as percent.
pub fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(absent, |ratio| format!("{:.1} %", crate::percent(ratio)))
}

/// A number with one decimal.
pub fn decimal(value: Option<f64>) -> String {
    value.map_or_else(absent, |value| format!("{value:.1}"))
}

/// A number without decimals.
pub fn whole(value: Option<f64>) -> String {
    value.map_or_else(absent, |value| format!("{value:.0}"))
}

/// The cell of an unknown value, which is not zero.
pub fn absent() -> String {
    "-".to_owned()
}

/// The owner of a series: its pod, else its container, else its job, else its systemd unit; with who has named that, where it
/// was not root.
pub fn owner(attributes: &Attributes) -> String {
    let claimed = text(attributes, key::ACCEL_OWNER);
    if claimed.is_empty() {
        return named(attributes).unwrap_or_else(absent);
    }
    let short = |part: &str| match part.split_once(' ') {
        Some((kind, id)) => format!("{kind} {}", id.chars().take(12).collect::<String>()),
        None => part.to_owned(),
    };
    let claimed = claimed.split('/').map(short).collect::<Vec<_>>().join("/");
    match named(attributes) {
        Some(name) => format!("{name} ({claimed})"),
        None => claimed,
    }
}

/// What the series belongs to.
fn named(attributes: &Attributes) -> Option<String> {
    let known = |key| Some(text(attributes, key)).filter(|text| !text.is_empty());
    if let Some(pod) = known(key::K8S_POD_NAME) {
        let parts = [
            known(key::K8S_NAMESPACE_NAME),
            Some(pod),
            known(key::K8S_CONTAINER_NAME),
        ];
        return Some(parts.into_iter().flatten().collect::<Vec<_>>().join("/"));
    }
    let id = || Some(known(key::CONTAINER_ID)?.chars().take(12).collect());
    let name = known(key::CONTAINER_NAME).or_else(id);
    let job = || {
        let id = [key::SLURM_JOB_ID, key::PBS_JOB_ID, key::LSF_JOB_ID]
            .into_iter()
            .find_map(known);
        id.map(|id| format!("job {id}"))
            .or_else(|| known(key::HTCONDOR_SLOT_NAME))
    };
    name.or_else(job).or_else(|| known(key::SYSTEMD_UNIT))
}

/// The executable, with its pid where the series has one.
pub fn process(attributes: &Attributes) -> String {
    let executable = text(attributes, key::PROCESS_EXECUTABLE_NAME);
    let pid = text(attributes, key::PROCESS_PID);
    match (executable.is_empty(), pid.is_empty()) {
        (true, true) => absent(),
        (true, false) => pid,
        (false, true) => executable,
        (false, false) => format!("{executable} ({pid})"),
    }
}
