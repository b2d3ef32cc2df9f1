//! Queries of one device: values straight from the file.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

use serde_json::Value;

use super::call::{Call, Handle, answer, number};
use super::code;
use super::memory::At;
use super::system::exported;

/// Functions with one result of four bytes.
macro_rules! fours {
    ($($name:ident($($argument:ident),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(device: Handle, $($argument: c_uint,)* to: *mut c_uint) -> c_int {
            let call = Call::on(stringify!($name), device);
            answer(call.and_then(|call| { At::of(to).four(0, call.numbers(&[$($argument),*])?[0]); Ok(()) }))
        }
    )*};
}

/// The same with eight bytes.
macro_rules! eights {
    ($($name:ident($($argument:ident),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(device: Handle, $($argument: c_uint,)* to: *mut c_ulonglong) -> c_int {
            let call = Call::on(stringify!($name), device);
            answer(call.and_then(|call| { At::of(to).eight(0, call.numbers(&[$($argument),*])?[0]); Ok(()) }))
        }
    )*};
}

/// Functions with several results of four bytes each.
macro_rules! several {
    ($($name:ident($($to:ident),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(device: Handle, $($to: *mut c_uint),*) -> c_int {
            let call = Call::on(stringify!($name), device);
            answer(call.and_then(|call| {
                let numbers = call.numbers(&[])?;
                for (to, number) in [$($to),*].into_iter().zip(numbers) {
                    At::of(to).four(0, number);
                }
                Ok(())
            }))
        }
    )*};
}

macro_rules! texts {
    ($($name:ident;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(device: Handle, to: *mut c_char, length: c_uint) -> c_int {
            answer(Call::on(stringify!($name), device).and_then(|call| call.text(to, length)))
        }
    )*};
}

/// A structure of numbers, each with its offset and size; an object of the file has them in this order.
fn structure(name: &'static str, device: Handle, arguments: &[u32], to: *mut c_void, fields: &[(usize, u8)]) -> c_int {
    answer(Call::on(name, device).and_then(|call| {
        let numbers: Vec<u64> = match call.value(arguments)? {
            Value::Object(object) => object.values().map(number).collect(),
            Value::Array(array) => array.iter().map(number).collect(),
            _ => return Err(code::UNKNOWN),
        };
        for ((offset, size), number) in fields.iter().zip(numbers) {
            match size {
                4 => At::of(to).four(*offset, number),
                _ => At::of(to).eight(*offset, number),
            }
        }
        Ok(())
    }))
}

macro_rules! structures {
    ($($name:ident($($argument:ident),*) $fields:expr;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(device: Handle, $($argument: c_uint,)* to: *mut c_void) -> c_int {
            structure(stringify!($name), device, &[$($argument),*], to, $fields)
        }
    )*};
}

fours! {
    nvmlDeviceGetPowerUsage();
    nvmlDeviceGetPowerManagementLimit();
    nvmlDeviceGetPowerManagementDefaultLimit();
    nvmlDeviceGetEnforcedPowerLimit();
    nvmlDeviceGetPowerManagementMode();
    nvmlDeviceGetTemperature(sensor);
    nvmlDeviceGetTemperatureThreshold(kind);
    nvmlDeviceGetClockInfo(kind);
    nvmlDeviceGetMaxClockInfo(kind);
    nvmlDeviceGetApplicationsClock(kind);
    nvmlDeviceGetClock(kind, id);
    nvmlDeviceGetPerformanceState();
    nvmlDeviceGetPowerState();
    nvmlDeviceGetFanSpeed();
    nvmlDeviceGetFanSpeed_v2(fan);
    nvmlDeviceGetNumFans();
    nvmlDeviceGetMinMaxFanSpeed();
    nvmlDeviceGetCurrPcieLinkGeneration();
    nvmlDeviceGetCurrPcieLinkWidth();
    nvmlDeviceGetMaxPcieLinkGeneration();
    nvmlDeviceGetMaxPcieLinkWidth();
    nvmlDeviceGetPcieReplayCounter();
    nvmlDeviceGetPcieThroughput(counter);
    nvmlDeviceGetPcieSpeed();
    nvmlDeviceGetMinorNumber();
    nvmlDeviceGetIndex();
    nvmlDeviceGetBrand();
    nvmlDeviceGetArchitecture();
    nvmlDeviceGetBoardId();
    nvmlDeviceGetMultiGpuBoard();
    nvmlDeviceGetPersistenceMode();
    nvmlDeviceGetComputeMode();
    nvmlDeviceGetDisplayActive();
    nvmlDeviceGetDisplayMode();
    nvmlDeviceGetAccountingMode();
    nvmlDeviceGetNumGpuCores();
    nvmlDeviceGetMemoryBusWidth();
    nvmlDeviceGetIrqNum();
    nvmlDeviceGetModuleId();
    nvmlDeviceGetRetiredPagesPendingStatus();
    nvmlDeviceGetNvLinkState(link);
    nvmlDeviceGetNvLinkVersion(link);
    nvmlDeviceGetNvLinkCapability(link, capability);
    nvmlDeviceGetInforomConfigurationChecksum();
}

eights! {
    nvmlDeviceGetTotalEnergyConsumption();
    nvmlDeviceGetCurrentClocksThrottleReasons();
    nvmlDeviceGetCurrentClocksEventReasons();
    nvmlDeviceGetSupportedClocksThrottleReasons();
    nvmlDeviceGetSupportedClocksEventReasons();
    nvmlDeviceGetSupportedEventTypes();
    nvmlDeviceGetTotalEccErrors(kind, counter);
    nvmlDeviceGetMemoryErrorCounter(kind, counter, location);
    nvmlDeviceGetNvLinkErrorCounter(link, counter);
}

several! {
    nvmlDeviceGetEncoderUtilization(percent, period);
    nvmlDeviceGetDecoderUtilization(percent, period);
    nvmlDeviceGetJpgUtilization(percent, period);
    nvmlDeviceGetOfaUtilization(percent, period);
    nvmlDeviceGetPowerManagementLimitConstraints(least, most);
    nvmlDeviceGetEccMode(now, pending);
    nvmlDeviceGetCudaComputeCapability(major, minor);
    nvmlDeviceGetRemappedRows(corrected, uncorrected, pending, failed);
    nvmlDeviceGetGpuOperationMode(now, pending);
}

texts! {
    nvmlDeviceGetName;
    nvmlDeviceGetUUID;
    nvmlDeviceGetSerial;
    nvmlDeviceGetVbiosVersion;
    nvmlDeviceGetBoardPartNumber;
    nvmlDeviceGetInforomImageVersion;
}

structures! {
    nvmlDeviceGetMarginTemperature() &[(4, 4)];
    nvmlDeviceGetUtilizationRates() &[(0, 4), (4, 4)];
    // total, free, used
    nvmlDeviceGetMemoryInfo() &[(0, 8), (8, 8), (16, 8)];
    // free, total, used in the header's order: bar1Total, bar1Free, bar1Used
    nvmlDeviceGetBAR1MemoryInfo() &[(0, 8), (8, 8), (16, 8)];
    // referenceTime, violationTime
    nvmlDeviceGetViolationStatus(policy) &[(0, 8), (8, 8)];
}

/// `total`, `free`, `used` of the other function with `reserved` behind them.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Handle, to: *mut c_void) -> c_int {
    answer(Call::on("nvmlDeviceGetMemoryInfo_v2", device).and_then(|call| {
        if At::of(to).get_four(0) != 0x0200_0028 {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        let numbers = call.numbers(&[])?;
        let [total, free, used, reserved] = numbers[..] else {
            return Err(code::NOT_SUPPORTED);
        };
        for (index, number) in [total, reserved, free, used].into_iter().enumerate() {
            At::of(to).eight(8 + index * 8, number);
        }
        Ok(())
    }))
}

exported! {
    // The value is the address: "00000000:65:00.0".
    fn nvmlDeviceGetPciInfo_v3(device: Handle, to: *mut c_void) {
        let call = Call::on(NAME, device)?;
        let address = call.value(&[])?.as_str().unwrap_or_default();
        let parts: Vec<u64> = address
            .split([':', '.'])
            .map(|part| u64::from_str_radix(part, 16).unwrap_or_default())
            .collect();
        for (index, part) in parts.iter().take(3).enumerate() {
            At::of(to).four(16 + index * 4, *part);
        }
        At::of(to).four(28, 0x2330_10de);
        At::of(to).four(32, 0x16c1_10de);
        let short = address.get(4..).unwrap_or_default();
        At::of(to).text(short, 16);
        At::of(to).after(36).text(address, 32);
        Ok(())
    }
    // A field that is not in the file is not supported, which is its own result and not that of the call.
    fn nvmlDeviceGetFieldValues(device: Handle, count: c_int, values: *mut c_void) {
        let call = Call::on(NAME, device)?;
        let mut scopes = (0..count as usize).map(|index| At::of(values).after(index * 40).get_four(4));
        let links = call.node()["links"].as_u64().unwrap_or(u64::MAX);
        if scopes.any(|scope| scope != u32::MAX && u64::from(scope) >= links) {
            return Err(code::INVALID_ARGUMENT);
        }
        for index in 0..count as usize {
            let value = At::of(values).after(index * 40);
            let (id, scope) = (value.get_four(0), value.get_four(4));
            let fields = &call.node()["fields"];
            let field = fields.get(format!("{id}/{scope}")).or_else(|| fields.get(id.to_string()));
            let result = field.map_or(u64::from(code::NOT_SUPPORTED as u32), |field| number(&field["return"]));
            value.eight(8, 1_700_000_000_000_000);
            value.eight(16, 1);
            value.four(28, result);
            if let (Some(field), 0) = (field, result) {
                value.four(24, field["type"].as_u64().unwrap_or(3));
                match field["type"].as_u64() {
                    Some(0) => value.double(32, field["value"].as_f64().unwrap_or_default()),
                    _ => value.eight(32, number(&field["value"])),
                }
            }
        }
        Ok(())
    }
    fn nvmlDeviceGetRetiredPages(device: Handle, cause: c_uint, count: *mut c_uint, addresses: *mut c_ulonglong) {
        let call = Call::on(NAME, device)?;
        let pages = call.numbers(&[cause])?;
        let room = At::of(count).get_four(0) as usize;
        At::of(count).four(0, pages.len() as u64);
        if room < pages.len() {
            return Err(code::INSUFFICIENT_SIZE);
        }
        for (index, page) in pages.iter().enumerate() {
            At::of(addresses).eight(index * 8, *page);
        }
        Ok(())
    }
}
