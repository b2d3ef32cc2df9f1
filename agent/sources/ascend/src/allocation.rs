//! Ids of Huawei's device plugin (mind-cluster, ascend-device-plugin).

use crate::key;
use accelscope_core::allocation::vendor;
use accelscope_core::metric::Attribute;

/// `ascend.physical.id` of a device of a `huawei.com` resource: the number at the end of `Ascend910-3`, or of
/// `Ascend910-2c-100-3`, a virtual NPU on chip 3.
pub(super) fn allocated_device(resource: &str, id: &str) -> Vec<Attribute> {
    let chip = (vendor(resource) == "huawei.com").then(|| chip(id));
    let chip = chip.flatten().map(|chip| (key::ASCEND_PHYSICAL_ID, chip.into()));
    chip.into_iter().collect()
}

fn chip(id: &str) -> Option<u32> {
    let (family, chip) = id.rsplit_once('-')?;
    chip.parse().ok().filter(|_| family.starts_with("Ascend"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_ends_with_the_chip_of_an_npu_or_of_a_virtual_one() {
        for (resource, id, chip) in [
            ("huawei.com/Ascend910", "Ascend910-3", 3u32),
            ("huawei.com/Ascend910-2c", "Ascend910-2c-100-12", 12),
        ] {
            assert_eq!(
                allocated_device(resource, id),
                [(key::ASCEND_PHYSICAL_ID, chip.into())],
                "{id}"
            );
        }
    }

    #[test]
    fn other_ids_and_resources_give_nothing() {
        for (resource, id) in [
            ("huawei.com/Ascend910", "Ascend910"),
            ("huawei.com/Ascend910", "Ascend910-x"),
            ("huawei.com/other", "davinci-3"),
            ("example.com/npu", "Ascend910-3"),
            ("", ""),
        ] {
            assert_eq!(allocated_device(resource, id), [], "{resource} {id}");
        }
    }
}
