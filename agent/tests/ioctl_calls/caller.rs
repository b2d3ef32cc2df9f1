//! The process that makes the calls.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The watched device.
pub(crate) const DEVICE: &str = "/dev/full";

/// `busy THREADS`: calls on each of its threads until it is killed; prints a line when all of them call. `call GROUPS THREADS GOOD BAD`: joins the control groups (paths separated by commas) and makes that many calls on
/// each of its threads. `park THREADS SHORT`: that many calls that do not return before a line arrives, and that many
/// short ones; `leave THREADS SHORT`: the same with the descriptor closed meanwhile. `hold FLAGS`: opens the device with these
/// flags of open(2), and makes a call for each line that arrives. `paced DEVICE GROUPS`: a call, and a line when it was
/// made, for each line that arrives. `crowd PREFIX COUNT`: one call in each of that many control groups, which are made and
/// removed.
/// `headless THREADS`: as many calls that do not return before a line arrives, while the first thread has ended.
/// `twice GROUP CALLS`: that many good calls, and as many again after a line has arrived; prints a line after each.
/// `command NUMBER CALLS`: calls with that command. `commands GROUPS FIRST COUNT`: one call with each of that many commands.
pub(crate) fn play(role: &str, arguments: &[String]) {
    match (role, arguments) {
        ("call", [groups, threads, good, bad]) => {
            join(groups);
            call(threads.parse().unwrap(), good.parse().unwrap(), bad.parse().unwrap());
        }
        ("busy", [threads]) => busy(threads.parse().unwrap()),
        ("twice", [group, calls]) => {
            join(group);
            twice(calls.parse().unwrap());
        }
        ("command", [number, calls]) => command(number.parse().unwrap(), calls.parse().unwrap()),
        ("commands", [groups, first, count]) => {
            join(groups);
            let (first, count): (u32, u32) = (first.parse().unwrap(), count.parse().unwrap());
            (first..first + count).for_each(|number| command(number, 1));
        }
        ("park", [threads, short]) => park(threads.parse().unwrap(), short.parse().unwrap(), false),
        ("leave", [threads, short]) => park(threads.parse().unwrap(), short.parse().unwrap(), true),
        ("headless", [threads]) => headless(threads.parse().unwrap()),
        ("hold", [flags]) => hold(flags.parse().unwrap()),
        ("paced", [device, groups]) => {
            join(groups);
            paced(Path::new(device));
        }
        ("crowd", [prefix, count]) => crowd(prefix, count.parse().unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Joins control groups, whose paths are separated by commas.
fn join(groups: &str) {
    for group in groups.split(',').filter(|group| !group.is_empty()) {
        std::fs::write(Path::new(group).join("cgroup.procs"), "0").unwrap();
    }
}

fn hold(flags: u32) {
    let flags = rustix::fs::OFlags::from_bits_retain(flags);
    let device = rustix::fs::open(DEVICE, flags, rustix::fs::Mode::empty()).unwrap();
    println!("held");
    for line in std::io::stdin().lines() {
        line.unwrap();
        match rustix::io::ioctl_fioclex(&device) {
            Ok(()) => println!("made"),
            Err(error) => println!("{}", error.raw_os_error()),
        }
    }
}

fn paced(device: &Path) {
    let device = File::open(device).unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        good(&device);
        println!("made");
        std::io::stdout().flush().unwrap();
    }
}

/// Groups are removed some steps after they were left, so that a path is never that of two of them.
fn crowd(prefix: &str, count: u32) {
    let device = File::open(DEVICE).unwrap();
    let group = |number: u32| format!("{prefix}{number:024x}.scope");
    for number in 0..count {
        std::fs::create_dir(group(number)).unwrap();
        join(&group(number));
        good(&device);
        if let Some(left) = number.checked_sub(1) {
            std::fs::remove_dir(group(left)).unwrap();
        }
        // As many a second as the agent gives up again.
        std::thread::sleep(Duration::from_millis(3));
    }
    let above = Path::new(prefix).parent().unwrap();
    join(above.to_str().unwrap());
    std::fs::remove_dir(group(count - 1)).unwrap();
}

fn good(device: &File) {
    // Implemented for every descriptor, independently of the driver.
    rustix::io::ioctl_fioclex(device).unwrap();
}

fn bad(device: &File) {
    // Fails: the device is no terminal.
    assert_eq!(
        rustix::termios::tcgetwinsize(device).unwrap_err(),
        rustix::io::Errno::NOTTY
    );
}

/// With `wanted` 0, as many good calls as fit into four seconds; prints their number.
fn call(threads: usize, wanted: u64, failing: u64) {
    let device = File::options().read(true).write(true).open(DEVICE).unwrap();
    let begin = Barrier::new(threads);
    let one = || {
        begin.wait();
        if wanted + failing > 0 {
            (0..wanted).for_each(|_| good(&device));
            (0..failing).for_each(|_| bad(&device));
            return (wanted, failing);
        }
        let until = Instant::now() + Duration::from_secs(4);
        let (mut made, mut failed) = (0, 0);
        while Instant::now() < until {
            (0..100).for_each(|_| good(&device));
            (0..20).for_each(|_| bad(&device));
            made += 100;
            failed += 20;
        }
        (made, failed)
    };
    let totals: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (made, failed) = totals.into_iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    println!("{made} {failed}");
}

fn busy(threads: usize) {
    let device = File::open(DEVICE).unwrap();
    let begin = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                good(&device);
                bad(&device);
                if begin.wait().is_leader() {
                    println!("busy");
                }
                loop {
                    good(&device);
                    bad(&device);
                }
            });
        }
    });
}

fn twice(calls: u64) {
    let device = File::open(DEVICE).unwrap();
    for _ in 0..2 {
        (0..calls).for_each(|_| good(&device));
        println!("{calls}");
        std::io::stdin().read_exact(&mut [0]).unwrap();
    }
}

#[allow(unsafe_code, reason = "a command that no crate has a function for")]
fn command(number: u32, calls: u64) {
    use std::os::fd::AsRawFd;
    let device = File::open(DEVICE).unwrap();
    for _ in 0..calls {
        // SAFETY: a command that no driver knows, without an argument.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), number.into(), 0) };
        assert_eq!(result, -1);
    }
}

/// Calls with an argument that the kernel cannot read until its page is filled.
fn park(threads: usize, short: u64, leaves: bool) {
    let page = held_page::HeldPage::new();
    let device = std::mem::ManuallyDrop::new(File::open(DEVICE).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| page.call(&device));
        }
        (0..short).for_each(|_| good(&device));
        (0..threads).for_each(|_| page.wait());
        if leaves {
            held_page::close(&device);
        }
        println!("parked");
        std::io::stdout().flush().unwrap();
        std::io::stdin().read_exact(&mut [0]).unwrap();
        page.fill();
    });
    println!("done");
}

#[allow(unsafe_code, reason = "the end of the first thread alone")]
fn headless(threads: usize) -> ! {
    std::thread::spawn(move || {
        park(threads, 0, false);
        std::process::exit(0);
    });
    // SAFETY: ends this thread, of which nothing is used by others.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("the thread has ended");
}

#[allow(unsafe_code, reason = "userfaultfd(2) has no safe interface")]
mod held_page {
    use std::ffi::c_void;
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// Closes the descriptor of a file that is not used any more.
    pub(super) fn close(device: &File) {
        // SAFETY: a number that the kernel checks; the file is not dropped.
        assert_eq!(unsafe { libc::close(device.as_raw_fd()) }, 0);
    }

    /// `include/uapi/linux/userfaultfd.h`, Linux 4.3.
    const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
    const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
    const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
    const REGISTER_MISSING: u64 = 1;

    /// A page that cannot be read before it is filled.
    pub(super) struct HeldPage {
        faults: OwnedFd,
        address: usize,
        length: usize,
    }

    impl HeldPage {
        pub(super) fn new() -> Self {
            let length = rustix::param::page_size();
            // SAFETY: a fresh mapping of which nothing is known but its address, and numbers that the kernel checks; the
            // structs are as long as it writes.
            unsafe {
                let protection = libc::PROT_READ | libc::PROT_WRITE;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let address = libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0);
                assert_ne!(address, libc::MAP_FAILED);
                let faults = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
                assert!(faults >= 0, "userfaultfd: {}", std::io::Error::last_os_error());
                let faults = OwnedFd::from_raw_fd(faults as i32);
                let mut api = [0xaa_u64, 0, 0];
                assert_eq!(libc::ioctl(faults.as_raw_fd(), UFFDIO_API, &raw mut api), 0);
                let address = address as usize;
                let mut register = [address as u64, length as u64, REGISTER_MISSING, 0];
                assert_eq!(libc::ioctl(faults.as_raw_fd(), UFFDIO_REGISTER, &raw mut register), 0);
                Self {
                    faults,
                    address,
                    length,
                }
            }
        }

        /// Waits until one more call waits for the page. The kernel has looked up its descriptor by then.
        pub(super) fn wait(&self) {
            let mut message = [0; 32];
            assert_eq!(rustix::io::read(&self.faults, &mut message), Ok(32));
        }

        pub(super) fn call(&self, device: &File) {
            // SAFETY: the kernel reads an `int` at the start of the page, which lives as long as the process.
            let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::FIONBIO, self.address as *const c_void) };
            assert_eq!(result, 0);
        }

        pub(super) fn fill(&self) {
            let mut range = [self.address as u64, self.length as u64, 0, 0];
            // SAFETY: the page is this value's and registered; the struct is as long as the kernel writes.
            let result = unsafe { libc::ioctl(self.faults.as_raw_fd(), UFFDIO_ZEROPAGE, &raw mut range) };
            assert_eq!(result, 0);
        }
    }
}
