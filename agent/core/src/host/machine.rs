//! Which machine this is.

use super::HostRoots;

/// machine-id(5) and D-Bus' older place of the same.
const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// The id has 32 bytes; what is longer is none.
const MOST_BYTES: usize = 256;

impl HostRoots {
    /// machine-id(5): 32 hexadecimal digits, in small letters. Nothing where there is none, or only the word
    /// `uninitialized` of a first boot, which would make different machines one.
    pub fn machine_id(&self) -> Option<String> {
        FILES.into_iter().find_map(|path| {
            let bytes = self.read(path, MOST_BYTES).ok()?;
            let id = String::from_utf8(bytes).ok()?.trim().to_ascii_lowercase();
            (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
        })
    }
}
