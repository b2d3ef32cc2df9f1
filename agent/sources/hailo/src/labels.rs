//! Attributes of a file's networks and streams, made once and not with every write.

use crate::key;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::reading::StreamName;
use accelscope_core::metric::Attributes;
use accelscope_proto::hailo::ProtoMonStreamDirection;

/// Attributes of networks and streams, which include the device's id.
#[derive(Debug, Default)]
pub(super) struct Labels {
    device: Option<Arc<str>>,
    networks: BTreeMap<String, Arc<Attributes>>,
    streams: BTreeMap<StreamName, Arc<Attributes>>,
}

impl Labels {
    /// Drops all where the device is another one.
    pub(super) fn set_device(&mut self, device: Option<Arc<str>>) {
        if self.device != device {
            *self = Self {
                device,
                ..Self::default()
            };
        }
    }

    /// Drops the labels of names that the file no longer has.
    pub(super) fn retain<N, S>(&mut self, networks: &BTreeMap<String, N>, streams: &BTreeMap<StreamName, S>) {
        self.networks.retain(|name, _| networks.contains_key(name));
        self.streams.retain(|name, _| streams.contains_key(name));
    }

    pub(super) fn network(&mut self, name: &str) -> Arc<Attributes> {
        if let Some(known) = self.networks.get(name) {
            return Arc::clone(known);
        }
        let device = self.device.iter().map(|id| (key::HW_ID, Arc::clone(id).into()));
        let new = Arc::new(Attributes::new(device.chain([(key::HAILO_NETWORK_NAME, name.into())])));
        self.networks.insert(name.to_owned(), Arc::clone(&new));
        new
    }

    pub(super) fn stream(&mut self, name: &StreamName) -> Arc<Attributes> {
        if let Some(known) = self.streams.get(name) {
            return Arc::clone(known);
        }
        let device = self.device.iter().map(|id| (key::HW_ID, Arc::clone(id).into()));
        let direction = match name.direction {
            ProtoMonStreamDirection::HostToDevice => "host_to_device",
            ProtoMonStreamDirection::DeviceToHost => "device_to_host",
        };
        let new = Arc::new(Attributes::new(device.chain([
            (key::HAILO_NETWORK_NAME, name.network.as_str().into()),
            (key::HAILO_STREAM_NAME, name.stream.as_str().into()),
            (key::HAILO_STREAM_DIRECTION, direction.into()),
        ])));
        self.streams.insert(name.clone(), Arc::clone(&new));
        new
    }
}
