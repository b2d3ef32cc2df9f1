//! Tables of ioctl commands of drivers without a source of their own.

pub(crate) mod drm_core;
pub(crate) mod drm_drivers;
pub(crate) mod small;
