//! Parts of the ids of allocated devices, for implementations of [`AllocatedDevice`](crate::source::AllocatedDevice).

use crate::metric::{Attribute, key};

/// Domain of a resource's vendor: `example.com` of `example.com/gpu`.
pub fn vendor(resource: &str) -> &str {
    resource.split('/').next().unwrap_or_default()
}

/// `hw.name` of an id that is the name of a device node: `prefix` and a number.
pub fn node_name(id: &str, prefix: &str) -> Option<Attribute> {
    let number = id.strip_prefix(prefix)?;
    let is_one = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| (key::HW_NAME, id.into()))
}
