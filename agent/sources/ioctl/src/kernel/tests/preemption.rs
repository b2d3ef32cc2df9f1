use HookKind::{Fentry, Kprobe, RawTracepoint, Scan, Tracepoint};

use super::*;

fn options(set: &[&'static str]) -> HashMap<&'static str, char> {
    let all = [
        "CONFIG_PREEMPT_NONE",
        "CONFIG_PREEMPT_VOLUNTARY",
        "CONFIG_PREEMPT",
        "CONFIG_PREEMPT_LAZY",
    ];
    all.into_iter()
        .map(|option| (option, if set.contains(&option) { 'y' } else { 'n' }))
        .collect()
}

const DYNAMIC: &str = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.73-1";

#[test]
fn a_kernels_model_is_what_it_runs_with() {
    let none = HashMap::new();
    let possible = |model: &str| Preemption::Possible(model.to_owned());
    let cases = [
        ("#1 SMP Debian 6.1.0", "", "", &none, Preemption::None),
        ("#1 SMP Debian 6.1.0", "", "preempt=full", &none, Preemption::None),
        (
            "#1 SMP PREEMPT_RT Debian 6.1.0",
            "",
            "preempt=none",
            &none,
            Preemption::RealTime,
        ),
        ("#1 SMP PREEMPT Raspbian", "", "", &none, possible("CONFIG_PREEMPT")),
        (
            "#1 SMP PREEMPT Raspbian",
            "",
            "preempt=none",
            &none,
            possible("CONFIG_PREEMPT"),
        ),
        (
            DYNAMIC,
            "none voluntary (full)\n",
            "preempt=none",
            &none,
            possible("preempt=full"),
        ),
        (
            DYNAMIC,
            "none (voluntary) full lazy\n",
            "preempt=full",
            &none,
            Preemption::None,
        ),
        (DYNAMIC, "", "quiet preempt=full preempt=none", &none, Preemption::None),
        (DYNAMIC, "", "preempt=none -- preempt=full", &none, Preemption::None),
        (
            DYNAMIC,
            "",
            "preempt=lazy preempt=wrong",
            &none,
            possible("preempt=lazy"),
        ),
        (
            DYNAMIC,
            "",
            "",
            &options(&["CONFIG_PREEMPT_VOLUNTARY"]),
            Preemption::None,
        ),
        (DYNAMIC, "", "", &options(&["CONFIG_PREEMPT"]), possible("preempt=full")),
        (
            DYNAMIC,
            "",
            "preempt=none",
            &options(&["CONFIG_PREEMPT"]),
            Preemption::None,
        ),
        (
            DYNAMIC,
            "",
            "",
            &none,
            possible("PREEMPT_DYNAMIC of a model that is not known"),
        ),
    ];
    for (version, now, command_line, options, expected) in cases {
        let found = Preemption::of(version, now, command_line, options);
        assert_eq!(found, expected, "{version} {now} {command_line} {options:?}");
    }
}

fn on(release: &str) -> Environment {
    Environment {
        release: release.to_owned(),
        ..Environment::default()
    }
}

#[test]
fn on_a_kernel_that_preempts_the_best_hook_is_the_one_that_loses_least() {
    let auto = crate::Hooks::Auto.allowed();
    let full = Preemption::Possible("preempt=full".to_owned());
    let order = |preemption: &Preemption, release| preemption.order(&auto, false, &on(release));
    for release in ["5.10.0-28-amd64", "6.1.0", "6.18.44"] {
        assert_eq!(order(&Preemption::None, release), auto, "{release}");
    }
    let counted = [RawTracepoint, Kprobe, Tracepoint, Fentry, Scan];
    assert_eq!(order(&full, "6.12.73+deb12-amd64"), counted);
    assert_eq!(order(&full, "6.7.0-rc1"), counted);
    assert_eq!(order(&Preemption::RealTime, "6.12.0-rt"), counted);
    // Before 6.7 nobody knows how many calls a kprobe has lost.
    for release in ["6.6.51+rpt-rpi-2712", "6.1.0", "5.15.0-rt", "5.11.0", "strange"] {
        assert_eq!(order(&full, release), [RawTracepoint, Fentry, Scan], "{release}");
    }
    // Map operations forbid preemption there, and fentry has no such mark.
    assert_eq!(order(&full, "5.10.0"), auto);
    assert_eq!(order(&Preemption::RealTime, "5.10.0-rt"), [RawTracepoint, Fentry, Scan]);
}

#[test]
fn hooks_that_the_user_names_are_used_and_their_loss_is_said() {
    let full = Preemption::Possible("preempt=full".to_owned());
    let named = |kinds: &[HookKind], release| full.order(kinds, true, &on(release));
    assert_eq!(named(&[Fentry], "6.12.1"), [Fentry]);
    assert_eq!(named(&[Tracepoint], "6.1.0"), [Tracepoint]);
    assert_eq!(named(&[Fentry, Kprobe], "6.12.1"), [Kprobe, Fentry]);
    assert_eq!(
        named(&[Fentry, Kprobe], "6.1.0"),
        [Fentry, Kprobe],
        "counted before uncounted"
    );
    let loss = |hook, release| full.loss(hook, &on(release)).unwrap_or_default();
    assert!(loss(Tracepoint, "6.1.0").contains("does not count"));
    assert!(loss(Kprobe, "6.12.1").contains("agent.ioctl.lost"));
    assert!(loss(Fentry, "6.1.0").contains("preempt=full"));
    assert_eq!(loss(RawTracepoint, "6.1.0"), "");
    assert_eq!(Preemption::None.loss(Fentry, &on("6.1.0")), None);
}
