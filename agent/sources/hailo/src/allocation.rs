//! Ids of Hailo's device plugin.

use accelscope_core::allocation::{node_name, vendor};
use accelscope_core::metric::Attribute;

/// `hw.name` of a device of a `hailo.ai` resource: the plugin's ids are names of device nodes.
pub(super) fn allocated_device(resource: &str, id: &str) -> Vec<Attribute> {
    let name = (vendor(resource) == "hailo.ai").then(|| node_name(id, "hailo"));
    name.flatten().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use accelscope_core::metric::key;

    #[test]
    fn an_id_is_the_name_of_a_device_node() {
        assert_eq!(
            allocated_device("hailo.ai/h8", "hailo1"),
            [(key::HW_NAME, "hailo1".into())]
        );
    }

    #[test]
    fn other_ids_and_resources_give_nothing() {
        for (resource, id) in [("example.com/nic", "hailo0"), ("hailo.ai/h8", "hailo"), ("", "")] {
            assert_eq!(allocated_device(resource, id), [], "{resource} {id}");
        }
    }
}
