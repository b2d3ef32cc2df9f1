//! Devices that do not answer, as the log and `agent doctor` name them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use accelscope_core::sampler::Finding;

use crate::settings::NAME;

/// Devices by their paths of their class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// Those that are left alone.
    pub(crate) devices: Vec<PathBuf>,
    /// They are so many that no other is read either.
    pub(crate) is_all: bool,
}

impl Unanswered {
    /// A warning for each class, and one where nothing is read.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut classes: BTreeMap<&str, Vec<&Path>> = BTreeMap::new();
        for device in &self.devices {
            classes.entry(setting(device)).or_default().push(device);
        }
        let of_class = classes.into_values().map(|devices| {
            let names: Vec<_> = devices.iter().map(|device| device.display().to_string()).collect();
            let what = format!("no answer from {}: left alone until there is one", names.join(", "));
            Finding::warn(NAME, what).with_remedy(remedy(devices))
        });
        let all = self.is_all.then(|| {
            let what = format!("no sensors are read: {}", self.why());
            Finding::warn(NAME, what).with_remedy(self.remedy())
        });
        all.into_iter().chain(of_class).collect()
    }

    /// Why nothing is read.
    pub(crate) fn why(&self) -> String {
        let number = self.devices.len();
        format!("{number} devices do not answer, and no more are waited for at the same time")
    }

    pub(crate) fn remedy(&self) -> String {
        remedy(self.devices.iter().map(PathBuf::as_path))
    }
}

/// What to do about devices that do not answer.
pub(crate) fn remedy<'a>(devices: impl IntoIterator<Item = &'a Path>) -> String {
    let settings: BTreeSet<String> = devices
        .into_iter()
        .map(|device| format!("{} = false", setting(device)))
        .collect();
    let settings: Vec<String> = settings.into_iter().collect();
    format!("look at `dmesg` for the driver, or set {}", settings.join(" and "))
}

/// The setting by which the device's class is read.
fn setting(device: &Path) -> &'static str {
    let class = device.parent().and_then(Path::file_name);
    match class.and_then(|class| class.to_str()) {
        Some("thermal") => "power.thermal",
        Some("power_supply") => "power.supplies",
        _ => "power.hwmon",
    }
}
