//! Points of a PodResources List response.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use accelscope_proto::pod_resources::{ContainerResources, DynamicResource, ListPodResourcesResponse, PodResources};

use super::pods::PodUids;
use accelscope_core::fair::{self, Demand};
use accelscope_core::metric::catalogue::accel::DEVICE_ALLOCATION;
use accelscope_core::metric::{Attribute, AttributeValue, Attributes, Point, Timestamp, key};
use accelscope_core::source::AllocatedDevice;

/// Limit of points of one node; a kubelet runs a few hundred pods at most.
const MAX_POINTS: usize = 10_000;
/// Most ids of one resource, or devices of one claim, that a container has a point each of. More are no devices but units of
/// some, such as mebibytes of memory, and are one point. The largest machines have 16 accelerators, or 128 cores.
const MAX_DEVICES: usize = 128;

/// What is between a device's id and the number of its part: `GPU-…::3` (time slicing and MPS),
/// `GPU-…-_-17` (the memory of Alibaba's and Volcano's plugins).
const BEFORE_PARTS: [&str; 2] = ["::", "-_-"];

/// One point for each device allocated to a container, and the number of those beyond [`MAX_POINTS`]. Then pods with many,
/// and of those the containers with many, have fewer, and the others all.
pub(super) fn points(
    response: &ListPodResourcesResponse,
    vendors: &[AllocatedDevice],
    uids: &PodUids,
    time: Timestamp,
) -> (Vec<Point>, u64) {
    // The same container twice is one: its series are the same.
    let mut containers: BTreeMap<[&str; 3], BTreeSet<Vec<Attribute>>> = BTreeMap::new();
    for pod in &response.pod_resources {
        for container in &pod.containers {
            let devices = containers.entry(names(pod, container)).or_default();
            devices.extend(of_plugins(container, vendors));
            devices.extend(container.dynamic_resources.iter().flat_map(of_claim));
        }
    }
    let demands = containers.iter().map(|(names, devices)| {
        let wants = devices.len();
        let [namespace, pod, _] = *names;
        ([namespace, pod], *names, Demand { has: 0, wants })
    });
    let limits: HashMap<_, _> = fair::grouped_limits(demands, MAX_POINTS);
    let (mut points, mut skipped) = (Vec::new(), 0);
    for (names, devices) in containers {
        let limit = limits.get(&names).copied().unwrap_or(usize::MAX);
        skipped += devices.len().saturating_sub(limit) as u64;
        let owner = owner(names, uids);
        let shown = devices.into_iter().take(limit);
        points.extend(shown.map(|device| {
            let attributes = Attributes::new(device.into_iter().chain(owner.iter().cloned()));
            Point::new(&DEVICE_ALLOCATION, Arc::new(attributes), 1, time)
        }));
    }
    (points, skipped)
}

fn names<'a>(pod: &'a PodResources, container: &'a ContainerResources) -> [&'a str; 3] {
    [&pod.namespace, &pod.name, &container.name]
}

fn owner([namespace, pod, container]: [&str; 3], uids: &PodUids) -> Vec<Attribute> {
    let mut owner = vec![
        (key::K8S_POD_NAME, pod.into()),
        (key::K8S_NAMESPACE_NAME, namespace.into()),
        (key::K8S_CONTAINER_NAME, container.into()),
    ];
    owner.extend(uids.get(namespace, pod).map(|uid| (key::K8S_POD_UID, uid.into())));
    owner
}

/// The devices of each resource, whatever the number of their parts.
fn of_plugins(container: &ContainerResources, vendors: &[AllocatedDevice]) -> Vec<Vec<Attribute>> {
    // A device of several NUMA nodes is listed once for each.
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for devices in &container.devices {
        let of_resource = ids.entry(devices.resource_name.as_str()).or_default();
        of_resource.extend(devices.device_ids.iter().map(String::as_str));
    }
    let mut all = Vec::new();
    for (resource, ids) in ids {
        let mut devices: BTreeMap<Device<'_>, Vec<&str>> = BTreeMap::new();
        for id in ids {
            devices.entry(Device::of(resource, id, vendors)).or_default().push(id);
        }
        let unknown = devices.keys().filter(|device| matches!(device, Device::Unknown(_)));
        let are_units = unknown.count() > MAX_DEVICES;
        for (device, ids) in devices {
            let mut attributes: Vec<Attribute> = vec![(key::ACCEL_RESOURCE_NAME, resource.into())];
            let id = match device {
                Device::Known(known) => {
                    attributes.extend(known);
                    common_id(&ids)
                }
                Device::Unknown(_) if are_units => None,
                Device::Unknown(_) => common_id(&ids),
            };
            attributes.extend(id.map(|id| (key::ACCEL_DEVICE_ID, id.into())));
            all.push(attributes);
        }
    }
    all
}

/// What an allocated id is a device, or a part of a device, of.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Device<'a> {
    /// A vendor's source has it under these attributes.
    Known(Vec<Attribute>),
    /// Only the plugin understands the id.
    Unknown(&'a str),
}

impl<'a> Device<'a> {
    /// The first of the vendors that recognizes the id, or the id without a part's number, determines its attributes.
    fn of(resource: &str, id: &'a str, vendors: &[AllocatedDevice]) -> Self {
        let whole = without_part(id);
        let mut known = [id, whole]
            .into_iter()
            .flat_map(|id| vendors.iter().map(move |attributes| attributes(resource, id)));
        match known.find(|found| !found.is_empty()) {
            Some(found) => Self::Known(found),
            None => Self::Unknown(whole),
        }
    }
}

fn without_part(id: &str) -> &str {
    let ends = BEFORE_PARTS.iter().filter_map(|separator| id.find(separator));
    match ends.min() {
        None | Some(0) => id,
        Some(end) => &id[..end],
    }
}

/// The only id of a device, or that of the device itself where the ids of its parts have it in common.
fn common_id<'a>(ids: &[&'a str]) -> Option<&'a str> {
    match ids {
        [] => None,
        [one] => Some(one),
        [first, ..] => {
            let whole = without_part(first);
            ids.iter().all(|id| without_part(id) == whole).then_some(whole)
        }
    }
}

/// A claim can be shared: every container that has it gets a point for each of its devices.
fn of_claim(claim: &DynamicResource) -> Vec<Vec<Attribute>> {
    let are_units = claim.claim_resources.len() > MAX_DEVICES;
    let each = claim.claim_resources.iter().map(|device| {
        let mut device: Vec<Attribute> = vec![
            (key::ACCEL_CLAIM_NAME, claim.claim_name.as_str().into()),
            (key::ACCEL_CLAIM_NAMESPACE, claim.claim_namespace.as_str().into()),
            (key::ACCEL_DRIVER_NAME, device.driver_name.as_str().into()),
            (key::ACCEL_POOL_NAME, device.pool_name.as_str().into()),
            (key::ACCEL_DEVICE_ID, device.device_name.as_str().into()),
        ];
        // Kubernetes 1.27 to 1.30 leave them empty.
        device
            .retain(|(key, value)| *value != AttributeValue::from("") && !(are_units && *key == key::ACCEL_DEVICE_ID));
        device
    });
    each.collect()
}
