use std::path::Path;

use super::{Given, env, file, sets};
use crate::config::{Config, ConfigFile, Environment, Inputs, load};

#[test]
fn a_wrong_key_names_its_place_and_the_nearest_known_one() {
    let cases = [
        (
            "[hailo]\n  max_aeg = '1s'",
            "agent.toml:2:3: hailo.max_aeg: unknown key; did you mean hailo.max_age?",
        ),
        (
            "[hialo]\ndir = '/x'\ndiscover = true",
            "agent.toml:1:2: hialo: unknown key; did you mean hailo?",
        ),
        (
            "[http]\nqueue_bytes = 1",
            "agent.toml:2:1: http.queue_bytes: unknown key; keys of [http]: ",
        ),
        (
            "[otlp.destinations.b]\ninterval = '1s'",
            "agent.toml:2:1: otlp.destinations.b.interval: unknown key; did you mean otlp.interval?",
        ),
    ];
    for (text, expected) in cases {
        let errors = file(text).errors();
        assert!(errors.starts_with(expected), "{errors}");
        assert_eq!(
            errors.lines().filter(|line| line.contains("unknown")).count(),
            1,
            "{errors}"
        );
    }
    assert_eq!(
        env(&[("ACCELSCOPE__HAILO__DIRR", "/x")]).errors(),
        "environment variable ACCELSCOPE__HAILO__DIRR: hailo.dirr: unknown key; did you mean hailo.dir?"
    );
    assert_eq!(
        sets(&["otlp.destinations.a.endpiont=x"]).errors(),
        "--set otlp.destinations.a.endpiont: otlp.destinations.a.endpiont: unknown key; did you mean \
         otlp.destinations.a.endpoint?"
    );
    let other = file("[server]\nlisten = '0.0.0.0:9464'").errors();
    assert!(
        other.starts_with("agent.toml:1:2: server: unknown key; sections: ") && !other.contains("did you mean"),
        "{other}"
    );
    let others = sets(&["http.period=1s"]).errors();
    assert!(
        !others.contains("did you mean") && !others.contains("nearest") && others.contains("keys of [http]: "),
        "{others}"
    );
    let far = sets(&["qqq.zzz=1"]).errors();
    assert!(
        !far.contains("nearest")
            && far.contains("attribution, ")
            && far.contains(", otlp, ")
            && far.contains(", resource"),
        "{far}"
    );
}

#[test]
fn a_source_that_was_not_built_in_is_named() {
    let inputs = Inputs {
        sets: vec!["hailo.enabled=true".to_owned()],
        ..Inputs::default()
    };
    assert_eq!(
        load(&inputs, &[]).expect_err("a fault").to_string(),
        "--set hailo.enabled: hailo: this agent was built without the source hailo; build it with the cargo feature \
         \"hailo\""
    );
}

#[test]
fn all_faults_of_all_sources_are_told_at_once() {
    let given = Given {
        file: "[hailo]\nmax_age = 'soon'\ndiscover = 'yes'\n[http]\nlisten = 9464\n[limits]\nseries = -1\nbad = 1\n\
               [otlp]\nprotocol = 'http/json'\nqueue_bytes = '16 parsecs'\nendpoint = 'ftp://x'",
        env: &[
            ("ACCELSCOPE__HAILO__ENABLED", "maybe"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ],
        sets: &["limits.series_per_instrument=0", "nonsense", "otlp.interval=1ms"],
    };
    let errors = given.errors();
    let lines: Vec<&str> = errors.lines().collect();
    for start in [
        "agent.toml:2:1: hailo.max_age: \"soon\" is not a duration; write ",
        "agent.toml:3:1: hailo.discover: must be true or false, without quotes",
        "agent.toml:5:1: http.listen: \"9464\" is not an address and port; write ",
        "agent.toml:7:1: limits.series: must not be negative",
        "agent.toml:8:1: limits.bad: unknown key; ",
        "agent.toml:10:1: otlp.protocol: \"http/json\" is not known here; write \"grpc\" or \"http/protobuf\"",
        "agent.toml:11:1: otlp.queue_bytes: \"16 parsecs\" is not a size; write ",
        "agent.toml:12:1: otlp.endpoint: \"ftp\" is no scheme of OTLP; write ",
        "environment variable ACCELSCOPE__HAILO__ENABLED: hailo.enabled: \"maybe\" is not known here; write \"auto\" or ",
        "environment variable OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: \"delta\" is not supported",
        "--set limits.series_per_instrument: limits.series_per_instrument: must be at least 1",
        "--set nonsense: is not of the form SECTION.KEY=VALUE",
        "--set otlp.interval: otlp.interval: 1ms is out of range; write 100ms to 1h",
    ] {
        assert_eq!(
            lines.iter().filter(|line| line.starts_with(start)).count(),
            1,
            "{start}\nin\n{errors}"
        );
    }
    assert_eq!(lines.len(), 13, "{errors}");
}

#[test]
fn a_table_is_no_value_and_a_value_no_table() {
    for (text, expected) in [
        (
            "hailo = 3",
            "agent.toml:1:1: hailo: is a table and takes no value; set one of its keys: dir, discover",
        ),
        (
            "[hailo.dir]\nx = 1",
            "agent.toml:1:8: hailo.dir: takes a value, not a table",
        ),
        (
            "otlp.headers = 'a=b'",
            "agent.toml:1:6: otlp.headers: is a table and takes no value",
        ),
        (
            "resource.x = [1]",
            "agent.toml:1:10: resource.x: invalid type: sequence, expected text, a whole number",
        ),
        (
            "log.level = 2020-01-01",
            "agent.toml:1:5: log.level: is a date; no key takes one",
        ),
        ("http.resource_labels = [1]", "agent.toml:1:6: http.resource_labels: "),
    ] {
        let errors = file(text).errors();
        assert!(errors.starts_with(expected), "{errors}");
    }
}

#[test]
fn broken_toml_names_each_broken_line_and_never_quotes_it() {
    let errors = file("[otlp.headers]\nauthorization = \"Bearer s3cret\nx = = 1\n[hailo]\ndirr = 1").errors();
    assert!(
        errors.contains("agent.toml:2:") && errors.contains("not valid TOML"),
        "{errors}"
    );
    assert!(
        errors.contains("hailo.dirr"),
        "what can be read is still checked: {errors}"
    );
    assert!(!errors.contains("s3cret"), "{errors}");
}

#[test]
fn secrets_are_in_no_message() {
    for errors in [
        sets(&["otlp.endpoint=http://user:s3cret@c:1"]).errors(),
        env(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization s3cret")]).errors(),
        env(&[("ACCELSCOPE__OTLP__HEADERS__A", "s3cret\nx")]).errors(),
        file("otlp.headers.a = ['s3cret']").errors(),
        file("otlp.headers.a = \"s3cret\\n\"").errors(),
        file("otlp.headers.'a b' = \"s3cret\"").errors(),
    ] {
        assert!(!errors.contains("s3cret"), "{errors}");
        assert!(errors.contains("otlp."), "{errors}");
    }
    let config = env(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret")]).config();
    assert!(!format!("{config:?}{:?}", config.destinations()).contains("s3cret"));
}

#[test]
fn a_header_on_the_command_line_earns_a_warning() {
    let loaded = sets(&["otlp.headers.x-tenant=a"]).load().expect("allowed");
    assert!(loaded.warnings[0].contains("headers_file"), "{:?}", loaded.warnings);
}

#[test]
fn keys_that_contradict_each_other() {
    for (given, expected) in [
        (sets(&["otlp.cert_file=/c"]), "otlp.cert_file: needs key_file beside it"),
        (
            sets(&["compat.hailo_exporter.listen=0.0.0.0:9464"]),
            "meets http.listen (127.0.0.1:9464)",
        ),
        (
            sets(&["otlp.protocol=http/protobuf", "otlp.endpoint=c:1"]),
            "needs http:// or https://",
        ),
        (
            sets(&["otlp.destinations.default.timeout=1s"]),
            "the name belongs to [otlp] itself",
        ),
        (sets(&["hailo.dir=tmp"]), "not an absolute path"),
        (
            sets(&["otlp.headers.content-type=x"]),
            "is not the name of a header that may be set",
        ),
    ] {
        let errors = given.errors();
        assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
    }
}

#[test]
fn files_that_cannot_be_configurations() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let error = |path: &Path| {
        Config::check_file(path, crate::SOURCES)
            .expect_err("a fault")
            .to_string()
    };
    let missing = dir.path().join("missing.toml");
    assert_eq!(
        error(&missing),
        format!("{}: no such file; give the right path", missing.display())
    );
    assert!(error(dir.path()).contains("is a directory; name a regular file"));
    let binary = dir.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe]).expect("a file");
    assert!(error(&binary).contains("is not UTF-8 text"));
    assert!(error(Path::new("/dev/zero")).contains("is a device; name a regular file"));
}

#[test]
fn a_variable_that_is_not_text_is_a_fault_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;
    let bad = || std::ffi::OsString::from_vec(vec![0xff]);
    let with = |name: &str| {
        let env: Environment = [(std::ffi::OsString::from(name), bad())].into_iter().collect();
        load(
            &super::super::Inputs {
                file: ConfigFile::Nothing,
                env,
                sets: Vec::new(),
            },
            crate::SOURCES,
        )
    };
    assert!(with("PATH").is_ok());
    let error = with("ACCELSCOPE__HAILO__DIR").expect_err("a fault").to_string();
    assert_eq!(
        error,
        "environment variable ACCELSCOPE__HAILO__DIR: hailo.dir: is not UTF-8 text"
    );
}

#[test]
fn a_bottomless_file_is_an_error_and_no_crash() {
    for text in [
        format!("{}x = 1", "a.".repeat(200_000)),
        format!("[{}x]", "a.".repeat(200_000)),
        format!("resource.{}x = 1", "a.".repeat(200_000)),
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{a=".repeat(200_000)),
    ] {
        let errors = file(&text).errors();
        assert!(errors.len() < 10_000, "{} bytes of errors", errors.len());
    }
}

proptest::proptest! {
    #[test]
    fn no_input_is_too_strange(
        text in "([a-z.]{0,9} ?= ?['\"\\[{]?[a-z0-9,]{0,5}['\"\\]}]?\\n|\\[(hailo|otlp|resource)[a-z.]{0,4}\\]\\n|\\PC){0,12}",
        value in "\\PC{0,12}",
        key in "(otlp|hailo|resource|otlp.headers|otlp.destinations)?[._a-z=]{0,12}",
    ) {
        let name = format!("ACCELSCOPE__{}", key.replace(['=', '\0'], "").replace('.', "__"));
        let set = format!("{key}={value}");
        let env = [(name.as_str(), value.as_str()), ("OTEL_RESOURCE_ATTRIBUTES", &value), ("OTEL_EXPORTER_OTLP_HEADERS", &value)];
        if let Err(errors) = (Given { file: &text, env: &env, sets: &[&set] }).load() {
            proptest::prop_assert!(!errors.0.is_empty());
            proptest::prop_assert!(errors.0.iter().all(|error| !error.problem.is_empty()));
        }
    }
}
