//! The prebuilt eBPF programs on this kernel, without the agent: their counts match the calls that were made.
#![expect(clippy::unwrap_used, reason = "a test fails where what it needs is not there")]

use std::fs::File;
use std::os::unix::thread::JoinHandleExt as _;
use std::time::{Duration, Instant};

use agent_ebpf::{
    ErrorKey, HAILO_CONTROL, HAILO_LAUNCH, HOOK_SYSCALL, HailoCommand, HailoKey, Ident, Record, Watched, counter,
};
use benches::ioctl::{Programs, ioctl};

/// Commands that every file accepts with any argument (`FIOCLEX`, `FIONCLEX`), and one that no file implements.
const GRANTED: u32 = 0x5451;
const GRANTED_TOO: u32 = 0x5450;
const UNKNOWN: u32 = 0x9999;
/// `VT_WAITACTIVE`: waits until the virtual terminal in the argument is in front.
const WAIT: u32 = 0x5607;

fn loaded(quota: u32) -> Option<Programs> {
    told(Programs::load(None, quota))
}

fn programs(kind: &str, quota: u32, watched: Watched) -> Option<Programs> {
    told(Programs::load(None, quota).and_then(|mut programs| {
        programs.watch(watched)?;
        programs.attach(kind)?;
        Ok(programs)
    }))
}

/// The programs; `None` with a message if they cannot be loaded. Fails if they are required.
fn told(programs: anyhow::Result<Programs>) -> Option<Programs> {
    programs
        .inspect_err(|error| {
            let why = format!("this kernel or user may not load the eBPF programs: {error:#}");
            skip_test::skip("ebpf", &why);
        })
        .ok()
}

/// A memory device (major number 1).
fn memory(minor: u32, arguments: u32) -> Watched {
    Watched {
        number: 1 << 20 | minor,
        device: minor,
        arguments,
        hook: HOOK_SYSCALL,
    }
}

/// This process's records of a device.
fn own(programs: &Programs, device: u32) -> Vec<(u32, Ident, Record)> {
    let mut all = programs.records().unwrap();
    all.retain(|(_, ident, _)| ident.pid == std::process::id() && ident.key.device == device);
    all
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

extern "C" fn interrupted(_: libc::c_int) {}

#[expect(
    unsafe_code,
    reason = "a handler that does nothing, so that a signal ends the waiting call"
)]
fn let_signals_interrupt() {
    // SAFETY: all zeroes is a valid `sigaction`, and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupted as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
}

#[expect(unsafe_code, reason = "a signal to one thread")]
fn interrupt(thread: libc::pthread_t) {
    // SAFETY: the caller has not joined the thread yet.
    unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
}

#[test]
fn calls_that_wait_and_calls_that_do_not_are_all_counted() {
    const PARKED: usize = 64;
    const THREADS: u64 = 4;
    const EACH: u64 = 2_500;
    let Ok(terminal) = File::open("/dev/tty0") else {
        eprintln!("SKIPPED: no virtual terminals, so no call that waits");
        return;
    };
    let full = File::open("/dev/full").unwrap();
    let_signals_interrupt();
    for kind in ways() {
        let Some(mut programs) = programs(kind, 1024, memory(7, 0)) else {
            return;
        };
        programs
            .watch(Watched {
                number: 4 << 20,
                device: 40,
                arguments: 0,
                hook: HOOK_SYSCALL,
            })
            .unwrap();
        let mine = |programs: &Programs| {
            let mut slots = programs.in_flight().unwrap();
            slots.retain(|slot| slot.owner >> 32 == u64::from(std::process::id()) && slot.began != 0);
            slots
        };
        let parked: Vec<_> = (0..PARKED)
            .map(|_| {
                let terminal = terminal.try_clone().unwrap();
                std::thread::spawn(move || ioctl(&terminal, WAIT, 61))
            })
            .collect();
        until("all wait", || mine(&programs).len() == PARKED);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| assert_eq!(ioctl(&full, GRANTED, 0), 0)));
            }
        });
        let waiting = mine(&programs);
        assert_eq!(waiting.len(), PARKED, "{kind}: the short ones have left");
        assert!(waiting.iter().all(|slot| slot.command == WAIT && slot.device == 40));
        for thread in parked {
            // The slot is written before the thread sleeps: a signal may come too early.
            until("the call ends", || {
                interrupt(thread.as_pthread_t());
                thread.is_finished()
            });
            assert_eq!(thread.join().unwrap(), -libc::EINTR);
        }
        assert_eq!(mine(&programs).len(), 0, "{kind}");
        // Beside the record of all processors there may be one of each.
        let short = own(&programs, 7);
        let sum = |of: fn(&Record) -> u64| short.iter().map(|(_, _, record)| of(record)).sum::<u64>();
        assert_eq!(
            short.iter().filter(|(_, ident, _)| !ident.key.is_share()).count(),
            1,
            "{kind}: one key"
        );
        assert_eq!(
            [
                sum(|record| record.entered),
                sum(Record::returned),
                sum(|record| record.failed)
            ],
            [THREADS * EACH, THREADS * EACH, 0],
            "{kind}"
        );
        let [(number, _, parked)] = own(&programs, 40)[..] else {
            panic!("{kind}: one key")
        };
        assert_eq!(
            (parked.entered, parked.returned(), parked.failed),
            (64, 64, 64),
            "{kind}"
        );
        let errors = programs.errors().unwrap();
        let failed: u64 = errors
            .iter()
            .filter(|(key, _)| key.record == number)
            .map(|(_, count)| count)
            .sum();
        assert_eq!(failed, 64, "{kind}: {errors:?}");
        for lost in [
            counter::RETURN_MISSED,
            counter::SLOT_FULL,
            counter::KEY_FULL,
            counter::ERROR_FULL,
        ] {
            assert_eq!(programs.counter(lost).unwrap(), 0, "{kind}: counter {lost}");
        }
        assert_eq!(programs.counter(counter::OVERFLOWING).unwrap(), 0, "{kind}");
    }
}

/// A launch as of 4.21: engine, channel, …, count at 15, buffers of 16 bytes from 16 on with their size at 12.
fn launch(engine: u8, channel: u8, count: u8, sizes: &[u32]) -> Vec<u8> {
    let mut argument = vec![0; 16 + 16 * sizes.len()];
    (argument[0], argument[1], argument[15]) = (engine, channel, count);
    for (buffer, size) in sizes.iter().enumerate() {
        argument[16 + 16 * buffer + 12..][..4].copy_from_slice(&size.to_le_bytes());
    }
    argument
}

#[test]
fn launches_count_only_as_far_as_the_driver_took_them_and_the_caller_can_be_believed() {
    let null = File::open("/dev/null").unwrap();
    for kind in ways() {
        let Some(mut programs) = programs(kind, 1024, memory(3, 9)) else {
            return;
        };
        let layout = HailoCommand {
            kind: HAILO_LAUNCH,
            channel_at: 1,
            count_at: 15,
            buffers_at: 16,
            stride: 16,
            size_at: 12,
            most: 8,
            inputs: 16,
            ..HailoCommand::default()
        };
        let control = HailoCommand {
            kind: HAILO_CONTROL,
            opcode_at: 32,
            switch_opcode: 37,
            ..HailoCommand::default()
        };
        for (command, told) in [(GRANTED, layout), (UNKNOWN, layout), (GRANTED_TOO, control)] {
            programs.hailo(HailoKey { abi: 9, command }, told).unwrap();
        }
        let call = |command, argument: &[u8]| ioctl(&null, command, argument.as_ptr().addr() as u64);

        call(GRANTED, &launch(0, 2, 2, &[1000, 24]));
        call(GRANTED, &launch(0, 2, 1, &[u32::MAX]));
        call(GRANTED, &launch(1, 17, 8, &[10; 8]));
        // Too many, none, and an unreadable argument.
        call(GRANTED, &launch(0, 3, 9, &[10; 9]));
        call(GRANTED, &launch(0, 3, 0, &[]));
        ioctl(&null, GRANTED, 8);
        ioctl(&null, GRANTED, u64::MAX);
        assert_eq!(
            call(UNKNOWN, &launch(0, 4, 1, &[77])),
            -libc::ENOTTY,
            "the driver refuses it"
        );
        let mut opcode = [0; 64];
        opcode[35] = 37;
        call(GRANTED_TOO, &opcode);
        opcode[35] = 36;
        call(GRANTED_TOO, &opcode);

        let records = own(&programs, 3);
        let of = |command| {
            records
                .iter()
                .find(|(_, ident, _)| ident.key.command == command)
                .unwrap()
        };
        let (number, _, launched) = of(GRANTED);
        assert_eq!(launched.entered, 7, "{kind}");
        assert_eq!(launched.transfers, [3, 8], "{kind}");
        assert_eq!(launched.bytes, [1024 + u64::from(u32::MAX), 80], "{kind}");
        assert_eq!(launched.implausible, 4, "{kind}");
        let mut channels = programs.channels().unwrap();
        channels.sort_by_key(|(key, _)| (key.record, key.channel));
        let channels: Vec<_> = channels
            .iter()
            .filter(|(key, _)| key.record == *number)
            .map(|(key, count)| (key.channel, *count))
            .collect();
        assert_eq!(channels, [(2, 2), (0x1_0011, 1)], "{kind}");
        let (refused, _, record) = of(UNKNOWN);
        assert_eq!((record.failed, record.bytes), (1, [0, 0]), "{kind}");
        let errors = programs.errors().unwrap();
        let key = ErrorKey {
            record: *refused,
            errno: libc::ENOTTY as u32,
        };
        assert!(errors.contains(&(key, 1)), "{kind}: {errors:?}");
        assert_eq!(of(GRANTED_TOO).2.switches, 1, "{kind}");
    }
}

#[test]
fn a_command_within_a_command_is_counted_by_its_own_number() {
    const TRANSFER: u32 = 0xc010_46d3;
    let urandom = File::open("/dev/urandom").unwrap();
    for kind in ways() {
        let Some(programs) = programs(kind, 1024, memory(9, agent_ebpf::NVIDIA)) else {
            return;
        };
        let transfer = |command: u32, words: [u32; 4]| ioctl(&urandom, command, words.as_ptr().addr() as u64);
        for _ in 0..3 {
            transfer(TRANSFER, [0x2a, 32, 0, 0]);
        }
        // Beyond a command's number, beyond the largest argument, and an unreadable argument.
        transfer(TRANSFER, [0x12a, 32, 0, 0]);
        transfer(TRANSFER, [0x2a, 16_385, 0, 0]);
        transfer(TRANSFER, [u32::MAX; 4]);
        for address in [0, 8, u64::MAX, u64::MAX - 7, 1 << 47, 0xffff_8880_0000_0000] {
            ioctl(&urandom, TRANSFER, address);
        }
        // The driver refuses it with another size, and no other command contains one.
        transfer(0xc018_46d3, [0x2a, 32, 0, 0]);
        transfer(0xc010_46d2, [0x2a, 32, 0, 0]);

        let mut counted: Vec<_> = own(&programs, 9)
            .iter()
            .map(|(_, ident, record)| (ident.key.command, record.entered, record.failed))
            .collect();
        counted.sort_unstable();
        let wanted = [
            (0xc010_462a, 3, 3),
            (0xc010_46d2, 1, 1),
            (TRANSFER, 9, 9),
            (0xc018_46d3, 1, 1),
        ];
        assert_eq!(counted, wanted, "{kind}");
    }
}

#[test]
fn who_makes_up_commands_fills_only_a_share_of_the_table() {
    const QUOTA: u32 = 16;
    const COMMANDS: u32 = 300;
    let zero = File::open("/dev/zero").unwrap();
    let Some(programs) = programs(ways()[0], QUOTA, memory(5, 0)) else {
        return;
    };
    for command in 0..COMMANDS {
        ioctl(&zero, 0x4000_9900 + command, 0);
    }
    let records = own(&programs, 5);
    assert!(records.len() as u32 <= QUOTA + 1, "{}", records.len());
    let folded = records
        .iter()
        .find(|(_, ident, _)| ident.key.is_other_commands())
        .unwrap();
    assert!(folded.2.entered >= u64::from(COMMANDS - QUOTA));
    let all: u64 = records.iter().map(|(_, _, record)| record.returned()).sum();
    assert_eq!(all, u64::from(COMMANDS), "folded, not lost");
    assert!(programs.counter(counter::FOLDED).unwrap() >= u64::from(COMMANDS - QUOTA));
}

#[test]
fn the_verifier_takes_every_program() {
    let Some(mut programs) = loaded(1024) else { return };
    let verdicts = programs.verify("security_file_ioctl").unwrap();
    assert_eq!(verdicts.len(), 22);
    let mut refused = String::new();
    for (name, verdict) in verdicts {
        match verdict {
            Ok(()) => eprintln!("{name}: taken"),
            // The kernel has no trampolines (fentry), or no such instruction yet (those that load directly).
            Err(error) if name.contains("_fe") || (name.ends_with("direct") && ways().len() == 1) => {
                eprintln!("{name}: {error}");
            }
            Err(error) => refused.push_str(&format!("{name}: {error}\n")),
        }
    }
    assert_eq!(refused, "");
}

/// Variants that this kernel supports; compare-and-exchange needs Linux 5.12.
fn ways() -> &'static [&'static str] {
    if kernel() < (5, 12) {
        &["probed"]
    } else {
        &["direct", "probed"]
    }
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
