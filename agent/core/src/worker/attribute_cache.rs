//! Cache of the attributes of a worker's readings, which are the same in each reply: each text is parsed once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::metric::{Attribute, AttributeValue, Attributes, Instrument, key};
use crate::source::Extension;

/// Attributes of the last replies, by instrument, whether the reading belongs to a known process, and JSON text. The
/// instrument decides which attributes are allowed.
#[derive(Debug, Default)]
pub(super) struct AttributeCache {
    entries: HashMap<(&'static str, bool), HashMap<Box<str>, Entry>>,
    reply: u64,
}

#[derive(Debug)]
struct Entry {
    attributes: Arc<Attributes>,
    /// The last reply that had it.
    reply: u64,
}

impl AttributeCache {
    /// To be called before each reply: entries that the previous reply did not have are dropped.
    pub(super) fn begin(&mut self) {
        let reply = self.reply;
        for entries in self.entries.values_mut() {
            entries.retain(|_, entry| entry.reply == reply);
        }
        self.entries.retain(|_, entries| !entries.is_empty());
        self.reply += 1;
    }

    /// The attributes, or why they are refused.
    pub(super) fn attributes(
        &mut self,
        instrument: &'static Instrument,
        has_owner: bool,
        text: Option<&RawValue>,
        extensions: &[Extension],
    ) -> Result<Arc<Attributes>, &'static str> {
        let text = text.map_or("{}", RawValue::get);
        let entries = self.entries.entry((instrument.name, has_owner)).or_default();
        if let Some(entry) = entries.get_mut(text) {
            entry.reply = self.reply;
            return Ok(Arc::clone(&entry.attributes));
        }
        let attributes = Arc::new(parsed(instrument, has_owner, text, extensions)?);
        let entry = Entry {
            attributes: Arc::clone(&attributes),
            reply: self.reply,
        };
        entries.insert(text.into(), entry);
        Ok(attributes)
    }
}

fn parsed(
    instrument: &Instrument,
    has_owner: bool,
    text: &str,
    extensions: &[Extension],
) -> Result<Attributes, &'static str> {
    let all: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| "attributes")?;
    let known = |(name, value): (String, Value)| {
        let key = instrument
            .attributes
            .iter()
            .copied()
            .chain(Extension::keys(extensions, instrument))
            // A process that was not found on this node has no attributes of an owner, but it does have an id.
            .chain((instrument.owned && !has_owner).then_some(key::PROCESS_PID))
            .find(|known| *known == name)
            .ok_or("unknown_attribute")?;
        Ok::<Attribute, &str>((key, attribute_value(value).ok_or("attribute_value")?))
    };
    let attributes = all.into_iter().map(known).collect::<Result<Vec<_>, _>>()?;
    Ok(Attributes::new(attributes))
}

fn attribute_value(value: Value) -> Option<AttributeValue> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Bool(truth) => Some(truth.into()),
        Value::Number(number) => number.as_i64().map(AttributeValue::Int),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::catalogue::{accel, hw};

    #[test]
    fn a_set_that_comes_again_is_the_same_and_one_that_does_not_is_dropped() {
        let mut cache = AttributeCache::default();
        let get = |cache: &mut AttributeCache, text: &str| {
            let text: &RawValue = serde_json::from_str(text).unwrap();
            cache.attributes(&hw::POWER, false, Some(text), &[])
        };
        cache.begin();
        let first = get(&mut cache, r#"{"hw.id":"GPU-1","hw.type":"gpu"}"#).unwrap();
        assert_eq!(first.get("hw.id"), Some(&"GPU-1".into()));
        cache.begin();
        let again = get(&mut cache, r#"{"hw.id":"GPU-1","hw.type":"gpu"}"#).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for refused in [r#"{"invented":"x"}"#, r#"{"hw.id":[1]}"#, r#""hw.id""#] {
            get(&mut cache, refused).unwrap_err();
        }
        cache.begin();
        cache.begin();
        assert!(cache.entries.is_empty(), "{cache:?}");
    }

    #[test]
    fn the_same_text_is_allowed_or_not_by_instrument_and_owner() {
        let mut cache = AttributeCache::default();
        cache.begin();
        let text: &RawValue = serde_json::from_str(r#"{"process.pid":7}"#).unwrap();
        for _ in 0..2 {
            let mut is_allowed = |instrument, owned| cache.attributes(instrument, owned, Some(text), &[]).is_ok();
            assert!(is_allowed(&accel::PROCESS_MEMORY_USAGE, false));
            assert!(!is_allowed(&accel::PROCESS_MEMORY_USAGE, true));
            assert!(!is_allowed(&hw::POWER, false));
        }
    }
}
