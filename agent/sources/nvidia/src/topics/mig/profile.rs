//! Names of MIG profiles, such as `1c.3g.40gb`: the slices of the compute instance if they are not all of its GPU
//! instance's, those of the GPU instance, and its memory.

use crate::nvml::MigSizes;

/// Profile of a compute instance: the suffix of the GPU's name (driver 470 and newer), otherwise derived from its
/// sizes.
pub(super) fn compute(name: Option<&str>, sizes: Option<&MigSizes>) -> Option<String> {
    let named = name
        .and_then(|name| name.rsplit_once(" MIG "))
        .map(|(_, profile)| profile.trim());
    match named {
        Some(profile) if !profile.is_empty() => Some(profile.to_owned()),
        _ => {
            let MigSizes {
                gpu_slices,
                compute_slices,
                memory_mib,
                ..
            } = *sizes?;
            // NVIDIA's names have whole GB, of which the driver reserves a little: 9728 MiB are 10gb.
            let gigabytes = memory_mib.div_ceil(1024);
            let whole = format!("{gpu_slices}g.{gigabytes}gb");
            Some(if compute_slices == gpu_slices {
                whole
            } else {
                format!("{compute_slices}c.{whole}")
            })
        }
    }
}

/// Profile of the GPU instance that contains a compute instance of that profile.
pub(super) fn gpu(compute: &str) -> &str {
    match compute.split_once('.') {
        Some((slices, rest)) if slices.ends_with('c') => rest,
        _ => compute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_named_as_nvidia_names_them() {
        let sizes = |gpu_slices, compute_slices, memory_mib| MigSizes {
            multiprocessors: 14,
            gpu_slices,
            compute_slices,
            memory_mib,
        };
        let name = Some("NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb");
        assert_eq!(compute(name, None).as_deref(), Some("1c.3g.40gb"));
        let plain = Some("NVIDIA A100-SXM4-80GB");
        assert_eq!(compute(plain, Some(&sizes(1, 1, 9728))).as_deref(), Some("1g.10gb"));
        assert_eq!(compute(None, Some(&sizes(3, 2, 40192))).as_deref(), Some("2c.3g.40gb"));
        assert_eq!(compute(plain, None), None);
        assert_eq!((gpu("1c.3g.40gb"), gpu("1g.10gb+me")), ("3g.40gb", "1g.10gb+me"));
    }
}
