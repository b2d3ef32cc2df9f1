//! The setting `ioctl.hooks`: which kinds of hooks are tried.

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::HookKind;
use super::configuration::instead;

/// Which hooks are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hooks {
    /// The best that the kernel allows, for each driver.
    #[default]
    Auto,
    /// The best of these.
    Only(Vec<HookKind>),
}

/// The hook of that name.
fn hook(word: &str) -> Result<HookKind, String> {
    if let Some(hook) = HookKind::ALL.into_iter().find(|hook| hook.as_str() == word) {
        return Ok(hook);
    }
    let remedy = instead(word, &HookKind::ALL.map(HookKind::as_str), "\"auto\" or some of");
    Err(format!("there is no hook {word:?}; {remedy}"))
}

impl Hooks {
    /// The kinds that may be used, the best first for a kernel that loses no calls; raw tracepoints only if they are named.
    pub(super) fn allowed(&self) -> Vec<HookKind> {
        let is_allowed = |kind: &HookKind| match self {
            Self::Auto => *kind != HookKind::RawTracepoint,
            Self::Only(kinds) => kinds.contains(kind),
        };
        HookKind::ALL.into_iter().filter(is_allowed).collect()
    }

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
            let hook = hook(word)?;
            if !hooks.contains(&hook) {
                hooks.push(hook);
            }
        }
        Ok(Self::Only(hooks))
    }
}

impl Serialize for Hooks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Only(hooks) => serializer.collect_seq(hooks.iter().map(|hook| hook.as_str())),
        }
    }
}

impl<'de> Deserialize<'de> for Hooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HooksVisitor)
    }
}

struct HooksVisitor;

impl<'de> Visitor<'de> for HooksVisitor {
    type Value = Hooks;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"auto\" or a list of hooks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Hooks, E> {
        Hooks::of(text.split(',')).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Hooks, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = items.next_element::<String>()? {
            words.push(word);
        }
        Hooks::of(words.iter().map(String::as_str)).map_err(de::Error::custom)
    }
}
