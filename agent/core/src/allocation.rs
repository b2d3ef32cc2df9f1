//! What the id of an allocated device, which its Kubernetes device plugin chose, says about the device.

use crate::metric::{Attribute, key};

/// The attributes under which a source shows the device that a plugin of the resource, such as `nvidia.com/gpu`,
/// allocated by this id. Empty where the id belongs to another vendor's plugin or has a meaning for the plugin alone.
pub type DeviceAttributes = fn(resource: &str, id: &str) -> Vec<Attribute>;

/// Domain of a resource's vendor: `nvidia.com` of `nvidia.com/gpu`.
pub fn vendor(resource: &str) -> &str {
    resource.split('/').next().unwrap_or_default()
}

/// `hw.name` of an id that is the name of a device node: `prefix` and a number.
pub fn node_name(id: &str, prefix: &str) -> Option<Attribute> {
    let number = id.strip_prefix(prefix)?;
    let is_one = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| (key::HW_NAME, id.into()))
}
