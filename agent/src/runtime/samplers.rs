//! The samplers of the sources that the configuration enables.

use std::time::Instant;

use crate::config::Config;
use accelscope_core::metric::Batch;
use accelscope_core::sampler::{Descriptor, Finding, Outcome, Sampler};
use accelscope_core::settings::Enabled;
use accelscope_core::source::Context;

/// One for each source that is enabled.
pub fn samplers(config: &Config, context: &Context) -> Vec<Box<dyn Sampler>> {
    let built = context.sources.iter().filter_map(|source| {
        let settings = config.sources.of(source);
        let build = || (source.build)(&*settings, context);
        match settings.enabled() {
            Enabled::False => None,
            Enabled::Auto => Some(build()),
            Enabled::True => Some(Box::new(Required(build())) as Box<dyn Sampler>),
        }
    });
    built.collect()
}

/// A sampler that must run (`enabled = true`): having nothing to read is a failure.
struct Required(Box<dyn Sampler>);

impl Sampler for Required {
    fn descriptor(&self) -> Descriptor {
        self.0.descriptor()
    }

    fn wait(&mut self, until: Instant) {
        self.0.wait(until);
    }

    fn new_findings(&mut self) -> Option<Vec<Finding>> {
        self.0.new_findings()
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        match self.0.sample(out) {
            Outcome::NothingHere(reason) => {
                let name = self.descriptor().name;
                Outcome::Retry(format!("{reason}; set {name}.enabled = \"auto\" if that is as it should be").into())
            }
            outcome => outcome,
        }
    }
}
