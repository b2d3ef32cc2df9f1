//! `[ioctl]`: the accelerators' device nodes and how their calls are seen.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::choice::Enabled;
use super::schema::nearest;
use super::units::{Textual, list, optional, text};
use accelscope_ioctl::Rung;

/// Device nodes and their ioctls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ioctl {
    /// Whether to look for devices.
    #[serde(with = "text")]
    pub enabled: Enabled,
    /// Nodes to watch beside those that are found.
    #[serde(with = "list")]
    pub extra_devices: Vec<ExtraDevice>,
    /// Which hooks are tried.
    pub hooks: IoctlHooks,
    /// A file with the kernel's BTF, where the kernel gives none.
    #[serde(with = "optional")]
    pub btf: Option<PathBuf>,
    /// Time between two readings.
    #[serde(with = "text")]
    pub period: Duration,
}

impl Default for Ioctl {
    fn default() -> Self {
        Self {
            enabled: Enabled::Auto,
            extra_devices: Vec::new(),
            hooks: IoctlHooks::Auto,
            btf: None,
            period: Duration::from_secs(1),
        }
    }
}

/// A node to watch: `PATH[=FAMILY[@ABI]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraDevice {
    /// The node, as a path of the host.
    pub path: PathBuf,
    /// The family whose commands it takes; found out, else `other`, if absent.
    pub family: Option<String>,
    /// The driver's version (Hailo) or name (DRM, accel), which decides what its commands mean.
    pub abi: Option<String>,
}

impl Textual for ExtraDevice {
    const EXPECTED: &'static str = "a device as text, such as \"/dev/hailo0\" or \"/dev/my-npu=hailo@4.20.0\"";

    fn parse(entry: &str) -> Result<Self, String> {
        let (path, kind) = match entry.split_once('=') {
            Some((path, kind)) => (path.trim(), Some(kind.trim())),
            None => (entry, None),
        };
        if !path.starts_with('/') {
            return Err(format!(
                "{entry:?}: {path:?} is not an absolute path; write the device's node first, such as /dev/hailo0"
            ));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(format!("{entry:?}: write the path without \"..\""));
        }
        let (family, abi) = match kind.map(|kind| kind.split_once('@').map_or((kind, None), |(f, abi)| (f, Some(abi))))
        {
            Some((family, abi)) => (Some(family.trim()), abi.map(str::trim)),
            None => (None, None),
        };
        if family == Some("") {
            return Err(format!(
                "{entry:?}: no family after \"=\"; write one of {}, or leave \"=\" out",
                families().join(", ")
            ));
        }
        if let Some(family) = family {
            known_family(entry, family)?;
        }
        if abi == Some("") {
            return Err(format!(
                "{entry:?}: nothing after \"@\"; write the driver's version, such as hailo@4.20.0, or leave \"@\" out"
            ));
        }
        if let (Some(family), Some(abi)) = (family, abi)
            && let Some(fault) = ABI_FAULTS.iter().find_map(|fault| fault(entry, family, abi))
        {
            return Err(fault);
        }
        Ok(Self {
            path: path.into(),
            family: family.map(ToOwned::to_owned),
            abi: abi.map(ToOwned::to_owned),
        })
    }

    fn show(&self) -> String {
        let family = self.family.as_ref().map(|family| format!("={family}"));
        let abi = self.abi.as_ref().map(|abi| format!("@{abi}"));
        format!(
            "{}{}{}",
            self.path.display(),
            family.unwrap_or_default(),
            abi.unwrap_or_default()
        )
    }
}

/// Empty where the sampler is not compiled in: then nothing is known and nothing is refused.
fn families() -> Vec<&'static str> {
    #[cfg(feature = "ioctl")]
    return accelscope_ioctl::Family::ALL
        .map(accelscope_ioctl::Family::as_str)
        .to_vec();
    #[cfg(not(feature = "ioctl"))]
    Vec::new()
}

fn known_family(entry: &str, family: &str) -> Result<(), String> {
    let known = families();
    if known.is_empty() || known.contains(&family) {
        return Ok(());
    }
    let known_ones = known.join(", ");
    let meant = nearest(family, known.into_iter()).filter(|(likeness, _)| *likeness >= 0.5);
    Err(match meant {
        Some((_, meant)) => format!("{entry:?}: there is no family {family:?}; did you mean {meant}?"),
        None => format!("{entry:?}: there is no family {family:?}; write one of {known_ones}"),
    })
}

/// What may be wrong with an entry's version: of the entry, its family and the version.
type AbiFault = fn(&str, &str, &str) -> Option<String>;

/// None where the sampler is not compiled in: then nothing is known and nothing is refused.
const ABI_FAULTS: &[AbiFault] = &[
    #[cfg(feature = "ioctl")]
    abi_fault,
];

#[cfg(feature = "ioctl")]
fn abi_fault(entry: &str, family: &str, abi: &str) -> Option<String> {
    use accelscope_ioctl::{Family, commands::hailo::Line};
    match Family::named(family)? {
        Family::Hailo if Line::of(abi).is_none() => Some(format!(
            "{entry:?}: {abi:?} is no version of Hailo's driver; write it as /sys/module/hailo_pci/version has it, \
             such as hailo@4.20.0"
        )),
        Family::Hailo | Family::Drm | Family::Accel | Family::Habana => None,
        family => Some(format!(
            "{entry:?}: the commands of {family} do not depend on a version; leave \"@{abi}\" out"
        )),
    }
}

/// Which hooks are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IoctlHooks {
    /// The best that the kernel allows, for each driver.
    #[default]
    Auto,
    /// The best of these.
    Only(Vec<Rung>),
}

/// The hook of that name.
fn rung(word: &str) -> Result<Rung, String> {
    if let Some(hook) = Rung::ALL.into_iter().find(|hook| hook.as_str() == word) {
        return Ok(hook);
    }
    let words = Rung::ALL.map(Rung::as_str);
    let meant = nearest(word, words.into_iter()).filter(|(likeness, _)| *likeness >= 0.5);
    Err(match meant {
        Some((_, meant)) => format!("there is no hook {word:?}; did you mean {meant}?"),
        None => format!(
            "there is no hook {word:?}; write \"auto\" or some of {}",
            words.join(", ")
        ),
    })
}

impl IoctlHooks {
    fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let words: Vec<&str> = words
            .into_iter()
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        match words[..] {
            ["auto"] => return Ok(Self::Auto),
            [] => return Err("names no hook; write \"auto\", or \"scan\" to attach nothing".to_owned()),
            _ => {}
        }
        let mut hooks = Vec::new();
        for word in words {
            if word == "auto" {
                return Err("\"auto\" stands alone; leave it or the others out".to_owned());
            }
            let hook = rung(word)?;
            if !hooks.contains(&hook) {
                hooks.push(hook);
            }
        }
        Ok(Self::Only(hooks))
    }
}

impl Serialize for IoctlHooks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Only(hooks) => serializer.collect_seq(hooks.iter().map(|hook| hook.as_str())),
        }
    }
}

impl<'de> Deserialize<'de> for IoctlHooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HooksVisitor)
    }
}

struct HooksVisitor;

impl<'de> Visitor<'de> for HooksVisitor {
    type Value = IoctlHooks;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"auto\" or a list of hooks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<IoctlHooks, E> {
        IoctlHooks::of(text.split(',')).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IoctlHooks, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = items.next_element::<String>()? {
            words.push(word);
        }
        IoctlHooks::of(words.iter().map(String::as_str)).map_err(de::Error::custom)
    }
}
