//! Points of a PodResources List response.

use std::collections::HashSet;
use std::sync::Arc;

use accelscope_proto::pod_resources::{ContainerResources, DynamicResource, ListPodResourcesResponse, PodResources};

use accelscope_core::metric::catalogue::accel::DEVICE_ALLOCATION;
use accelscope_core::metric::{Attribute, Attributes, Point, Timestamp, key};
use accelscope_core::source::AllocatedDevice;

/// Limit of points of one node; a kubelet runs a few hundred pods at most.
const MAX_POINTS: usize = 10_000;

/// One point for each device allocated to a container, and the number of those beyond [`MAX_POINTS`].
pub(super) fn points(
    response: &ListPodResourcesResponse,
    vendors: &[AllocatedDevice],
    time: Timestamp,
) -> (Vec<Point>, u64) {
    // A device of several NUMA nodes is listed once for each.
    let pods = response.pod_resources.iter();
    let (mut seen, mut points, mut skipped) = (HashSet::new(), Vec::new(), 0);
    for attributes in pods.flat_map(|pod| of_pod(pod, vendors)) {
        if points.len() == MAX_POINTS {
            skipped += 1;
            continue;
        }
        let attributes = Arc::new(attributes);
        if seen.insert(Arc::clone(&attributes)) {
            points.push(Point::new(&DEVICE_ALLOCATION, attributes, 1, time));
        }
    }
    (points, skipped)
}

fn of_pod(pod: &PodResources, vendors: &[AllocatedDevice]) -> impl Iterator<Item = Attributes> {
    pod.containers.iter().flat_map(|container| {
        let owner: [Attribute; 3] = [
            (key::K8S_POD_NAME, pod.name.as_str().into()),
            (key::K8S_NAMESPACE_NAME, pod.namespace.as_str().into()),
            (key::K8S_CONTAINER_NAME, container.name.as_str().into()),
        ];
        let claimed = container.dynamic_resources.iter().flat_map(of_claim);
        let devices = of_plugins(container, vendors).chain(claimed);
        devices.map(move |device| Attributes::new(device.into_iter().chain(owner.clone())))
    })
}

fn of_plugins(container: &ContainerResources, vendors: &[AllocatedDevice]) -> impl Iterator<Item = Vec<Attribute>> {
    container.devices.iter().flat_map(move |devices| {
        let resource = devices.resource_name.as_str();
        devices.device_ids.iter().map(move |id| {
            let mut device = vec![
                (key::ACCEL_RESOURCE_NAME, resource.into()),
                (key::ACCEL_DEVICE_ID, id.as_str().into()),
            ];
            let mut known = vendors.iter().map(|attributes| attributes(resource, id));
            device.extend(known.find(|found| !found.is_empty()).unwrap_or_default());
            device
        })
    })
}

/// A claim can be shared: every container that has it gets a point for each of its devices.
fn of_claim(claim: &DynamicResource) -> impl Iterator<Item = Vec<Attribute>> {
    claim.claim_resources.iter().map(|device| {
        let mut device = vec![
            (key::ACCEL_CLAIM_NAME, claim.claim_name.as_str().into()),
            (key::ACCEL_CLAIM_NAMESPACE, claim.claim_namespace.as_str().into()),
            (key::ACCEL_DRIVER_NAME, device.driver_name.as_str().into()),
            (key::ACCEL_POOL_NAME, device.pool_name.as_str().into()),
            (key::ACCEL_DEVICE_ID, device.device_name.as_str().into()),
        ];
        // Kubernetes 1.27 to 1.30 leave them empty.
        device.retain(|(_, value)| *value != "".into());
        device
    })
}
