//! The list of sources that are built in, in the order in which they are shown.

use accelscope_core::source::Sources;

/// One line a source: its cargo feature and its crate.
macro_rules! sources {
    ($($feature:literal => $package:ident),* $(,)?) => {
        /// Every source that is built in.
        pub const SOURCES: Sources = &[$(#[cfg(feature = $feature)] &$package::SOURCE),*];

        /// The names of all sources, built in or not.
        pub(crate) const NAMES: &[&str] = &[$($feature),*];

        #[cfg(test)]
        #[test]
        fn each_line_has_the_name_of_its_source() {
            $(
                #[cfg(feature = $feature)]
                assert_eq!($feature, $package::SOURCE.name, "write the source's name in its line");
            )*
        }
    };
}

sources! {
    "hailo" => accelscope_hailo,
    "ascend" => accelscope_ascend,
    "nvidia" => accelscope_nvidia,
    "ioctl" => accelscope_ioctl,
    "kubelet" => accelscope_kubelet,
    "host" => accelscope_host,
    "power" => accelscope_power,
    "ipmi" => accelscope_ipmi,
    "kmsg" => accelscope_kmsg,
    "holders" => accelscope_holders,
}
