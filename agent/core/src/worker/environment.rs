//! The environment of child processes: nothing of the agent's own, in which secrets may stand.

use std::ffi::OsString;
use std::process::Command;

/// Where children look for programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Takes away all variables that `command` would inherit, those for the loader included; what it sets itself stays.
pub fn clear(command: &mut Command) {
    let own: Vec<(OsString, OsString)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command
        .env_clear()
        // Where a program or library names the working directory, nobody else can put anything.
        .current_dir("/")
        .env("PATH", PATH)
        .env("LANG", "C")
        .env("LC_ALL", "C")
        .envs(own);
}
