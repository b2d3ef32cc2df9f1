//! GPUs that report the same UUID, as clones of virtual machines and faulty simulators do: each has its address in its id
//! in addition, since they would otherwise become one GPU's series.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;
use super::gpu::Gpu;

/// Separates the UUID from the address in such an id.
const SEPARATOR: char = '@';

/// The UUID in an id.
pub(super) fn reported(id: &str) -> &str {
    id.split_once(SEPARATOR).map_or(id, |(uuid, _)| uuid)
}

/// Gives all of these GPUs different ids. One that has an address in its id keeps it while it is known.
pub(super) fn distinguish<'a>(gpus: impl Iterator<Item = &'a mut Gpu>) {
    let mut by_uuid: BTreeMap<Arc<str>, Vec<&mut Gpu>> = BTreeMap::new();
    for gpu in gpus {
        if let Some(uuid) = &gpu.reported {
            by_uuid.entry(Arc::clone(uuid)).or_default().push(gpu);
        }
    }
    for (uuid, gpus) in by_uuid.iter_mut().filter(|(_, gpus)| gpus.len() > 1) {
        let addresses: Vec<_> = gpus.iter().map(|gpu| gpu.pci).collect();
        for gpu in gpus {
            gpu.health.faults.insert(Fault::DuplicateUuid);
            let is_alone = addresses.iter().filter(|pci| **pci == gpu.pci).count() == 1;
            let id = match gpu.pci {
                Some(pci) if is_alone => format!("{uuid}{SEPARATOR}{pci}"),
                _ => format!("{uuid}{SEPARATOR}{}", gpu.index),
            };
            // One that has such an id keeps it: while it is suspended, its address is not known.
            if reported(&gpu.uuid) == &*gpu.uuid {
                gpu.identify(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_tells_them_apart_else_the_index() {
        let gpu = |index, bus: Option<u32>, uuid: &str| {
            let mut gpu = Gpu::of_test(uuid);
            gpu.index = index;
            gpu.reported = Some(uuid.into());
            gpu.pci = bus.map(|bus| crate::nvml::Pci {
                domain: 0,
                bus,
                device: 0,
            });
            gpu
        };
        let mut gpus = [
            gpu(0, Some(1), "GPU-a"),
            gpu(1, Some(2), "GPU-a"),
            gpu(2, Some(3), "GPU-b"),
        ];
        distinguish(gpus.iter_mut());
        let ids = gpus.each_ref().map(|gpu| gpu.uuid.to_string());
        assert_eq!(ids, ["GPU-a@0000:01:00.0", "GPU-a@0000:02:00.0", "GPU-b"]);
        let is_duplicate = gpus
            .each_ref()
            .map(|gpu| gpu.health.faults.contains(&Fault::DuplicateUuid));
        assert_eq!(is_duplicate, [true, true, false]);
        let mut without = [gpu(0, None, "GPU-a"), gpu(1, None, "GPU-a")];
        distinguish(without.iter_mut());
        assert_eq!(
            without.each_ref().map(|gpu| gpu.uuid.to_string()),
            ["GPU-a@0", "GPU-a@1"]
        );
        assert_eq!((reported("GPU-a@0000:01:00.0"), reported("GPU-a")), ("GPU-a", "GPU-a"));
    }
}
