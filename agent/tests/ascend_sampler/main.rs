//! The sampler against a tool that answers, fails, hangs and floods.
//!
//! This program is the tool as well: called with `npu-smi` it runs the stand-in.
#![allow(
    clippy::unwrap_used,
    clippy::unnecessary_wraps,
    clippy::print_stdout,
    reason = "a test program that is the tool as well"
)]

mod bench;

use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use accelscope_ascend::catalogue as ascend;
use accelscope_ascend::{Sampler, Settings, explain};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Batch, Owner, Point, key};
use accelscope_core::sampler::Level;
use accelscope_core::sampler::{Outcome, Sampler as _};
use libtest_mimic::{Arguments, Failed, Trial};

use bench::{Bench, attribute, of, points, sample, values};

/// Time limit of every wait.
const PATIENCE: Duration = Duration::from_secs(120);

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("npu-smi") {
        return fake_npu_smi::main(std::env::args_os().skip(2)).into();
    }
    // The supervisor of the tool.
    if std::env::args().skip(1).eq(["worker", "ascend"]) {
        return accelscope_ascend::dcmi::serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let tests: Vec<(&str, Test)> = vec![
        ("each_chip_becomes_its_series", chips),
        ("health_is_a_set_of_states", health),
        ("energy_grows_with_power_and_is_marked_as_derived", energy),
        ("a_process_is_owned_by_the_process_of_that_id_and_name", owner),
        ("more_processes_than_the_table_holds_are_all_there", many_processes),
        ("each_fault_of_the_tool_gives_its_cause", faults),
        ("physical_ids_are_asked_for_once", physical_ids),
        ("a_hanging_tool_is_killed_and_called_again", hangs),
        ("a_slow_tool_is_called_less_often", slow),
        ("outdated_readings_are_withdrawn", stale),
        ("a_damaged_table_gives_no_wrong_values", damaged),
        ("without_admin_rights_nothing_is_started", not_admin),
        ("no_tool_is_no_fault", no_tool),
    ];
    let trials = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    let mut arguments = Arguments::from_args();
    // One at a time: a script that another thread's child still holds open for writing cannot be started.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn chips() -> Result<(), Failed> {
    let bench = Bench::new("--family a3 --cards 2 --first-npu 4");
    let mut sampler = bench.sampler();
    let points = points(&mut sampler);
    let info = of(&points, &ascend::DEVICE_INFO);
    let ids: Vec<_> = info
        .iter()
        .map(|point| {
            [
                accelscope_ascend::key::ASCEND_NPU_ID,
                accelscope_ascend::key::ASCEND_CHIP_ID,
                accelscope_ascend::key::ASCEND_PHYSICAL_ID,
            ]
            .map(|key| attribute(&point.attributes, key))
        })
        .collect();
    assert_eq!(
        ids,
        [["4", "0", "0"], ["4", "1", "1"], ["5", "0", "2"], ["5", "1", "3"]]
    );
    let last = |key| attribute(&info[3].attributes, key);
    assert_eq!(last(key::HW_MODEL), "Ascend910");
    assert_eq!(last(key::HW_NAME), "davinci3");
    assert_eq!(last(key::HW_DRIVER_VERSION), "25.2.0");
    assert_eq!(last(key::ACCEL_DEVICE_ADDRESS), "0000:86:00.0");
    assert_eq!(
        of(&points, &hw::POWER).len(),
        2,
        "a card's power stands at its first chip alone"
    );
    assert_eq!(values(&points, &hw::NPU_UTILIZATION), [0.0; 4]);
    let limits = of(&points, &hw::NPU_MEMORY_LIMIT);
    assert!(
        limits
            .iter()
            .all(|point| attribute(&point.attributes, accelscope_ascend::key::ASCEND_MEMORY_TYPE) == "hbm"),
        "no DDR"
    );
    assert_eq!(values(&points, &hw::NPU_MEMORY_LIMIT), [f64::from(1 << 30) * 64.0; 4]);
    assert_eq!(values(&points, &ascend::PROCESS_COUNT), [0.0; 4]);
    let mut hw_ids: Vec<_> = info
        .iter()
        .map(|point| attribute(&point.attributes, key::HW_ID))
        .collect();
    hw_ids.sort();
    hw_ids.dedup();
    assert_eq!(hw_ids.len(), 4);
    Ok(())
}

fn health() -> Result<(), Failed> {
    let words = |points: &[Point], instrument, key| -> Vec<String> {
        let true_ones = of(points, instrument)
            .into_iter()
            .filter(|point| point.value.as_f64() == Some(1.0));
        true_ones.map(|point| attribute(&point.attributes, key)).collect()
    };
    let bench = Bench::new("--cards 1");
    let script = |word| {
        let table = fake_npu_smi::table(
            &fake_npu_smi::Options {
                cards: 1,
                ..fake_npu_smi::Options::default()
            },
            0,
        );
        let path = bench.directory.path().join("table");
        std::fs::write(&path, table.replace("| OK ", &format!("| {word} "))).unwrap();
        bench.runs(&format!("cat {}", path.display()));
    };
    for (word, state) in [
        ("OK", "ok"),
        ("Warning", "degraded"),
        ("Alarm", "degraded"),
        ("Critical", "failed"),
    ] {
        script(word);
        let points = points(&mut bench.sampler());
        assert_eq!(words(&points, &hw::STATUS, key::HW_STATE), [state]);
        assert_eq!(
            words(&points, &ascend::HEALTH_STATUS, accelscope_ascend::key::ASCEND_HEALTH),
            [word]
        );
        assert_eq!(
            (
                of(&points, &hw::STATUS).len(),
                of(&points, &ascend::HEALTH_STATUS).len()
            ),
            (3, 5)
        );
    }
    script("UNKNOWN");
    let unknown = points(&mut bench.sampler());
    assert!(
        of(&unknown, &hw::STATUS).is_empty(),
        "unknown is no state of the device"
    );
    assert_eq!(
        words(&unknown, &ascend::HEALTH_STATUS, accelscope_ascend::key::ASCEND_HEALTH),
        ["UNKNOWN"]
    );
    bench.plays("--fault orphan --cards 2");
    let orphan = points(&mut bench.sampler());
    assert_eq!(
        words(&orphan, &hw::STATUS, key::HW_STATE),
        ["failed", "ok"],
        "its health is none of the words"
    );
    Ok(())
}

fn energy() -> Result<(), Failed> {
    let bench = Bench::new("--cards 1 --pids 3999999");
    let mut sampler = bench.sampler();
    let started = Instant::now();
    let first = points(&mut sampler);
    std::thread::sleep(Duration::from_millis(50));
    let second = points(&mut sampler);
    let [before, after] = [&first, &second].map(|points| of(points, &hw::ENERGY)[0].clone());
    assert_eq!(before.value.as_f64(), Some(0.0));
    assert!(before.start.is_some() && before.start == after.start);
    assert_eq!(attribute(&after.attributes, key::ACCEL_DERIVED), "true");
    let joules = after.value.as_f64().unwrap();
    let most = 310.0 * started.elapsed().as_secs_f64();
    assert!(joules > 90.0 * 0.05 && joules < most, "{joules} J");
    Ok(())
}

/// A process that ends with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn owner() -> Result<(), Failed> {
    let sleeper = Sleeper::start();
    // Until its exec it is a copy of this program.
    let comm = format!("/proc/{}/comm", sleeper.pid());
    let until = Instant::now() + PATIENCE;
    while std::fs::read_to_string(&comm).unwrap().trim() != "sleep" {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let flags = format!("--cards 1 --pids {},3999999", sleeper.pid());
    let bench = Bench::new(&flags);
    let found = points(&mut bench.sampler());
    let memory = of(&found, &accel::PROCESS_MEMORY_USAGE);
    let Some(Owner::Process {
        process,
        always_pid: true,
    }) = memory[0].owner
    else {
        return Err(format!("{:?}", memory[0]).into());
    };
    assert_eq!(process.pid, sleeper.pid());
    assert_eq!(memory[1].owner, None, "no process has this id");
    assert_eq!(attribute(&memory[1].attributes, key::PROCESS_PID), "3999999");
    assert_eq!(values(&found, &ascend::PROCESS_COUNT), [2.0]);
    // The same id with another name: the tool's ids are from another PID namespace.
    let options = fake_npu_smi::Options {
        cards: 1,
        pids: vec![sleeper.pid()],
        ..fake_npu_smi::Options::default()
    };
    let table = fake_npu_smi::table(&options, 0).replace("| sleep ", "| other ");
    assert!(table.contains("| other "));
    let path = bench.directory.path().join("table");
    std::fs::write(&path, table).unwrap();
    bench.runs(&format!("cat {}", path.display()));
    let found = points(&mut bench.sampler());
    assert_eq!(
        of(&found, &accel::PROCESS_MEMORY_USAGE)[0].owner,
        None,
        "the usage would be attributed to the wrong process"
    );
    Ok(())
}

fn many_processes() -> Result<(), Failed> {
    let pids: Vec<String> = (3_999_901..3_999_913).map(|pid: u32| pid.to_string()).collect();
    let bench = Bench::new(&format!("--cards 1 --first-npu 6 --pids {}", pids.join(",")));
    let found = points(&mut bench.sampler());
    let found_pids: Vec<_> = of(&found, &accel::PROCESS_MEMORY_USAGE)
        .iter()
        .map(|point| attribute(&point.attributes, key::PROCESS_PID))
        .collect();
    assert_eq!(found_pids, pids);
    assert_eq!(values(&found, &ascend::PROCESS_COUNT), [12.0]);
    let calls = std::fs::read_to_string(bench.log()).unwrap();
    assert_eq!(calls, "info\ninfo -m\ninfo -t proc-mem -i 6\n");
    Ok(())
}

fn faults() -> Result<(), Failed> {
    for (fault, part) in [
        ("no-driver", "load the driver"),
        ("in-use", "another container owns"),
        ("dead-chip", "one chip does not answer"),
        ("unknown", "no known layout"),
        ("flood", "more than"),
    ] {
        let bench = Bench::new(&format!("--fault {fault}"));
        let (outcome, batches) = sample(&mut bench.sampler());
        let Outcome::Retry(error) = outcome else {
            return Err(format!("{fault}: {outcome:?}").into());
        };
        assert!(error.to_string().contains(part), "{fault}: {error}");
        let chips = batches
            .iter()
            .flat_map(|batch| &batch.points)
            .filter(|point| point.instrument.name.starts_with("hw."));
        assert_eq!(chips.count(), 0, "{fault}");
    }
    let bench = Bench::new("--fault no-card");
    assert!(matches!(sample(&mut bench.sampler()).0, Outcome::NothingHere(_)));
    // An exit status without a message.
    bench.runs("exit 187");
    let Outcome::Retry(error) = sample(&mut bench.sampler()).0 else {
        return Err("an exit status without a table is no success".into());
    };
    assert!(error.to_string().contains("-8005"), "{error}");
    let found = explain(&HostRoots::new("/"), &bench.settings);
    let worst = found.iter().max_by_key(|finding| finding.level).unwrap();
    assert!(worst.level == Level::Fail && worst.remedy.is_some(), "{found:?}");
    Ok(())
}

fn physical_ids() -> Result<(), Failed> {
    let bench = Bench::new("--family a5 --cards 2 --first-npu 3");
    let mut sampler = bench.sampler();
    let ids = |points: &[Point]| -> Vec<String> {
        let info = of(points, &ascend::DEVICE_INFO);
        let id = |point: &&Point| attribute(&point.attributes, accelscope_ascend::key::ASCEND_PHYSICAL_ID);
        info.iter().map(id).collect()
    };
    for _ in 0..3 {
        assert_eq!(ids(&points(&mut sampler)), ["0", "1"]);
    }
    let calls = || std::fs::read_to_string(bench.log()).unwrap();
    assert_eq!(calls(), "info\ninfo -m\ninfo\ninfo\n");
    bench.plays("--family a5 --cards 3 --first-npu 3");
    assert_eq!(
        ids(&points(&mut sampler)),
        ["0", "1", "2"],
        "the set of chips is another one"
    );
    assert!(calls().ends_with("info\ninfo -m\n"), "{}", calls());
    let bench = Bench::new("--family a3 --cards 1");
    points(&mut bench.sampler());
    assert_eq!(
        std::fs::read_to_string(bench.log()).unwrap(),
        "info\n",
        "the table has them"
    );
    let bench = Bench::new("--family hbm --cards 2");
    let found = points(&mut bench.sampler());
    assert_eq!(ids(&found), ["", ""], "this generation prints logical ids alone");
    Ok(())
}

fn hangs() -> Result<(), Failed> {
    let mut bench = Bench::new("--fault hang");
    bench.settings.timeout = Duration::from_secs(2);
    let mut sampler = bench.sampler();
    let started = Instant::now();
    let (outcome, _) = sample(&mut sampler);
    let Outcome::Retry(error) = outcome else {
        return Err(format!("{outcome:?}").into());
    };
    assert!(error.to_string().contains("was killed"), "{error}");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    bench.plays("--cards 1");
    // Two seconds are short where the machine is busy.
    let until = Instant::now() + PATIENCE;
    while !matches!(sample(&mut sampler).0, Outcome::Sampled) {
        assert!(Instant::now() < until, "the tool is not called again");
    }
    Ok(())
}

fn slow() -> Result<(), Failed> {
    let mut bench = Bench::new("--delay 300ms");
    bench.settings.period = Duration::from_millis(400);
    let mut sampler = bench.sampler();
    let call_and_rest = |sampler: &mut Sampler| {
        let begun = Instant::now();
        points(sampler);
        sampler.wait(Instant::now());
        begun.elapsed()
    };
    assert!(call_and_rest(&mut sampler) >= Duration::from_millis(300 + 400));
    assert!(
        call_and_rest(&mut sampler) >= Duration::from_millis(300 + 800),
        "and less again while it stays slow"
    );
    bench.settings.period = Duration::from_secs(1000);
    let mut sampler = bench.sampler();
    assert!(
        call_and_rest(&mut sampler) < bench.settings.period / 2,
        "in time: when it is due"
    );
    Ok(())
}

fn stale() -> Result<(), Failed> {
    let mut bench = Bench::new("--cards 1");
    bench.settings.period = Duration::from_millis(500);
    let mut sampler = bench.sampler();
    let good = Instant::now();
    points(&mut sampler);
    bench.plays("--fault no-driver");
    let is_taken_back = |batches: &[Batch]| {
        batches
            .iter()
            .any(|batch| batch.part.name.is_empty() && batch.points.is_empty())
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let (outcome, batches) = sample(&mut sampler);
        assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
        let tool = batches.iter().find(|batch| &*batch.part.name == "npu-smi").unwrap();
        assert_eq!(
            of(&tool.points, &ascend::TOOL_LAST_SUCCESS).len(),
            1,
            "the time of the last success is still reported"
        );
        if is_taken_back(&batches) {
            assert!(
                good.elapsed() > Duration::from_secs(2),
                "one failure takes nothing back"
            );
            return Ok(());
        }
        assert!(Instant::now() < until, "shown for ever");
    }
}

fn damaged() -> Result<(), Failed> {
    for fault in ["garble", "torn", "zeros", "incomplete"] {
        let bench = Bench::new(&format!("--fault {fault} --cards 8"));
        let (outcome, batches) = sample(&mut bench.sampler());
        let chips = batches
            .iter()
            .flat_map(|batch| of(&batch.points, &ascend::DEVICE_INFO))
            .count();
        assert!(chips <= 8, "{fault}: {chips} chips, {outcome:?}");
        if fault != "garble" {
            assert!(
                matches!(outcome, Outcome::Sampled) && chips > 0,
                "{fault}: {chips} chips, {outcome:?}"
            );
        }
        if fault == "zeros" {
            let points: Vec<Point> = batches.into_iter().flat_map(|batch| batch.points).collect();
            for instrument in [
                &hw::POWER,
                &hw::TEMPERATURE,
                &hw::NPU_UTILIZATION,
                &hw::NPU_MEMORY_USAGE,
            ] {
                assert!(
                    of(&points, instrument).is_empty(),
                    "{}: a failed read is no zero",
                    instrument.name
                );
            }
        }
    }
    Ok(())
}

fn not_admin() -> Result<(), Failed> {
    let mut bench = Bench::new("");
    bench.settings.require_admin = true;
    let (outcome, batches) = sample(&mut bench.sampler());
    let Outcome::Gone(reason) = outcome else {
        skip_test::skip(
            "unprivileged",
            "this process has every right; run it in an unprivileged container",
        );
        return Ok(());
    };
    assert!(
        reason.contains("would seize the card") && reason.contains("require_admin"),
        "{reason}"
    );
    assert!(batches.is_empty());
    let found = explain(&HostRoots::new("/"), &bench.settings);
    assert!(
        found
            .iter()
            .any(|finding| finding.level == Level::Fail && finding.remedy.is_some()),
        "{found:?}"
    );
    assert!(!bench.log().exists(), "the tool was started");
    Ok(())
}

fn no_tool() -> Result<(), Failed> {
    let host = tempfile::tempdir().unwrap();
    let mut sampler = Sampler::new(Settings::default(), HostRoots::new(host.path()), "node".to_owned());
    let (outcome, batches) = sample(&mut sampler);
    assert!(matches!(outcome, Outcome::NothingHere(_)), "{outcome:?}");
    assert!(batches.is_empty());
    Ok(())
}
