//! Configuration: a TOML file, the environment and flags in layers.
//!
//! The entry point is [`load`]. Layers by decreasing precedence: `--set`, `ACCELSCOPE__SECTION__KEY`,
//! `OTEL_EXPORTER_OTLP_METRICS_*`, `OTEL_*`, the variables of system-info-exporter while its view is on, the file, the node's
//! name and the interval from Kubernetes' manifests, the defaults.

mod choice;
mod collector;
mod compared;
mod compat;
mod downward;
mod endpoint;
mod environment;
mod error;
mod file;
mod headers;
mod layers;
mod listeners;
mod origin;
mod otel;
mod otlp;
mod proxy;
pub mod resource;
mod schema;
mod sections;
mod source_settings;
mod system_info;
#[cfg(test)]
mod tests;
mod text_layers;
mod tree;
mod unknown_variables;
mod validate;
mod values;

pub use choice::{LogFormat, LogLevel};
pub(crate) use compared::flat;
pub use compat::{Compat, CompatView, GpuProcessExporter, K8sMonitor, SystemInfoExporter, VIEWS, View};
pub use endpoint::Endpoint;
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub(crate) use file::is_read_once;
pub use listeners::{ListenerAuth, ListenerTls};
pub use origin::Origin;
pub use otlp::Otlp;
pub(crate) use otlp::destination_key;
pub use proxy::{Proxies, Route};
pub use sections::{Attribution, Config, Host, Http, Limits, Log, Status};
pub use source_settings::SourceSettings;

use std::path::{Path, PathBuf};

use accelscope_core::settings::SettingsType;
use accelscope_core::source::Sources;
use serde_path_to_error::{Segment, Track};

use accelscope_core::host::HostRoots;
use accelscope_core::host::answering::ask;
use accelscope_export::otlp::Destination;
use layers::{KeyPath, Merged};
use schema::Shape;

/// Default of `--config`, used if it exists.
pub const DEFAULT_FILE: &str = "/etc/accelscope/agent.toml";

/// The file to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// No file.
    #[default]
    Nothing,
    /// This file if it exists.
    IfPresent(PathBuf),
    /// This file; its absence is an error.
    Required(PathBuf),
    /// This file; its absence is an error, and so is that nothing is in it, not even a comment: it is so while it is replaced.
    Filled(PathBuf),
}

/// Inputs of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The file.
    pub file: ConfigFile,
    /// The environment.
    pub env: Environment,
    /// Values of `--set`, in their order.
    pub sets: Vec<String>,
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Valid settings that are probably mistakes, one line each, to be logged when the log is set up.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Reads all sources and merges them. The error contains all faults, not just the first.
pub fn load(inputs: &Inputs, sources: Sources) -> Result<Loaded, ConfigErrors> {
    let shape = Shape::config(sources);
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut merged = Merged::default();
    merged.lay(downward::variables(&inputs.env));

    let file = match &inputs.file {
        ConfigFile::Nothing => None,
        // A file that exists and cannot be accessed is not absent: reading it returns the reason.
        ConfigFile::IfPresent(path) => {
            let exists = ask(path, Path::try_exists);
            (!matches!(exists, Ok(false))).then_some(path.as_path())
        }
        ConfigFile::Required(path) | ConfigFile::Filled(path) => Some(path.as_path()),
    };
    if let Some(path) = file {
        let may_be_empty = !matches!(inputs.file, ConfigFile::Filled(_));
        let layer = file::read(path, may_be_empty, &shape, &mut errors);
        merged.lay(shape.check(layer, &mut errors));
    }
    otel::refuse(&inputs.env, &mut errors);
    unknown_variables::find(&inputs.env, &shape, &mut errors, &mut warnings);
    merged.lay(otel::general(&inputs.env, &mut warnings));
    merged.lay(otel::metrics(&inputs.env, &mut warnings));
    let layer = text_layers::variables(&inputs.env, &shape, &merged);
    merged.lay(shape.check(layer, &mut errors));
    let layer = text_layers::flags(&inputs.sets, &shape, &mut errors);
    warn_of_secrets(&layer, &mut warnings);
    merged.lay(shape.check(layer, &mut errors));
    system_info::lay(&inputs.env, &mut merged, &mut errors, &mut warnings);

    let mut config = typed(&mut merged, sources, &mut errors);
    config.otlp.stopped_by = otel::stopped_by(&inputs.env, &mut warnings);
    if let Some(doubt) = config.http.remove_repeated_labels() {
        let origin = merged.origin(&["http", "resource_labels"]);
        warnings.push(format!("{origin}: http.resource_labels: {doubt}"));
    }
    config.proxies = Proxies::of(&inputs.env, &mut warnings);
    let mut validation = validate::Validation {
        merged: &merged,
        sources,
        errors: &mut errors,
        warnings: &mut warnings,
    };
    validation.run(&config);

    if errors.is_empty() {
        let file = file.map(Path::to_owned);
        return Ok(Loaded { config, warnings, file });
    }
    Err(ConfigErrors(errors))
}

/// The values, converted to the types of their sections.
fn typed(merged: &mut Merged, sources: Sources, errors: &mut Vec<ConfigError>) -> Config {
    listeners::inherit(merged);
    let mut config = fitting(merged, &[], errors, Config::default, |node| {
        erased_serde::deserialize(node)
    });
    set_exact(&mut config.otlp, merged, &["otlp", "endpoint"]);
    for name in otlp::inherit(merged) {
        let place = ["otlp", "destinations", &name].map(str::to_owned);
        let mut destination = fitting(merged, &place, errors, Otlp::default, |node| {
            erased_serde::deserialize(node)
        });
        set_exact(&mut destination, merged, &["otlp", "destinations", &name, "endpoint"]);
        config.otlp.destinations.insert(name, destination);
    }
    collector::follow(merged, &config.compat.k8s_monitor, sources);
    for source in sources {
        let place = [source.name.to_owned()];
        let SettingsType {
            default, deserialize, ..
        } = source.settings;
        config
            .sources
            .set(source, fitting(merged, &place, errors, default, deserialize));
    }
    config
}

/// An endpoint from the variable of the metrics endpoint is used without appending a path.
fn set_exact(otlp: &mut Otlp, merged: &Merged, key: &[&str]) {
    if let Some(endpoint) = &mut otlp.endpoint {
        endpoint.exact = merged.origin(key) == Origin::Variable(otel::METRICS_ENDPOINT.into());
    }
}

/// Result of `read` for the values at `place`. Each value that does not fit is reported and removed, until the rest
/// fits.
fn fitting<T>(
    merged: &mut Merged,
    place: &[String],
    errors: &mut Vec<ConfigError>,
    default: fn() -> T,
    read: fn(&mut dyn erased_serde::Deserializer<'_>) -> Result<T, erased_serde::Error>,
) -> T {
    loop {
        let mut track = Track::new();
        let node = serde_path_to_error::Deserializer::new(tree::Node::at(merged, place), &mut track);
        let problem = match read(&mut <dyn erased_serde::Deserializer<'_>>::erase(node)) {
            Ok(value) => return value,
            Err(problem) => problem.to_string(),
        };
        let mut path = place.to_vec();
        path.extend(track.path().iter().map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        }));
        errors.push(ConfigError {
            origin: merged.origin(&path),
            key: path.join("."),
            problem,
        });
        let before = merged.len();
        merged.remove(&path);
        if merged.len() == before {
            // No value at this path: the next attempt would fail in the same way.
            return default();
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
    /// Where the log goes over OTLP beside standard error, if the environment asks for it and measurements are pushed. The error
    /// is one line with its remedy.
    pub fn log_destination(&self, env: &Environment) -> Result<Option<Destination>, String> {
        if self.otlp.stopped_by.is_some() {
            return Ok(None);
        }
        let Some(mut to) = otel::logs(env)? else {
            return Ok(None);
        };
        match self.proxies.route(&to.endpoint) {
            Route::Through(proxy) => to.proxy = Some(proxy.clone()),
            Route::Unusable { variable, problem } => return Err(format!("environment variable {variable}: {problem}")),
            Route::Direct | Route::Excepted(_) => {}
        }
        Ok(Some(to))
    }

    /// Configuration of the file `path` and the defaults alone, for `agent check-config`.
    pub fn check_file(path: &Path, sources: Sources) -> Result<Loaded, ConfigErrors> {
        let inputs = Inputs {
            file: ConfigFile::Required(path.to_owned()),
            ..Inputs::default()
        };
        load(&inputs, sources)
    }

    /// The defaults, including those of the sources.
    pub fn defaults(sources: Sources) -> Self {
        Self {
            sources: SourceSettings::defaults(sources),
            ..Self::default()
        }
    }

    /// Whether anybody gets what the agent measures: by push, pull, a view or a writer. The error says what to do.
    pub fn has_output(&self) -> Result<(), String> {
        let compat = &self.compat;
        if !self.destinations().is_empty()
            || !self.listeners().is_empty()
            || compat.textfile.is_some()
            || compat.k8s_monitor.annotation
        {
            return Ok(());
        }
        let stopped = self.otlp.stopped_by.as_ref();
        let unset = stopped.map_or_else(String::new, |variable| format!(", and unset {variable}"));
        Err(format!(
            "neither push nor pull is on: nobody gets what the agent sees; set otlp.enabled or http.enabled to true{unset}"
        ))
    }

    /// Mount points of the host's file systems.
    pub fn host_roots(&self) -> HostRoots {
        HostRoots::new(&self.host.root)
    }
}
