//! Variables of the loader in the names of libraries and directories (ld.so(8), "Dynamic string tokens").

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What `$LIB` stands for, by distribution and by the program's word size. The loader has it built in (`DL_DST_LIB`).
const LIB: &[&str] = &[
    "lib",
    "lib64",
    #[cfg(target_arch = "x86_64")]
    "lib/x86_64-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "lib/i386-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "lib32",
    #[cfg(target_arch = "x86_64")]
    "libx32",
    #[cfg(target_arch = "aarch64")]
    "lib/aarch64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "lib/arm-linux-gnueabihf",
];

/// What `$PLATFORM` stands for: what the kernel says (`AT_PLATFORM`), and on x86-64 what glibc makes of the processor
/// (sysdeps/x86/cpu-features.c).
const PLATFORM: &[&str] = &[
    std::env::consts::ARCH,
    #[cfg(target_arch = "x86_64")]
    "haswell",
    #[cfg(target_arch = "x86_64")]
    "xeon_phi",
    #[cfg(target_arch = "x86_64")]
    "i686",
    #[cfg(target_arch = "aarch64")]
    "v8l",
];

/// Whether the loader may put something else into its place.
pub(super) fn has_variable(text: &OsStr) -> bool {
    text.as_bytes().contains(&b'$')
}

/// All that `text` may stand for in an object in one of the directories `origins`. A variable has one value in all of a text.
pub(super) fn expand(text: &OsStr, origins: &[PathBuf]) -> BTreeSet<OsString> {
    if !has_variable(text) {
        return BTreeSet::from([text.to_owned()]);
    }
    let mut found = BTreeSet::new();
    for origin in origins {
        for library in LIB {
            for platform in PLATFORM {
                let values = [
                    ("ORIGIN", origin.as_os_str()),
                    ("LIB", OsStr::new(library)),
                    ("PLATFORM", OsStr::new(platform)),
                ];
                found.insert(replaced(text.as_bytes(), &values));
            }
        }
    }
    found
}

/// As the loader does it, in one pass: `$NAME` and `${NAME}`. Other names stay (glibc, elf/dl-load.c, `_dl_dst_substitute`).
fn replaced(mut text: &[u8], values: &[(&str, &OsStr)]) -> OsString {
    let mut found = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        let variable = values.iter().filter(|_| *first == b'$').find_map(|(name, value)| {
            let braced = || {
                rest.strip_prefix(b"{")?
                    .strip_prefix(name.as_bytes())?
                    .strip_prefix(b"}")
            };
            let rest = rest.strip_prefix(name.as_bytes()).or_else(braced)?;
            Some((value, rest))
        });
        if let Some((value, rest)) = variable {
            found.extend(value.as_bytes());
            text = rest;
        } else {
            found.push(*first);
            text = rest;
        }
    }
    OsString::from_vec(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once_and_others_stay() {
        let all = |text: &str| {
            let found = expand(OsStr::new(text), &["/a/$LIB".into()]);
            found
                .into_iter()
                .map(|text| text.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(all("/plain"), ["/plain"]);
        assert_eq!(all("${ORIGIN}/x"), ["/a/$LIB/x"]);
        assert_eq!(all("$ORIGINx/$HOME/$"), ["/a/$LIBx/$HOME/$"]);
        let both = all("/$LIB/${LIB}");
        assert!(
            both.contains(&"/lib64/lib64".to_owned()) && !both.contains(&"/lib/lib64".to_owned()),
            "{both:?}"
        );
        assert_eq!(all("${PLATFORM}").len(), PLATFORM.len());
    }
}
