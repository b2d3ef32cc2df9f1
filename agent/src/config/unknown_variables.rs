//! Variables that look like the agent's own and are none, such as `ACCELSCOPE_OTLP_ENDPOINT` with one underscore.

use accelscope_core::settings::nearest;

use super::schema::Shape;
use super::text_layers;
use super::{ConfigError, Environment, Origin};

const PREFIX: &str = "ACCELSCOPE_";

/// Least similarity (0 to 1) at which a variable is taken for a misspelt key.
const ALIKE: f64 = 0.75;

/// Variables of other programs: of this project's build and tests, and of the agent's workers.
const OTHERS: [&str; 14] = [
    "ACCELSCOPE_CORPUS",
    "ACCELSCOPE_COST_AGENT",
    "ACCELSCOPE_COST_SECONDS",
    "ACCELSCOPE_DEBIAN_MIRROR",
    "ACCELSCOPE_EBPF_TOOLCHAIN",
    "ACCELSCOPE_KUBE",
    "ACCELSCOPE_NPU_SMI",
    "ACCELSCOPE_PCP_NVML",
    "ACCELSCOPE_PROMTOOL",
    "ACCELSCOPE_PYTHON",
    "ACCELSCOPE_REQUIRE",
    "ACCELSCOPE_REVISION",
    "ACCELSCOPE_WORKER_CONFIG",
    "ACCELSCOPE_WORKER_HANDOVER",
];

/// An error for each that is like a key; a warning for each other one.
pub(super) fn find(env: &Environment, shape: &Shape, errors: &mut Vec<ConfigError>, warnings: &mut Vec<String>) {
    let keys = shape.keys();
    let variables: Vec<String> = keys.iter().map(|key| variable(key)).collect();
    for (name, value) in env.starting_with(PREFIX) {
        let is_key = name[PREFIX.len()..].starts_with('_');
        let is_empty = value.is_ok_and(str::is_empty);
        if is_key || is_empty || OTHERS.contains(&name) || is_service_link(name, value.unwrap_or_default()) {
            continue;
        }
        let upper = name.to_ascii_uppercase();
        let flat: Vec<String> = variables.iter().map(|known| known.replace("__", "_")).collect();
        let near = nearest(&upper, flat.iter().map(String::as_str)).filter(|(score, _)| *score >= ALIKE);
        let near = near.and_then(|(_, near)| variables.get(flat.iter().position(|known| known == near)?));
        match near {
            Some(near) => errors.push(ConfigError {
                origin: Origin::Variable(name.into()),
                key: String::new(),
                problem: format!("is not known; did you mean {near}? Two underscores stand before each part of a key"),
            }),
            None => warnings.push(format!(
                "environment variable {name}: is not known and has no effect; keys are written {}SECTION__KEY",
                text_layers::PREFIX
            )),
        }
    }
}

/// The variable of a key; that of a table whose keys the user chooses is the one of the table.
fn variable(key: &str) -> String {
    let key = key.trim_end_matches(".<key>");
    format!("{}{}", text_layers::PREFIX, key.replace('.', "__").to_ascii_uppercase())
}

/// Whether Kubernetes sets it in every pod for a Service whose name begins with `accelscope`
/// (`<NAME>_SERVICE_HOST`, `<NAME>_SERVICE_PORT[_<PORT NAME>]`, `<NAME>_PORT`, `<NAME>_PORT_<NUMBER>_<PROTOCOL>[_...]`).
fn is_service_link(name: &str, value: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let is_port = |port: &str, protocol: &str| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && ["TCP", "UDP", "SCTP"].contains(&protocol)
    };
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || parts
            .windows(3)
            .any(|part| part[0] == "PORT" && is_port(part[1], part[2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SOURCES;

    fn found(variables: &[(&str, &str)]) -> (String, Vec<String>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let env = variables.iter().copied().collect();
        find(&env, &Shape::config(SOURCES), &mut errors, &mut warnings);
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        (lines.join("\n"), warnings)
    }

    #[test]
    fn one_underscore_or_a_misspelling_names_the_right_variable() {
        for (name, meant) in [
            ("ACCELSCOPE_OTLP_ENDPOINT", "ACCELSCOPE__OTLP__ENDPOINT"),
            ("ACCELSCOPE_OTLP__ENDPOINT", "ACCELSCOPE__OTLP__ENDPOINT"),
            ("accelscope_otlp_endpiont", "ACCELSCOPE__OTLP__ENDPOINT"),
            ("ACCELSCOPE_OTLP_HEADERS", "ACCELSCOPE__OTLP__HEADERS"),
            ("ACCELSCOPE_LOGLEVEL", "ACCELSCOPE__LOG__LEVEL"),
            ("ACCELSCOPE_HTTP_LISTEN", "ACCELSCOPE__HTTP__LISTEN"),
        ] {
            let (errors, warnings) = found(&[(name, "hunter2")]);
            let expected = format!("environment variable {name}: is not known; did you mean {meant}?");
            assert!(errors.starts_with(&expected), "{errors}");
            assert!(!errors.contains("hunter2") && warnings.is_empty());
        }
    }

    #[test]
    fn what_is_like_no_key_is_passed_over_with_a_warning() {
        let (errors, warnings) = found(&[("ACCELSCOPE_DEPLOYED_BY", "me"), ("ACCELSCOPE_REQUIRE", "root")]);
        assert_eq!(errors, "");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("ACCELSCOPE_DEPLOYED_BY"), "{warnings:?}");
    }

    #[test]
    fn a_service_of_that_name_is_no_setting() {
        let (errors, warnings) = found(&[
            ("ACCELSCOPE_AGENT_SERVICE_HOST", "10.0.0.1"),
            ("ACCELSCOPE_SERVICE_PORT_METRICS", "9464"),
            ("ACCELSCOPE_HTTP_PORT", "tcp://10.0.0.1:9464"),
            ("ACCELSCOPE_PORT_9464_TCP_ADDR", "10.0.0.1"),
            ("ACCELSCOPE_OTLP_PORT_4317_TCP", "tcp://10.0.0.1:4317"),
            ("ACCELSCOPE_OTLP_ENDPOINT", ""),
        ]);
        assert_eq!((errors.as_str(), warnings), ("", Vec::new()));
    }
}
