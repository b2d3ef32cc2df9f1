use super::Given;

const ON: &str = "compat.system_info_exporter.listen = '127.0.0.1:1'";

/// Address and name of the view's node.
fn view(file: &str, env: &[(&str, &str)], sets: &[&str]) -> (Option<String>, String, Vec<String>) {
    let loaded = Given { file, env, sets }.load();
    let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
    let view = &loaded.config.compat.system_info_exporter;
    let doubts = loaded.warnings.into_iter().filter(|line| line.contains("APP__"));
    (
        view.listen.map(|address| address.to_string()),
        view.node.clone(),
        doubts.collect(),
    )
}

fn listens(file: &str, env: &[(&str, &str)], sets: &[&str]) -> String {
    view(file, env, sets).0.unwrap()
}

#[test]
fn the_replaced_exporter_s_variables_go_before_the_file() {
    let both = [("APP__SERVER__HOST", "::"), ("APP__SERVER__PORT", "9000")];
    assert_eq!(listens(ON, &both, &[]), "[::]:9000");
    assert_eq!(listens(ON, &both[..1], &[]), "[::]:1", "the port stays");
    assert_eq!(listens(ON, &both[1..], &[]), "127.0.0.1:9000", "the address stays");
    assert_eq!(listens(ON, &[("APP__SERVER__PORT", "")], &[]), "127.0.0.1:1");
    let (_, node, doubts) = view(ON, &[("NODE_NAME", "node-7"), ("APP__SERVER__PORT", "2")], &[]);
    assert_eq!((node.as_str(), doubts), ("node-7", Vec::new()));
    let loaded = super::file(ON).load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "nothing is said of other views");
    let named = format!("{ON}\ncompat.system_info_exporter.node = 'of-the-file'");
    assert_eq!(view(&named, &[("NODE_NAME", "node-7")], &[]).1, "node-7");
}

#[test]
fn a_flag_stays_and_the_agent_s_own_variable_gives_way_with_a_line() {
    let env = [("APP__SERVER__PORT", "9000"), ("NODE_NAME", "node-7")];
    let (listen, node, doubts) = view(
        ON,
        &env,
        &[
            "compat.system_info_exporter.listen=127.0.0.1:2",
            "compat.system_info_exporter.node=mine",
        ],
    );
    assert_eq!((listen.as_deref(), node.as_str()), (Some("127.0.0.1:2"), "mine"));
    assert!(
        doubts.len() == 1 && doubts[0].contains("APP__SERVER__PORT: has no effect"),
        "{doubts:?}"
    );
    let own = [
        env[0],
        env[1],
        ("ACCELSCOPE__COMPAT__SYSTEM_INFO_EXPORTER__LISTEN", "127.0.0.1:3"),
        ("ACCELSCOPE__COMPAT__SYSTEM_INFO_EXPORTER__NODE", "mine"),
    ];
    let (listen, node, doubts) = view("", &own, &[]);
    assert_eq!((listen.as_deref(), node.as_str()), (Some("127.0.0.1:9000"), "mine"));
    assert!(
        doubts.len() == 1 && doubts[0].contains("sets to 127.0.0.1:3"),
        "{doubts:?}"
    );
}

#[test]
fn while_the_view_is_off_they_mean_nothing() {
    let env = [
        ("APP__SERVER__PORT", "not a port"),
        ("APP__SERVER__HOST", "x"),
        ("NODE_NAME", "n"),
    ];
    assert_eq!(view("", &env, &[]), (None, String::new(), Vec::new()));
    let off = ["compat.system_info_exporter.listen="];
    assert_eq!(
        view(ON, &env, &off),
        (None, String::new(), Vec::new()),
        "turned off again"
    );
}

#[test]
fn what_is_wrong_with_them_is_said_with_their_name() {
    for (name, value) in [
        ("APP__SERVER__PORT", "70000"),
        ("APP__SERVER__PORT", "-1"),
        ("APP__SERVER__PORT", "http"),
        ("APP__SERVER__PORT", "8080/tcp"),
        ("APP__SERVER__HOST", "localhost"),
        ("APP__SERVER__HOST", "0.0.0.0:8080"),
    ] {
        let given = Given {
            file: ON,
            env: &[(name, value)],
            ..Given::default()
        };
        let errors = given.errors();
        let expected = format!("environment variable {name}: compat.system_info_exporter.listen: {value:?} is not ");
        assert!(errors.starts_with(&expected) && errors.lines().count() == 1, "{errors}");
    }
}

#[test]
fn two_listeners_that_meet_by_a_variable_name_it() {
    let errors = Given {
        file: &format!("{ON}\ncompat.hailo_exporter.listen = '127.0.0.1:9000'"),
        env: &[("APP__SERVER__PORT", "9000")],
        ..Given::default()
    }
    .errors();
    assert!(errors.contains("environment variable APP__SERVER__PORT"), "{errors}");
}

#[test]
fn a_view_of_a_host_that_is_not_read_is_doubted_with_the_remedy() {
    let warnings = |file: &str| {
        super::file(file)
            .load()
            .unwrap_or_else(|errors| panic!("{errors}"))
            .warnings
    };
    let off = "host.enabled = false";
    let found = warnings(&format!("{ON}\n{off}"));
    assert!(
        matches!(&found[..], [line] if line.contains("compat.system_info_exporter.listen: host.enabled is false")
            && line.contains("set host.enabled = \"auto\"")),
        "{found:?}"
    );
    assert_eq!(warnings(off), Vec::<String>::new(), "there is no view");
    assert_eq!(warnings(&format!("{ON}\nhost.enabled = true")), Vec::<String>::new());
}
