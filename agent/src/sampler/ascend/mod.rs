//! Ascend: Huawei's NPUs, as the driver's own tool `npu-smi` tells of them.

pub mod npu_smi;
