//! Attributes of a worker's readings, which are the same in each answer: they are taken apart once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::metric::{Attribute, AttributeValue, Attributes, Instrument, key};

/// What the last answers told, by instrument, whether the reading was of a process that is known, and by the text as it
/// was written. An instrument's own attributes decide what is allowed.
#[derive(Debug, Default)]
pub(super) struct Known {
    of: HashMap<(&'static str, bool), HashMap<Box<str>, Entry>>,
    answer: u64,
}

#[derive(Debug)]
struct Entry {
    attributes: Arc<Attributes>,
    /// The last answer that had it.
    answer: u64,
}

impl Known {
    /// Before each answer: what the one before did not have is forgotten.
    pub(super) fn begin(&mut self) {
        let answer = self.answer;
        for entries in self.of.values_mut() {
            entries.retain(|_, entry| entry.answer == answer);
        }
        self.of.retain(|_, entries| !entries.is_empty());
        self.answer += 1;
    }

    /// The attributes, or why they are refused.
    pub(super) fn attributes(
        &mut self,
        instrument: &'static Instrument,
        has_owner: bool,
        text: Option<&RawValue>,
    ) -> Result<Arc<Attributes>, &'static str> {
        let text = text.map_or("{}", RawValue::get);
        let entries = self.of.entry((instrument.name, has_owner)).or_default();
        if let Some(entry) = entries.get_mut(text) {
            entry.answer = self.answer;
            return Ok(Arc::clone(&entry.attributes));
        }
        let attributes = Arc::new(parsed(instrument, has_owner, text)?);
        let entry = Entry {
            attributes: Arc::clone(&attributes),
            answer: self.answer,
        };
        entries.insert(text.into(), entry);
        Ok(attributes)
    }
}

fn parsed(instrument: &Instrument, has_owner: bool, text: &str) -> Result<Attributes, &'static str> {
    let all: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| "attributes")?;
    let known = |(name, value): (String, Value)| {
        let key = instrument
            .attributes
            .iter()
            // A process that is not found on this node has no owner's attributes, but it does have an id.
            .chain((instrument.owned && !has_owner).then_some(&key::PROCESS_PID))
            .find(|known| **known == name)
            .ok_or("unknown_attribute")?;
        Ok::<Attribute, &str>((*key, attribute_value(value).ok_or("attribute_value")?))
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
    fn a_set_that_is_told_again_is_the_same_and_one_that_is_not_is_forgotten() {
        let mut known = Known::default();
        let tell = |known: &mut Known, text: &str| {
            let text: &RawValue = serde_json::from_str(text).unwrap();
            known.attributes(&hw::POWER, false, Some(text))
        };
        known.begin();
        let first = tell(&mut known, r#"{"hw.id":"GPU-1","hw.type":"gpu"}"#).unwrap();
        assert_eq!(first.get("hw.id"), Some(&"GPU-1".into()));
        known.begin();
        let again = tell(&mut known, r#"{"hw.id":"GPU-1","hw.type":"gpu"}"#).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for lie in [r#"{"invented":"x"}"#, r#"{"hw.id":[1]}"#, r#""hw.id""#] {
            tell(&mut known, lie).unwrap_err();
        }
        known.begin();
        known.begin();
        assert!(known.of.is_empty(), "{known:?}");
    }

    #[test]
    fn the_same_text_is_allowed_or_not_by_whom_it_is_said_of() {
        let mut known = Known::default();
        known.begin();
        let text: &RawValue = serde_json::from_str(r#"{"process.pid":7}"#).unwrap();
        for _ in 0..2 {
            let mut is_allowed = |instrument, owned| known.attributes(instrument, owned, Some(text)).is_ok();
            assert!(is_allowed(&accel::PROCESS_MEMORY_USAGE, false));
            assert!(!is_allowed(&accel::PROCESS_MEMORY_USAGE, true));
            assert!(!is_allowed(&hw::POWER, false));
        }
    }
}
