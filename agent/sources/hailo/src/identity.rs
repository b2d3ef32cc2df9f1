//! Attributes of devices, made when a device changes and not with every batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::address::hw_id;
use super::device::Device;
use accelscope_core::metric::{Attributes, key};

/// The present devices, by address.
#[derive(Debug)]
pub(super) struct Identities {
    machine_id: String,
    node_name: String,
    known: HashMap<String, Identity>,
}

/// One device.
#[derive(Debug)]
pub(super) struct Identity {
    /// `hw.id`.
    pub(super) id: Arc<str>,
    /// `hw.id` alone.
    pub(super) label: Arc<Attributes>,
    /// All attributes of the device.
    pub(super) info: Arc<Attributes>,
    /// From the last file that had it: kept, so that the series does not change when the file is removed.
    model: Option<String>,
    device: Option<Device>,
}

impl Identities {
    pub(super) fn new(machine_id: String, node_name: String) -> Self {
        Self {
            machine_id,
            node_name,
            known: HashMap::new(),
        }
    }

    pub(super) fn get(&self, address: &str) -> Option<&Identity> {
        self.known.get(address)
    }

    /// Keeps `addresses`, each with the model in the present files, and recreates the attributes that changed.
    pub(super) fn update<'a>(
        &mut self,
        devices: &BTreeMap<String, Device>,
        addresses: &BTreeMap<&'a str, Option<&'a str>>,
    ) {
        self.known.retain(|address, _| addresses.contains_key(address.as_str()));
        for (address, model) in addresses {
            let device = devices.get(*address);
            let known = self.known.get(*address);
            if known.is_some_and(|known| known.is_still(device, *model)) {
                continue;
            }
            let model = model.or_else(|| known?.model.as_deref()).map(ToOwned::to_owned);
            let id = known.map_or_else(
                || hw_id(address, &self.machine_id, &self.node_name).into(),
                |known| Arc::clone(&known.id),
            );
            self.known
                .insert((*address).to_owned(), Identity::new(id, address, model, device));
        }
    }
}

impl Identity {
    fn new(id: Arc<str>, address: &str, model: Option<String>, device: Option<&Device>) -> Self {
        let mut info = vec![
            (key::HW_ID, Arc::clone(&id).into()),
            (key::HW_VENDOR, "Hailo".into()),
            (key::ACCEL_DEVICE_ADDRESS, address.into()),
        ];
        info.extend(device.map(|device| (key::HW_NAME, device.name.as_str().into())));
        info.extend(model.as_ref().map(|model| (key::HW_MODEL, model.as_str().into())));
        let version = device.and_then(|device| device.driver_version.as_ref());
        info.extend(version.map(|version| (key::HW_DRIVER_VERSION, version.as_str().into())));
        Self {
            label: Attributes::new([(key::HW_ID, Arc::clone(&id).into())]).into(),
            info: Attributes::new(info).into(),
            id,
            model,
            device: device.cloned(),
        }
    }

    fn is_still(&self, device: Option<&Device>, model: Option<&str>) -> bool {
        self.device.as_ref() == device && (model.is_none() || model == self.model.as_deref())
    }
}
