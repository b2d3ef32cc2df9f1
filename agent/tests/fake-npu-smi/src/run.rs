//! Entry point: from the command line to the output.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

use super::options::{Fault, Options};
use super::table::table;
use super::topics::topic;

/// Environment variable with flags, separated by blanks; flags on the command line take precedence.
pub const ENVIRONMENT: &str = "ACCELSCOPE_NPU_SMI";

/// Exit statuses: the low bytes of the driver's return codes.
const NO_DRIVER: u8 = 187;
const IN_USE: u8 = 172;

/// Imitates Huawei's npu-smi: prints what the tool would print, in a layout of your choice
#[derive(Debug, Parser)]
#[command(name = "npu-smi", args_override_self = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// The tool's own arguments: info [-l | -m | -t common|usages|proc-mem -i NPU]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "info")]
    tool: Vec<String>,
}

/// Imitates the tool, called with `arguments` after its name; returns its exit status, or never if it imitates a tool
/// that hangs.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let flags = std::env::var(ENVIRONMENT).unwrap_or_default();
    let flags = flags.split_whitespace().map(OsString::from);
    let all = std::iter::once("npu-smi".into()).chain(flags).chain(arguments);
    match Arguments::try_parse_from(all) {
        Ok(arguments) => imitate(&arguments).unwrap_or(1),
        Err(error) => {
            // If this fails, there is no other way to report the error.
            error.print().ok();
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
    }
}

fn imitate(Arguments { options, tool }: &Arguments) -> io::Result<u8> {
    if let Some(path) = &options.log {
        let mut log = std::fs::File::options().create(true).append(true).open(path)?;
        writeln!(log, "{}", tool.join(" "))?;
    }
    std::thread::sleep(options.delay);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let tool: Vec<&str> = tool.iter().map(String::as_str).collect();
    let mut out = io::stdout().lock();
    let (text, status) = match options.fault {
        Fault::Hang => return hang(),
        Fault::Flood => return flood(&mut out),
        Fault::NoDriver => ("dcmi module initialize failed. ret is -8005\n".to_owned(), NO_DRIVER),
        Fault::InUse => {
            let text = "dcmi model initialized failed, because the device is used. ret is -8020\n";
            (text.to_owned(), IN_USE)
        }
        Fault::NoCard => ("There is no NPU card on this server.\n".to_owned(), 0),
        Fault::DeadChip => ("Failed to get device type.\n".to_owned(), 1),
        _ => match tool.as_slice() {
            ["info"] => (table_with_fault(options, now.as_secs()), 0),
            ["info", topics @ ..] => topic(options, topics, now.as_secs())
                .map_or_else(|| ("Error parameter of -t\n".to_owned(), 1), |text| (text, 0)),
            _ => ("Error parameter of npu-smi\n".to_owned(), 1),
        },
    };
    out.write_all(text.as_bytes())?;
    Ok(status)
}

fn table_with_fault(options: &Options, second: u64) -> String {
    let text = table(options, second);
    match options.fault {
        Fault::Incomplete => {
            text + "[WARNING]The driver package may not be completely installed, which may cause function abnormal. \
                    Please reinstall it.\n"
        }
        Fault::Torn => text.chars().take(text.len() * 3 / 5).collect(),
        Fault::Garble => {
            let garbled = text.chars().map(|c| if rand::random_ratio(1, 20) { '|' } else { c });
            garbled.collect()
        }
        Fault::Unknown => text.replace("NPU", "Card").replace("Bus-Id", "Address"),
        _ => text,
    }
}

/// Hangs as the tool does if its driver does not answer: for ever, with a child process.
fn hang() -> io::Result<u8> {
    let mut child = std::process::Command::new("sleep").arg("1000000").spawn()?;
    child.wait()?;
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn flood(out: &mut impl Write) -> io::Result<u8> {
    let line = [b'|'; 4096];
    loop {
        out.write_all(&line)?;
    }
}
