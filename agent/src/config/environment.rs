//! Snapshot of the environment, so that nothing else depends on the process it runs in.

use std::collections::BTreeMap;
use std::ffi::OsString;

const NOT_UTF8: &str = "is not UTF-8 text";

/// Variables by name.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// Environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Value of `name`; an empty value counts as unset, as OpenTelemetry specifies.
    pub(super) fn get(&self, name: &str) -> Option<Result<&str, &'static str>> {
        let value = self.0.get(name)?.as_deref().ok_or(NOT_UTF8);
        Some(value).filter(|value| value.map_or(true, |text| !text.trim().is_empty()))
    }

    /// Variables with this prefix in upper or lower case.
    pub(super) fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, Result<&str, &'static str>)> {
        let all = self.0.iter();
        let all = all.map(|(name, value)| (name.as_str(), value.as_deref().ok_or(NOT_UTF8)));
        all.filter(move |(name, _)| {
            let begin = name.get(..prefix.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
        })
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| {
            // No variable of the agent has a name that is not UTF-8.
            let name = name.into().into_string().ok()?;
            Some((name, value.into().into_string().ok()))
        });
        Self(named.collect())
    }
}
