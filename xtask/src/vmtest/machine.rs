//! A machine under software emulation.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::bmc;
use super::emulator;
use super::kernel::{Architecture, Driver, Kernel};
use super::outcome::Outcome;
use crate::e2e::process::output;

/// Longest run of a machine, which takes two to three minutes on an idle one and many times that on a busy one.
const LIMIT: Duration = Duration::from_mins(45);
/// Markers that init prints around the scenarios' files.
const OUT: &str = "vmtest: OUT";
const END: &str = "vmtest: END";
/// Number of console lines that are shown of a failed machine.
const TAIL: usize = 25;

/// Boots the machine, and returns its init's files after it is off.
pub(super) fn run(work: &Path, kernel: &Kernel, image: &Path, initramfs: &Path) -> Result<Outcome> {
    let (options, console) = machine(kernel.architecture);
    let mut machine = Machine(
        emulator::command(kernel.architecture)?
            .args(options)
            .args(devices(work, kernel.driver)?)
            .arg("-append")
            .arg(format!("console={console} quiet panic=-1 {}", kernel.parameters))
            .args(["-smp", "2", "-m", "1024", "-no-reboot", "-display", "none"])
            .args(["-monitor", "none", "-serial", "stdio", "-nic", "none"])
            .arg("-kernel")
            .arg(image)
            .arg("-initrd")
            .arg(initramfs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A newer emulator warns of the older one's modules, which it does not need.
            .stderr(File::create(work.join("emulator.err"))?)
            .spawn()
            .context("cannot start the machine")?,
    );
    let console = machine.0.stdout.take().context("the machine has no console")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + LIMIT;
    let mut log = File::create(work.join("console"))?;
    let (mut said, mut sent, mut sending) = (Vec::new(), String::new(), false);
    loop {
        let line = match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => {
                let complaint = std::fs::read_to_string(work.join("emulator.err")).unwrap_or_default();
                // What is no part of the archive is the kernel's.
                said.extend(sent.lines().filter(|line| line.contains(' ')).map(str::to_owned));
                bail!("the machine ended early:\n{}\n{complaint}", tail(&said));
            }
            Err(RecvTimeoutError::Timeout) => bail!("not done after {} s:\n{}", LIMIT.as_secs(), tail(&said)),
        };
        if line.ends_with(END) {
            break;
        }
        if sending {
            sent.push_str(&line);
            sent.push('\n');
            continue;
        }
        writeln!(log, "{line}")?;
        sending = line.ends_with(OUT);
        said.push(line);
    }
    unpack(work, &sent)
}

/// The emulator's options, and the name of the console.
fn machine(architecture: Architecture) -> (&'static [&'static str], &'static str) {
    match architecture {
        Architecture::X86_64 => (&["-accel", "tcg,thread=multi", "-cpu", "max"], "ttyS0"),
        Architecture::Aarch64 => (
            &["-machine", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a72"],
            "ttyAMA0",
        ),
    }
}

/// Options for the devices that a driver is for.
fn devices(work: &Path, driver: Driver) -> Result<Vec<String>> {
    Ok(match driver {
        Driver::Stub | Driver::Vgem => Vec::new(),
        Driver::Ipmi => bmc::options(work)?,
    })
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

fn unpack(work: &Path, sent: &str) -> Result<Outcome> {
    let (text, archive, folder) = (work.join("out.base64"), work.join("out.tar.gz"), work.join("out"));
    std::fs::write(&text, sent)?;
    std::fs::create_dir(&folder)?;
    let bytes = Command::new("base64")
        .args(["-d", "-i"])
        .arg(&text)
        .output()
        .context("cannot run base64")?;
    std::fs::write(&archive, bytes.stdout)?;
    output(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder))
        .context("what the machine sent is not whole")?;
    Ok(Outcome::new(folder))
}

/// Ends with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails if it is off already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
