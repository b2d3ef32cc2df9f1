//! Calls to a watched device as the kernel sees them: number, result, duration, and owner.
//!
//! This program is its own caller: started with `call`, `park` and so on it acts as the process that uses an accelerator. The
//! device is `/dev/full`, which every machine has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::float_cmp,
    reason = "a test program that speaks to the tests; counts are whole numbers, and exact"
)]

mod caller;
mod earlier;
mod ends;
mod executables;
mod foreign;
#[path = "../group_support/mod.rs"]
mod group_support;
mod groups;
mod held;
mod hierarchies;
mod joined;
mod lasting;
mod pods;
mod seen;
mod tests;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some((
            role @ ("busy" | "call" | "park" | "leave" | "headless" | "hold" | "twice" | "command" | "commands"
            | "paced" | "crowd"),
            rest,
        )) => {
            return caller::play(role, rest);
        }
        Some((role @ ("session" | "background"), rest)) => return ends::play(role, rest),
        Some(("foreign", rest)) => return foreign::play(rest),
        _ => {}
    }
    let tests: Vec<(&str, fn())> = vec![
        ("a_pod_of_cgroup_v1_has_its_calls_and_errors", tests::pod_of_v1),
        ("a_pod_of_cgroup_v2_has_its_calls_and_errors", tests::pod_of_v2),
        (
            "a_thousand_processes_of_a_few_milliseconds_lose_no_call",
            tests::short_lived,
        ),
        ("drains_lose_and_double_no_call", tests::exact),
        ("calls_in_flight_grow_older_beside_short_ones", tests::parked),
        ("a_killed_process_leaves_no_call_in_flight", tests::killed),
        ("calls_beyond_what_can_be_in_flight_are_no_successes", ends::crowded),
        ("a_call_that_the_kernel_restarts_is_one", ends::restarted),
        ("a_call_that_a_signal_ends_is_one_that_failed", ends::interrupted),
        ("a_call_that_waits_for_its_process_to_go_on_is_one", ends::stopped),
        (
            "calls_by_other_tables_are_seen_and_no_other_is_taken_for_one",
            foreign::seen,
        ),
        ("calls_after_a_quiet_time_are_shown_within_the_period", tests::quiet),
        (
            "the_last_device_lingers_when_its_node_goes_and_goes_on_when_it_is_made_again",
            lasting::last_device,
        ),
        ("devices_that_go_one_after_the_other_linger", lasting::all_devices),
        (
            "a_container_that_lives_keeps_its_series_beside_thousands_that_come_and_go",
            lasting::crowd,
        ),
        (
            "devices_beyond_what_can_be_watched_are_counted_and_told_once",
            lasting::too_many,
        ),
        ("long_names_of_executables_are_the_same_everywhere", held::long_names),
        ("a_descriptor_of_the_path_alone_holds_no_device", held::path_alone),
        (
            "a_call_in_flight_holds_the_device_when_its_descriptor_is_closed",
            held::closed,
        ),
        (
            "further_processes_of_a_container_are_holders_soon",
            held::further_processes,
        ),
        ("one_reading_watches_for_a_while", tests::once),
        (
            "without_privileges_the_agent_says_so_once_and_goes_on",
            tests::unprivileged,
        ),
    ];
    let tests = tests
        .into_iter()
        .chain(earlier::TESTS)
        .chain(executables::TESTS)
        .chain(groups::TESTS)
        .chain(hierarchies::TESTS);
    let mut options = Arguments::from_args();
    // The tests watch the same device.
    options.test_threads = Some(1);
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    libtest_mimic::run(&options, tests.map(trial).collect()).exit();
}
