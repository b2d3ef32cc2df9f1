//! An arbitrary configuration: errors and warnings are printable and name no secret, what is valid is within its bounds.
//!
//! The input has parts, separated by zero bytes: the file, then `NAME=value` for each variable and `--set KEY=VALUE` for each
//! flag.
#![no_main]

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use accelscope::SOURCES;
use accelscope::cli::{EXIT_USAGE, check_config};
use accelscope::config::{Config, ConfigFile, Environment, Inputs, load};
use accelscope_core::printable::{printable, printable_lines};
use agent_fuzz::scratch;
use libfuzzer_sys::fuzz_target;

/// Value of a header that is set beside the input.
const SECRET: &str = "Bearer hunter2hunter2";

/// Most bytes that a message has of its own, beside what it repeats of the input.
const MESSAGE: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == 0);
    let mut file = tempfile::Builder::new()
        .tempfile_in(scratch())
        .expect("a file of its own");
    file.write_all(parts.next().unwrap_or_default())
        .expect("room for the input");
    let mut sets = Vec::new();
    let mut variables = vec![(
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS".to_owned(),
        format!("authorization={SECRET}"),
    )];
    for part in parts {
        let part = String::from_utf8_lossy(part).into_owned();
        if let Some(set) = part.strip_prefix("--set ") {
            sets.push(set.to_owned());
        } else if let Some((name, value)) = part.split_once('=') {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    let inputs = Inputs {
        file: ConfigFile::Required(file.path().to_owned()),
        env: variables.into_iter().collect::<Environment>(),
        sets,
    };
    let has_secret = String::from_utf8_lossy(bytes).contains("hunter2");
    let shown = match load(&inputs, SOURCES) {
        Ok(loaded) => {
            is_within_bounds(&loaded.config);
            let shown = format!("{:?}", loaded.config);
            let again = load(&inputs, SOURCES).expect("it is valid");
            assert_eq!(format!("{:?}", again.config), shown, "it is read in one way");
            assert_eq!(again.warnings, loaded.warnings);
            format!("{shown}{:?}{:?}", loaded.config.destinations(), loaded.warnings)
        }
        Err(errors) => {
            let shown = errors.to_string();
            assert!(errors.0.iter().all(|error| !error.problem.is_empty()));
            assert_eq!(shown.lines().count(), errors.0.len(), "{shown}");
            assert_eq!(printable_lines(&shown), shown);
            for line in shown.lines() {
                assert!(line.len() <= MESSAGE + 12 * bytes.len(), "{} bytes", line.len());
            }
            shown
        }
    };
    assert!(has_secret || !shown.contains("hunter2"), "{shown}");
    check_is_printable(file.path());
});

fn is_within_bounds(config: &Config) {
    let interval = config.otlp.interval;
    assert!(Duration::from_millis(100) <= interval && interval <= Duration::from_secs(3600));
    let destinations = config.destinations();
    for (at, destination) in destinations.iter().enumerate() {
        assert!(destinations[..at].iter().all(|other| other.name != destination.name));
        assert!(["http", "https"].contains(&destination.endpoint.scheme()));
        assert!(destination.queue_bytes > 0 && !destination.timeout.is_zero());
        assert!(destination.endpoint.username().is_empty() && destination.endpoint.password().is_none());
        let shown = destination.shown_endpoint();
        assert!(!shown.contains('?') && printable(&shown) == shown, "{shown}");
    }
}

fn check_is_printable(file: &Path) {
    let (text, code) = check_config(file, SOURCES);
    assert_eq!(printable_lines(&text), text);
    assert!(text.ends_with('\n') && (code != EXIT_USAGE || text.lines().count() > 0));
}
