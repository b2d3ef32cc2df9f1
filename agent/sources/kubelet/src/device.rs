//! What a device's id, in its plugin's words, tells of the device.

use uuid::Uuid;

use accelscope_core::metric::{Attribute, key};

/// Length of a UUID's text.
const UUID: usize = 36;

/// The attributes under which samplers show the same device. None where only the plugin knows what its id means.
pub(super) fn known(resource: &str, id: &str) -> Vec<Attribute> {
    if let Some(uuid) = nvidia_uuid(id) {
        let key = if uuid.starts_with("MIG-") {
            key::NVIDIA_MIG_UUID
        } else {
            key::HW_ID
        };
        return vec![(key, uuid.into())];
    }
    let vendor = resource.split('/').next().unwrap_or_default();
    match vendor {
        "nvidia.com" => gke(id),
        "hailo.ai" => node(id, "hailo").into_iter().collect(),
        "huawei.com" => ascend(id).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// GKE's plugin: nvidia0, nvidia0/gi1, nvidia0/vgpu2, nvidia0/gi1/vgpu2 (container-engine-accelerators,
/// pkg/gpu/nvidia/gpusharing and mig).
fn gke(id: &str) -> Vec<Attribute> {
    let mut parts = id.split('/');
    let Some(node) = parts.next().and_then(|name| node(name, "nvidia")) else {
        return Vec::new();
    };
    let instance: Option<u32> = parts.next().and_then(|part| part.strip_prefix("gi")?.parse().ok());
    let instance = instance.map(|instance| (key::NVIDIA_GPU_INSTANCE, instance.into()));
    std::iter::once(node).chain(instance).collect()
}

/// Ascend910-3; of a virtual NPU Ascend910-2c-100-3, the last being the chip it is cut from (mind-cluster,
/// ascend-device-plugin).
fn ascend(id: &str) -> Option<Attribute> {
    let (family, chip) = id.rsplit_once('-')?;
    let chip: u32 = chip.parse().ok()?;
    family
        .starts_with("Ascend")
        .then(|| (key::ASCEND_PHYSICAL_ID, chip.into()))
}

/// The UUID that NVML has too, of a GPU or MIG device, without what marks one of several that share it: `::n` (NVIDIA's
/// plugin) or `-n` (HAMi's). Before driver 470 a MIG device's UUID was `MIG-GPU-<uuid>/<gi>/<ci>`.
fn nvidia_uuid(id: &str) -> Option<&str> {
    let whole = id.split("::").next()?;
    let prefix = ["MIG-GPU-", "MIG-", "GPU-"]
        .into_iter()
        .find(|prefix| whole.starts_with(prefix))?;
    let end = prefix.len() + UUID;
    Uuid::try_parse(whole.get(prefix.len()..end)?).ok()?;
    let rest = &whole[end..];
    let replica = |rest: &str| {
        rest.strip_prefix('-')
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    match rest {
        "" => Some(whole),
        _ if prefix == "MIG-GPU-" && rest.starts_with('/') => Some(whole),
        _ if replica(rest) => whole.get(..end),
        _ => None,
    }
}

/// The name of a device node: `prefix` and a number.
fn node(name: &str, prefix: &str) -> Option<Attribute> {
    let number = name.strip_prefix(prefix)?;
    let is_one = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_one.then(|| (key::HW_NAME, name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: &str = "GPU-8f6d1a52-3c0b-4f3e-9a34-2f1f5d0c7b11";
    const MIG: &str = "MIG-0f6d1a52-3c0b-4f3e-9a34-2f1f5d0c7b12";

    #[track_caller]
    fn is(resource: &str, id: &str, key: &'static str, value: impl Into<accelscope_core::metric::AttributeValue>) {
        assert_eq!(known(resource, id), [(key, value.into())], "{resource} {id}");
    }

    #[test]
    fn nvidias_ids_are_those_of_nvml_whoever_shares_them() {
        is("nvidia.com/gpu", GPU, key::HW_ID, GPU);
        is("nvidia.com/gpu.shared", &format!("{GPU}::11"), key::HW_ID, GPU);
        is("example.com/gpu", &format!("{GPU}-3"), key::HW_ID, GPU);
        is("nvidia.com/mig-1g.10gb", MIG, key::NVIDIA_MIG_UUID, MIG);
        is(
            "nvidia.com/mig-1g.10gb",
            &format!("{MIG}::0"),
            key::NVIDIA_MIG_UUID,
            MIG,
        );
        let old = format!("MIG-{GPU}/7/0");
        is("nvidia.com/gpu", &old, key::NVIDIA_MIG_UUID, old.as_str());
    }

    #[test]
    fn ids_that_name_a_device_node_do_so() {
        for id in ["nvidia0", "nvidia0/vgpu2", "nvidia0/gix"] {
            is("nvidia.com/gpu", id, key::HW_NAME, "nvidia0");
        }
        for id in ["nvidia0/gi1", "nvidia0/gi1/vgpu2"] {
            let both = [
                (key::HW_NAME, "nvidia0".into()),
                (key::NVIDIA_GPU_INSTANCE, 1u32.into()),
            ];
            assert_eq!(known("nvidia.com/gpu", id), both);
        }
        is("hailo.ai/h8", "hailo1", key::HW_NAME, "hailo1");
        is("huawei.com/Ascend910", "Ascend910-3", key::ASCEND_PHYSICAL_ID, 3u32);
        is(
            "huawei.com/Ascend910-2c",
            "Ascend910-2c-100-12",
            key::ASCEND_PHYSICAL_ID,
            12u32,
        );
    }

    #[test]
    fn what_only_the_plugin_understands_is_not_guessed() {
        for (resource, id) in [
            ("nvidia.com/gpu", "0"),
            ("nvidia.com/gpu", "tegra"),
            ("nvidia.com/gpu", "nvidia"),
            ("nvidia.com/gpu", "nvidia0x"),
            ("nvidia.com/gpu", "GPU-ä"),
            ("nvidia.com/gpu", "GPU-8f6d1a52-3c0b-4f3e-9a34"),
            ("nvidia.com/gpu", &format!("{GPU}/evil")),
            ("huawei.com/Ascend910", "Ascend910"),
            ("huawei.com/Ascend910", "Ascend910-x"),
            ("huawei.com/other", "davinci-3"),
            ("example.com/nic", "hailo0"),
            ("", ""),
        ] {
            assert_eq!(known(resource, id), [], "{resource} {id}");
        }
    }
}
