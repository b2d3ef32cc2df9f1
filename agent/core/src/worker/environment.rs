//! The environment of child processes: nothing of the agent's own, in which secrets may stand.

use std::ffi::OsString;
use std::process::Command;

use crate::trust;

const PATH: &str = "PATH";

/// Takes away all variables that `command` would inherit, those for the loader included; what it sets itself stays. Programs are
/// looked for where nobody else can put one ([`trust::program_path`]).
pub fn clear(command: &mut Command) {
    let own: Vec<(OsString, OsString)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let path = if own.iter().any(|(name, _)| name == PATH) {
        OsString::new()
    } else {
        trust::program_path().0
    };
    command
        .env_clear()
        // Where a program or library names the working directory, nobody else can put anything.
        .current_dir("/")
        .env(PATH, path)
        .env("LANG", "C")
        .env("LC_ALL", "C")
        .envs(own);
}
