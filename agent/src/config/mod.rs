//! Configuration: a TOML file, the environment and flags, laid over one another.
//!
//! [`load`] is the way in. The layers, the strongest first: `--set`, `ACCELSCOPE__SECTION__KEY`,
//! `OTEL_EXPORTER_OTLP_METRICS_*`, `OTEL_*`, the file, what Kubernetes says of the node, the defaults.

mod choice;
mod downward;
mod endpoint;
mod environment;
mod error;
mod file;
mod headers;
mod ioctl;
mod layers;
mod origin;
mod otel;
mod otlp;
pub mod resource;
mod schema;
mod sections;
#[cfg(test)]
mod tests;
mod text_layers;
mod tree;
mod units;
mod validate;
mod values;

pub use choice::{AscendBackend, Enabled, LogFormat, LogLevel};
pub use endpoint::Endpoint;
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use ioctl::{ExtraDevice, Ioctl, IoctlHooks};
pub use origin::Origin;
pub use otlp::{DestinationKeys, Otlp};
pub use sections::{
    Ascend, Attribution, Compat, CompatView, Config, GpuProcessExporter, Hailo, Host, Http, K8sMonitor, Kubelet,
    Limits, Log,
};

use std::path::{Path, PathBuf};

use serde_path_to_error::Segment;

use accelscope_core::host::HostRoots;
use layers::{KeyPath, Merged};
use schema::Shape;

/// The file that is read where `--config` names none, if it exists.
pub const DEFAULT_FILE: &str = "/etc/accelscope/agent.toml";

/// Which file is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// None.
    #[default]
    Nothing,
    /// This one if it exists.
    IfPresent(PathBuf),
    /// This one; that it is missing is an error.
    Required(PathBuf),
}

/// Everything that a configuration is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file.
    pub file: ConfigFile,
    /// The environment.
    pub env: Environment,
    /// The values of `--set`, in their order.
    pub sets: Vec<String>,
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Itself.
    pub config: Config,
    /// What is allowed and probably not meant, one line each, to be logged when logging has begun.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Reads all sources and lays them over one another. On failure every fault is in the error, not just the first.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let shape = Shape::config();
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut merged = Merged::default();
    merged.lay(downward::variables(&sources.env));

    let file = match &sources.file {
        ConfigFile::Nothing => None,
        // What exists and cannot be looked at is not the same as absent: reading it says why.
        ConfigFile::IfPresent(path) => (!matches!(path.try_exists(), Ok(false))).then_some(path.as_path()),
        ConfigFile::Required(path) => Some(path.as_path()),
    };
    if let Some(path) = file {
        let layer = file::read(path, &shape, &mut errors);
        merged.lay(shape.check(layer, &mut errors));
    }
    otel::refuse(&sources.env, &mut errors);
    merged.lay(otel::general(&sources.env, &mut warnings));
    merged.lay(otel::metrics(&sources.env, &mut warnings));
    let layer = text_layers::variables(&sources.env, &shape, &merged);
    merged.lay(shape.check(layer, &mut errors));
    let layer = text_layers::flags(&sources.sets, &shape, &mut errors);
    warn_of_secrets(&layer, &mut warnings);
    merged.lay(shape.check(layer, &mut errors));

    let mut config = typed(&mut merged, &mut errors);
    config.otlp.stopped_by = otel::stopped_by(&sources.env, &mut warnings);
    let endpoint: KeyPath = vec!["otlp".to_owned(), "endpoint".to_owned()];
    let exact = merged.origin(&endpoint) == Origin::Variable(otel::METRICS_ENDPOINT.into());
    if let Some(endpoint) = &mut config.otlp.endpoint {
        endpoint.exact = exact;
    }
    let mut validation = validate::Validation {
        merged: &merged,
        errors: &mut errors,
        warnings: &mut warnings,
    };
    validation.run(&config);

    if errors.is_empty() {
        return Ok(Loaded {
            config,
            warnings,
            file: file.map(Path::to_owned),
        });
    }
    Err(ConfigErrors(errors))
}

/// Takes each value that does not fit out and notes it, until the rest fits.
fn typed(merged: &mut Merged, errors: &mut Vec<ConfigError>) -> Config {
    loop {
        let error = match serde_path_to_error::deserialize(tree::Node::root(merged)) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let path: KeyPath = error
            .path()
            .iter()
            .map_while(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        errors.push(ConfigError {
            origin: merged.origin(&path),
            key: path.join("."),
            problem: error.inner().to_string(),
        });
        let before = merged.len();
        merged.remove(&path);
        if merged.len() == before {
            // The path leads nowhere, so nothing could be mended by going on.
            return Config::default();
        }
    }
}

fn warn_of_secrets(layer: &layers::Layer, warnings: &mut Vec<String>) {
    let is_header = |path: &KeyPath| path.iter().any(|part| part == "headers");
    if let Some((_, leaf)) = layer.iter().find(|(path, _)| is_header(path)) {
        warnings.push(format!(
            "{}: every user of this machine can see a flag's value; put secrets into the file named by otlp.headers_file",
            leaf.origin
        ));
    }
}

impl Config {
    /// From nothing but defaults and the file `path`, for `agent check-config`.
    pub fn check_file(path: &Path) -> Result<Loaded, ConfigErrors> {
        load(&Sources {
            file: ConfigFile::Required(path.to_owned()),
            ..Sources::default()
        })
    }

    /// Every key there is, as `--set` takes it, with `<name>` and `<key>` for names of the user's choice.
    pub fn keys() -> Vec<String> {
        Shape::config().keys()
    }

    /// Where the host's file systems are.
    pub fn host_roots(&self) -> HostRoots {
        HostRoots::new(&self.host.root)
    }

    /// What the Hailo sampler needs to know.
    #[cfg(feature = "hailo")]
    pub fn hailo_settings(&self) -> accelscope_hailo::Settings {
        accelscope_hailo::Settings {
            dir: self.hailo.dir.clone(),
            discover: self.hailo.discover,
            max_age: self.hailo.max_age,
            min_interval: self.hailo.min_interval,
        }
    }

    /// What the sampler of device nodes needs to know.
    #[cfg(feature = "ioctl")]
    pub fn ioctl_settings(&self) -> accelscope_ioctl::Settings {
        use accelscope_ioctl::{Extra, Family, Settings};
        let extra = self.ioctl.extra_devices.iter().map(|extra| Extra {
            path: extra.path.clone(),
            family: extra.family.as_deref().and_then(Family::named),
            abi: extra.abi.clone(),
        });
        Settings {
            extra: extra.collect(),
            hooks: match &self.ioctl.hooks {
                IoctlHooks::Auto => None,
                IoctlHooks::Only(hooks) => Some(hooks.clone()),
            },
            btf: self.ioctl.btf.clone(),
            period: self.ioctl.period,
            per_process: self.attribution.per_process,
        }
    }

    /// What the kubelet's sampler needs to know.
    #[cfg(feature = "kubelet")]
    pub fn kubelet_settings(&self) -> accelscope_kubelet::Settings {
        accelscope_kubelet::Settings {
            root: self.kubelet.root.clone(),
            period: self.kubelet.period,
        }
    }

    /// What the NVIDIA sampler needs to know.
    #[cfg(feature = "nvidia")]
    pub fn nvidia_settings(&self) -> accelscope_nvidia::Settings {
        accelscope_nvidia::Settings {
            library: self.nvidia.library.clone(),
            period: self.nvidia.period,
        }
    }

    /// What the Ascend sampler needs to know.
    #[cfg(feature = "ascend")]
    pub fn ascend_settings(&self) -> accelscope_ascend::Settings {
        use accelscope_ascend::{Backend, Settings};
        Settings {
            npu_smi: self.ascend.npu_smi.clone(),
            period: self.ascend.period,
            timeout: self.ascend.timeout,
            require_admin: self.ascend.require_admin,
            backend: match self.ascend.backend {
                AscendBackend::Auto => Backend::Auto,
                AscendBackend::NpuSmi => Backend::NpuSmi,
                AscendBackend::Dcmi => Backend::Dcmi,
            },
        }
    }
}
