mod destinations;
mod errors;
mod example;
mod ioctl;
mod limits;
mod otel;
mod precedence;
mod resource;
mod secrets;
mod system_info;

use std::path::PathBuf;

use super::{Config, ConfigErrors, ConfigFile, Environment, Inputs, Loaded, load};
use crate::SOURCES;

/// Inputs of a test: a file's text, variables, flags.
#[derive(Default)]
struct Given<'a> {
    file: &'a str,
    env: &'a [(&'a str, &'a str)],
    sets: &'a [&'a str],
}

impl Given<'_> {
    fn load(&self) -> Result<Loaded, ConfigErrors> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, self.file).expect("a file in it");
        let inputs = Inputs {
            file: ConfigFile::Required(path),
            env: self.env.iter().copied().collect::<Environment>(),
            sets: self.sets.iter().map(|set| (*set).to_owned()).collect(),
        };
        let result = load(&inputs, SOURCES);
        let here = format!("{}/", dir.path().display());
        result.map_err(|mut errors| {
            for error in &mut errors.0 {
                if let super::Origin::File { path, .. } = &mut error.origin {
                    *path = PathBuf::from("agent.toml").into();
                }
                assert!(!error.problem.contains(&here));
            }
            errors
        })
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|errors| panic!("{errors}")).config
    }

    fn errors(&self) -> String {
        self.load().expect_err("a fault").to_string()
    }
}

fn file(file: &str) -> Given<'_> {
    Given {
        file,
        ..Given::default()
    }
}

fn env<'a>(env: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given {
        env,
        ..Given::default()
    }
}

fn sets<'a>(sets: &'a [&'a str]) -> Given<'a> {
    Given {
        sets,
        ..Given::default()
    }
}
