//! Identity of this machine.

use super::HostRoots;

/// Files of machine-id(5) and of the older D-Bus.
const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// An id has 32 bytes; a longer file has none.
const MOST_BYTES: usize = 256;

impl HostRoots {
    /// machine-id(5): 32 lower-case hexadecimal digits. `None` if there is none, or only the word `uninitialized` of a
    /// first boot, which would give different machines the same id.
    pub fn machine_id(&self) -> Option<String> {
        FILES.into_iter().find_map(|path| {
            let bytes = self.read_answering(path, MOST_BYTES).ok()?;
            let id = String::from_utf8(bytes).ok()?.trim().to_ascii_lowercase();
            (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
        })
    }
}
