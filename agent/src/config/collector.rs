//! The period of the readings that the node annotation shows.
//!
//! The replaced collector read and wrote at the one interval that it had.

use std::time::Duration;

use accelscope_core::settings::textual::Textual;
use accelscope_core::settings::{AnySettings, Enabled};
use accelscope_core::source::{Descriptor, Sources};

use super::layers::{Leaf, Merged, Raw};
use super::{Config, K8sMonitor};

/// Name of the source whose readings the annotation shows.
const SOURCE: &str = "ascend";
/// Key of the time between two of its readings.
const PERIOD: &str = "period";
/// Key of the time between two writes.
pub(super) const INTERVAL: [&str; 3] = ["compat", "k8s_monitor", "interval"];

/// Makes the readings follow a shorter interval of the annotation, unless their period is set.
pub(super) fn follow(merged: &mut Merged, annotation: &K8sMonitor, sources: Sources) {
    let interval = annotation.interval;
    let path = [SOURCE, PERIOD].map(str::to_owned).to_vec();
    let Some(source) = source(sources).filter(|_| annotation.annotation && merged.get(&path).is_none()) else {
        return;
    };
    if period(&*(source.settings.default)()).is_some_and(|period| interval < period) {
        let origin = merged.origin(&INTERVAL);
        merged.add(path, Leaf::new(Raw::Text(interval.show()), origin));
    }
}

/// Why the annotation cannot change as often as is configured. `is_set`: the interval is not the default.
pub(super) fn doubt(config: &Config, is_set: bool, sources: Sources) -> Option<String> {
    let annotation = &config.compat.k8s_monitor;
    let settings = config.sources.of(source(sources)?);
    let period = period(&*settings)?;
    if !annotation.annotation {
        let is_expected = is_set && annotation.interval != period && settings.enabled() != Enabled::False;
        return is_expected.then(|| {
            format!(
                "the annotation is off, so that nothing is written and the chips are read every {} all the same; set \
                 {SOURCE}.{PERIOD} to read them as often, or compat.k8s_monitor.annotation = true",
                period.show()
            )
        });
    }
    (annotation.interval < period).then(|| {
        format!(
            "the chips are read every {} only, so that the annotation cannot change every {}; leave {SOURCE}.{PERIOD} out, \
             and it follows",
            period.show(),
            annotation.interval.show()
        )
    })
}

fn source(sources: Sources) -> Option<&'static Descriptor> {
    sources.iter().copied().find(|source| source.name == SOURCE)
}

fn period(settings: &dyn AnySettings) -> Option<Duration> {
    Duration::parse(settings.to_value().get(PERIOD)?.as_str()?).ok()
}
