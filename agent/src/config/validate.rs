//! The checks of each section, and those of keys of several sections.

use std::net::SocketAddr;

use accelscope_core::settings::{Check, Enabled};
use accelscope_core::source::Sources;
use accelscope_export::otlp::Destination;

use super::compat::VIEWS;
use super::layers::Merged;
use super::otlp::DEFAULT;
use super::{Config, ConfigError, Origin, Route, collector, listeners};

/// Collects errors and warnings with the origin of the key concerned.
pub(super) struct Validation<'a> {
    pub(super) merged: &'a Merged,
    pub(super) sources: Sources,
    pub(super) errors: &'a mut Vec<ConfigError>,
    pub(super) warnings: &'a mut Vec<String>,
}

impl Validation<'_> {
    /// Performs all checks.
    pub(super) fn run(&mut self, config: &Config) {
        for source in self.sources {
            self.section(&[source.name], |check| config.sources.of(source).validate(check));
        }
        self.section(&["host"], |check| config.host.validate(check));
        self.section(&["status"], |check| config.status.validate(check));
        self.section(&["attribution"], |check| config.attribution.validate(check));
        self.section(&["limits"], |check| config.limits.validate(check));
        self.section(&["http"], |check| config.http.validate(check));
        self.section(&["compat"], |check| config.compat.validate(check));
        for view in &VIEWS {
            let (listen, tls, auth) = view.of(&config.compat);
            // What is wrong with what it inherits has been said.
            if let Some(listen) = listen.filter(|_| (tls, auth) != (&config.http.tls, &config.http.auth)) {
                self.section(&["compat", view.section], |check| {
                    listeners::validate(tls, auth, listen, check);
                });
            }
        }
        self.section(&["otlp"], |check| config.otlp.validate(check));
        for (name, destination) in &config.otlp.destinations {
            self.section(&["otlp", "destinations", name], |check| destination.validate(check));
        }
        let is_set = self.merged.get(&collector::INTERVAL.map(str::to_owned)).is_some();
        if let Some(doubt) = collector::doubt(config, is_set, self.sources) {
            self.warn(&collector::INTERVAL, &doubt);
        }
        self.host_of_view(config);
        self.listeners(config);
        self.resource(config);
        self.destinations(config);
        self.proxies(config);
    }

    /// What `validate` finds in the section `at`.
    fn section(&mut self, at: &[&str], validate: impl FnOnce(&mut Check)) {
        let mut check = Check::new(self.sources);
        validate(&mut check);
        let path = |key| at.iter().copied().chain(str::splitn(key, 2, '.')).collect::<Vec<_>>();
        for (key, problem) in &check.errors {
            self.error(&path(key), problem);
        }
        for (key, doubt) in &check.warnings {
            self.warn(&path(key), doubt);
        }
    }

    fn error(&mut self, at: &[&str], problem: &str) {
        self.errors.push(ConfigError {
            origin: self.merged.origin(at),
            key: at.join("."),
            problem: problem.to_owned(),
        });
    }

    fn warn(&mut self, at: &[&str], doubt: &str) {
        let key = at.join(".");
        self.warnings.push(match self.merged.origin(at) {
            Origin::Default => format!("{key}: {doubt}"),
            origin => format!("{origin}: {key}: {doubt}"),
        });
    }

    /// The view of nodes shows what the source `host` reads.
    fn host_of_view(&mut self, config: &Config) {
        let source = self.sources.iter().copied().find(|source| source.name == "host");
        let is_off = source.is_some_and(|source| config.sources.of(source).enabled() == Enabled::False);
        if is_off && config.compat.system_info_exporter.listen.is_some() {
            self.warn(
                &["compat", "system_info_exporter", "listen"],
                "host.enabled is false, so that the view has no uptime, CPU and memory of the node; set host.enabled = \"auto\"",
            );
        }
    }

    fn listeners(&mut self, config: &Config) {
        let meet = |a: SocketAddr, b: SocketAddr| {
            a.port() != 0
                && a.port() == b.port()
                && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        };
        let all = config.listeners();
        for (nth, (key, address)) in all.iter().enumerate() {
            if let Some((other, at)) = all[..nth].iter().find(|(_, other)| meet(*address, *other)) {
                let parts: Vec<&str> = key.split('.').collect();
                self.error(
                    &parts,
                    &format!("{address} meets {other} ({at}); give each its own port"),
                );
            }
        }
    }

    fn resource(&mut self, config: &Config) {
        let misplaced = |c: char| c.is_whitespace() || c.is_control();
        for key in config.resource.keys().filter(|key| key.contains(misplaced)) {
            self.error(&["resource", key], "an attribute's key holds no spaces");
        }
    }

    /// A proxy that cannot be used is an error only where a destination would need it: the variables are those of all programs.
    fn proxies(&mut self, config: &Config) {
        for destination in config.destinations() {
            if let Route::Unusable { variable, problem } = config.proxies.route(&destination.endpoint) {
                let error = ConfigError {
                    origin: Origin::Variable(variable.into()),
                    key: String::new(),
                    problem: problem.to_owned(),
                };
                if !self.errors.contains(&error) {
                    self.errors.push(error);
                }
            }
        }
    }

    fn destinations(&mut self, config: &Config) {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for (name, otlp) in &config.otlp.destinations {
            let at = ["otlp", "destinations", name];
            if name == DEFAULT {
                self.error(&at, "the name belongs to [otlp] itself; write its keys there");
            } else if name.is_empty() || name.len() > 63 || !name.chars().all(known) {
                self.error(&at, "a destination's name has 1 to 63 letters, digits, \"-\" and \"_\"");
            }
            let enabled = self.merged.origin(&["otlp", "destinations", name, "enabled"]);
            if !otlp.enabled && enabled == self.merged.origin(&["otlp", "enabled"]) {
                self.warn(
                    &at,
                    "gets nothing, since it inherits enabled = false from [otlp]; set enabled = true in it to push there alone",
                );
            }
        }
        let used = config.otlp.all().filter(|(_, otlp)| otlp.enabled);
        let used: Vec<_> = used.map(|(name, otlp)| otlp.destination(name)).collect();
        for (nth, destination) in used.iter().enumerate() {
            let same =
                |other: &&Destination| other.endpoint == destination.endpoint && other.headers == destination.headers;
            if let Some(first) = used[..nth].iter().find(same) {
                let doubt = format!(
                    "sends to the same endpoint as {}, which then gets every point twice; set another endpoint",
                    first.name
                );
                self.warn(&["otlp", "destinations", &destination.name], &doubt);
            }
        }
    }
}
