//! Identity of the GPU.

use crate::key;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::nvml::{Device, Nvml, sys};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::{Attribute, AttributeValue};

/// Read once per process: it is constant while the driver runs.
pub(super) struct Info {
    of_library: Vec<Attribute>,
    of_gpus: HashMap<Arc<str>, Known>,
}

/// Properties of one GPU.
struct Known {
    /// Its index when they were read; `None` if a preceding process read them.
    index: Option<u32>,
    attributes: Vec<Attribute>,
}

impl Info {
    pub(super) fn new(nvml: Nvml) -> Self {
        let of_library = [
            (key::HW_DRIVER_VERSION, nvml.driver_version().map(str::to_owned)),
            (key::NVIDIA_NVML_VERSION, nvml.nvml_version()),
            (key::NVIDIA_CUDA_VERSION, nvml.cuda_version()),
            (key::HW_VENDOR, Some("NVIDIA".to_owned())),
        ];
        Self {
            of_library: present(of_library).collect(),
            of_gpus: HashMap::new(),
        }
    }

    fn look(gpu: &mut Gpu, recorder: &mut Recorder) -> Vec<Attribute> {
        let model = gpu.ask("name", recorder, Device::name).flatten();
        let serial = gpu.ask("serial", recorder, Device::serial).flatten();
        let vbios = gpu.ask("vbios_version", recorder, Device::vbios_version).flatten();
        let part = gpu
            .ask("board_part_number", recorder, Device::board_part_number)
            .flatten();
        let architecture = gpu.ask("architecture", recorder, Device::architecture);
        let model = model.or_else(|| gpu.model.as_deref().map(str::to_owned));
        let texts = [
            (key::HW_NAME, gpu.minor.map(|minor| format!("nvidia{minor}"))),
            (key::HW_MODEL, model),
            (key::HW_SERIAL_NUMBER, serial.filter(|serial| serial != "0")),
            (key::HW_FIRMWARE_VERSION, vbios),
            (key::NVIDIA_BOARD_PART_NUMBER, part),
            (key::ACCEL_DEVICE_ADDRESS, gpu.pci.map(|pci| pci.to_string())),
            (
                key::NVIDIA_ARCHITECTURE,
                architecture.and_then(architecture_name).map(str::to_owned),
            ),
        ];
        let numbers = [
            (key::NVIDIA_GPU_INDEX, Some(gpu.index)),
            (key::NVIDIA_GPU_MINOR, gpu.minor),
        ];
        let numbers = numbers
            .into_iter()
            .filter_map(|(key, number)| Some((key, number?.into())));
        present(texts).chain(numbers).collect()
    }
}

impl Topic for Info {
    fn name(&self) -> &'static str {
        "info"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let known = self.of_gpus.get(&gpu.uuid);
        let of_gpu = match known {
            Some(known) if known.index == Some(gpu.index) => known.attributes.clone(),
            _ => {
                let mut read = Self::look(gpu, recorder);
                if gpu.health.lost || gpu.health.suspended {
                    // It is read again when it answers. Until then, what was read before, but for its place.
                    let before = known.into_iter().flat_map(|known| &known.attributes);
                    let place = [key::NVIDIA_GPU_INDEX, key::NVIDIA_GPU_MINOR, key::HW_NAME];
                    let more = before.filter(|(key, _)| !place.contains(key)).cloned();
                    let more: Vec<_> = more.filter(|(key, _)| read.iter().all(|(has, _)| has != key)).collect();
                    read.extend(more);
                } else {
                    let known = Known {
                        index: Some(gpu.index),
                        attributes: read.clone(),
                    };
                    self.of_gpus.insert(Arc::clone(&gpu.uuid), known);
                }
                read
            }
        };
        let attributes = self.of_library.iter().cloned().chain(of_gpu);
        recorder.gauge(&nvidia::DEVICE_INFO, &gpu.label, attributes, 1i64);
    }

    fn carry(&self) -> Option<serde_json::Value> {
        let texts = |known: &Known| {
            let text = |(key, value): &Attribute| match value {
                AttributeValue::Str(text) => Some((*key, text.to_string())),
                AttributeValue::Int(_) | AttributeValue::Bool(_) => None,
            };
            known.attributes.iter().filter_map(text).collect::<BTreeMap<_, _>>()
        };
        let all = self.of_gpus.iter().map(|(id, known)| (id, texts(known)));
        let all: BTreeMap<_, _> = all.collect();
        (!all.is_empty()).then(|| serde_json::to_value(all).ok()).flatten()
    }

    fn restore(&mut self, carried: serde_json::Value) {
        let carried: BTreeMap<Arc<str>, BTreeMap<String, String>> = serde_json::from_value(carried).unwrap_or_default();
        for (id, texts) in carried {
            let key = |name: &str| nvidia::DEVICE_INFO.attributes.iter().find(|key| **key == name);
            let attributes = texts
                .into_iter()
                .filter_map(|(name, text)| Some((*key(&name)?, text.into())));
            let attributes = attributes.collect();
            self.of_gpus.insert(
                id,
                Known {
                    index: None,
                    attributes,
                },
            );
        }
    }
}

fn present<const N: usize>(texts: [(&'static str, Option<String>); N]) -> impl Iterator<Item = Attribute> {
    texts.into_iter().filter_map(|(key, text)| Some((key, text?.into())))
}

/// nvml.h 13.5, `NVML_DEVICE_ARCH_*`.
const fn architecture_name(number: u32) -> Option<&'static str> {
    Some(match number {
        sys::NVML_DEVICE_ARCH_KEPLER => "kepler",
        sys::NVML_DEVICE_ARCH_MAXWELL => "maxwell",
        sys::NVML_DEVICE_ARCH_PASCAL => "pascal",
        sys::NVML_DEVICE_ARCH_VOLTA => "volta",
        sys::NVML_DEVICE_ARCH_TURING => "turing",
        sys::NVML_DEVICE_ARCH_AMPERE => "ampere",
        sys::NVML_DEVICE_ARCH_ADA => "ada",
        sys::NVML_DEVICE_ARCH_HOPPER => "hopper",
        sys::NVML_DEVICE_ARCH_BLACKWELL => "blackwell",
        // NVML_DEVICE_ARCH_RUBIN, which the bindings do not have.
        13 => "rubin",
        _ => return None,
    })
}
