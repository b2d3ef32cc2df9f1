//! Ids of the device plugins for NVIDIA GPUs: NVIDIA's, HAMi's and GKE's.

use crate::key;
use accelscope_core::allocation::{node_name, vendor};
use accelscope_core::metric::Attribute;
use uuid::Uuid;

/// Length of a UUID's text.
const UUID: usize = 36;

/// `hw.id` or `nvidia.mig.uuid` for an id with a UUID that NVML has too, of any vendor's resource; otherwise `hw.name`
/// and the GPU instance for an id of GKE's plugin.
pub(super) fn allocated_device(resource: &str, id: &str) -> Vec<Attribute> {
    if let Some(uuid) = nvml_uuid(id) {
        let key = if uuid.starts_with("MIG-") {
            key::NVIDIA_MIG_UUID
        } else {
            key::HW_ID
        };
        return vec![(key, uuid.into())];
    }
    if vendor(resource) == "nvidia.com" {
        gke(id)
    } else {
        Vec::new()
    }
}

/// GKE's plugin: nvidia0, nvidia0/gi1, nvidia0/vgpu2, nvidia0/gi1/vgpu2 (container-engine-accelerators,
/// pkg/gpu/nvidia/gpusharing and mig).
fn gke(id: &str) -> Vec<Attribute> {
    let mut parts = id.split('/');
    let Some(node) = parts.next().and_then(|name| node_name(name, "nvidia")) else {
        return Vec::new();
    };
    let instance: Option<u32> = parts.next().and_then(|part| part.strip_prefix("gi")?.parse().ok());
    let instance = instance.map(|instance| (key::NVIDIA_GPU_INSTANCE, instance.into()));
    std::iter::once(node).chain(instance).collect()
}

/// The UUID of a GPU or MIG device, without the number of one of several that share it: `::n` (NVIDIA's plugin) or
/// `-n` (HAMi's). Before driver 470 a MIG device's UUID was `MIG-GPU-<uuid>/<gi>/<ci>`.
fn nvml_uuid(id: &str) -> Option<&str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: &str = "GPU-8f6d1a52-3c0b-4f3e-9a34-2f1f5d0c7b11";
    const MIG: &str = "MIG-0f6d1a52-3c0b-4f3e-9a34-2f1f5d0c7b12";

    #[track_caller]
    fn is(resource: &str, id: &str, key: &'static str, value: &str) {
        assert_eq!(allocated_device(resource, id), [(key, value.into())], "{resource} {id}");
    }

    #[test]
    fn the_uuid_is_that_of_nvml_with_or_without_the_number_of_a_replica() {
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
    fn gke_s_ids_start_with_the_name_of_the_device_node() {
        for id in ["nvidia0", "nvidia0/vgpu2", "nvidia0/gix"] {
            is("nvidia.com/gpu", id, key::HW_NAME, "nvidia0");
        }
        for id in ["nvidia0/gi1", "nvidia0/gi1/vgpu2"] {
            let both = [
                (key::HW_NAME, "nvidia0".into()),
                (key::NVIDIA_GPU_INSTANCE, 1u32.into()),
            ];
            assert_eq!(allocated_device("nvidia.com/gpu", id), both);
        }
    }

    #[test]
    fn an_id_that_only_the_plugin_understands_gives_nothing() {
        for (resource, id) in [
            ("nvidia.com/gpu", "0"),
            ("nvidia.com/gpu", "tegra"),
            ("nvidia.com/gpu", "nvidia"),
            ("nvidia.com/gpu", "nvidia0x"),
            ("nvidia.com/gpu", "GPU-ä"),
            ("nvidia.com/gpu", "GPU-8f6d1a52-3c0b-4f3e-9a34"),
            ("nvidia.com/gpu", &format!("{GPU}/evil")),
            ("example.com/nic", "nvidia0"),
            ("", ""),
        ] {
            assert_eq!(allocated_device(resource, id), [], "{resource} {id}");
        }
    }
}
