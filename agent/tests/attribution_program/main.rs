//! What the program says of containers, pods, units and jobs: real processes in real control groups, beside the files of
//! their engines.

#![allow(clippy::unwrap_used, reason = "a test program")]

#[path = "../acl_support/mod.rs"]
mod acl_support;
mod claims;
mod engines;
#[path = "../group_support/mod.rs"]
mod group_support;
mod hung;
mod lenient;
mod machine;
mod nameless;
mod names;
mod printable;
#[cfg(feature = "hailo")]
mod processes;
#[path = "../program_support/mod.rs"]
mod program_support;
#[path = "../receiver_support/mod.rs"]
mod receiver_support;

use std::collections::BTreeMap;

use group_support::new_id;
use machine::Machine;
use serde_json::Value;

/// The attributes of what holds the device in the container with that id.
fn of_container<'a>(holders: &'a [Value], id: &str) -> &'a Value {
    let found = holders.iter().find(|attributes| attributes["container.id"] == id);
    found.unwrap_or_else(|| panic!("no container {id} in {holders:#?}"))
}

/// These attributes of the container, in order; an absent one is left out.
fn shown(attributes: &Value, keys: &[&str]) -> BTreeMap<String, String> {
    let value = |key: &&str| Some(((*key).to_owned(), attributes[key].as_str()?.to_owned()));
    keys.iter().filter_map(value).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
