//! Field values: many readings in one call, each with its own result.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use super::sys::{self, nvmlFieldValue_t};
use super::{Device, Nvml, NvmlError, call, check};

/// Scope of an NVLink field for all links together.
pub(crate) const ALL_LINKS: u32 = u32::MAX;

/// A requested field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// One of `sys::field_id::*`, as numbered before driver 580.82.
    pub(crate) id: u32,
    /// The link, the power scope, ...; 0 if the field has none.
    pub(crate) scope: u32,
}

impl Field {
    /// A value of the whole device.
    pub(crate) const fn of(id: u32) -> Self {
        Self { id, scope: 0 }
    }
}

/// A field's value in NVML's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
}

impl Number {
    /// The value as a count; `None` if it is negative, not whole, or has all bits set.
    pub(crate) fn count(self) -> Option<u64> {
        match self {
            Self::Unsigned(u64::MAX) | Self::Double(_) => None,
            Self::Unsigned(number) => Some(number),
            Self::Signed(number) => number.try_into().ok(),
        }
    }

    /// The value as a signed whole number.
    pub(crate) fn signed(self) -> Option<i64> {
        match self {
            Self::Unsigned(number) => number.try_into().ok(),
            Self::Signed(number) => Some(number),
            Self::Double(_) => None,
        }
    }
}

impl Device {
    /// Values of the fields in the requested order. An error of the whole call is returned as such.
    pub(crate) fn field_values(self, fields: &[Field]) -> Result<Vec<Result<Number, NvmlError>>, NvmlError> {
        const CALL: &str = "nvmlDeviceGetFieldValues";
        let mut values: Vec<nvmlFieldValue_t> = fields.iter().map(|field| asked(self.nvml(), *field)).collect();
        // SAFETY: it reads and writes as many structures as its second argument.
        unsafe {
            call!(
                self.nvml(),
                nvmlDeviceGetFieldValues(self.handle(), values.len() as i32, values.as_mut_ptr())
            )
        }?;
        Ok(values
            .iter()
            .map(|value| check(CALL, value.nvmlReturn).map(|()| number(value)))
            .collect())
    }
}

fn asked(nvml: Nvml, field: Field) -> nvmlFieldValue_t {
    nvmlFieldValue_t {
        fieldId: translated(nvml.has_new_field_ids(), field.id),
        scopeId: field.scope,
        timestamp: 0,
        latencyUsec: 0,
        valueType: sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
        // Stays if the library does not read the field.
        nvmlReturn: sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
        value: sys::nvmlValue_st { ullVal: 0 },
    }
}

/// NVIDIA moved 251 to 255 behind 256 to 273 with driver 580.82 (CUDA 13.0 update 1).
const fn translated(is_new: bool, id: u32) -> u32 {
    match id {
        251..=255 if is_new => id + 18,
        256..=273 if is_new => id - 5,
        other => other,
    }
}

fn number(value: &nvmlFieldValue_t) -> Number {
    let union = value.value;
    // SAFETY: the union was zeroed and then written by the library in the type that it names; every member consists of bits any
    // pattern of which is a value.
    unsafe {
        match value.valueType {
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE => Number::Double(union.dVal),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => Number::Unsigned(union.uiVal.into()),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG => Number::Unsigned(union.ulVal),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => Number::Signed(union.sllVal),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT => Number::Signed(union.siVal.into()),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT => Number::Unsigned(union.usVal.into()),
            _ => Number::Unsigned(union.ullVal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_renumbering_maps_one_to_one() {
        let mut ids: Vec<u32> = (251..=273).map(|id| translated(true, id)).collect();
        assert_eq!(
            translated(true, sys::field_id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN),
            269
        );
        assert_eq!(translated(true, sys::field_id::NVML_FI_PWR_SMOOTHING_ENABLED), 251);
        ids.sort_unstable();
        assert_eq!(ids, (251..=273).collect::<Vec<_>>());
        assert!((0..=280).all(|id| translated(false, id) == id));
        assert_eq!((translated(true, 250), translated(true, 274)), (250, 274));
    }

    #[test]
    fn a_value_has_the_type_that_the_library_says() {
        let mut value = nvmlFieldValue_t {
            fieldId: 1,
            scopeId: 0,
            timestamp: 0,
            latencyUsec: 0,
            valueType: sys::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT,
            nvmlReturn: 0,
            value: sys::nvmlValue_st { ullVal: 0xffff_fffe },
        };
        assert_eq!(number(&value), Number::Signed(-2));
        assert_eq!(number(&value).count(), None);
        value.valueType = sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT;
        assert_eq!(number(&value).count(), Some(0xffff_fffe));
        assert_eq!(Number::Unsigned(u64::MAX).count(), None);
    }
}
