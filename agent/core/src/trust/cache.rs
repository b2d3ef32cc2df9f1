//! The loader's cache `/etc/ld.so.cache`: paths of libraries by their names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::refused::Refused;
use super::walk;

const PATH: &str = "/etc/ld.so.cache";
/// Longest cache that is read; that of a desktop is 200 KB.
const MAX_BYTES: usize = 8 << 20;
/// Beginning of the present format (glibc, `sysdeps/generic/dl-cache.h`), which may stand behind an older one.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Length of the header and of an entry, and where in the one the number of entries stands, in the other name and path: their
/// positions from the header on.
const HEADER: usize = 48;
const COUNT: usize = 20;
const ENTRY: usize = 24;
const NAME: usize = 4;
const VALUE: usize = 8;

/// The cache; empty where there is none.
#[derive(Debug, Default)]
pub(super) struct Cache(Vec<u8>);

impl Cache {
    /// The loader uses what is in it, whoever has written it.
    pub(super) fn read() -> Result<Self, Refused> {
        let Some(mut bytes) = walk::read(Path::new(PATH), MAX_BYTES)? else {
            return Ok(Self::default());
        };
        let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC);
        Ok(start.map(|start| Self(bytes.split_off(start))).unwrap_or_default())
    }

    /// The paths of the libraries of that name.
    pub(super) fn paths(&self, name: &OsStr) -> Vec<PathBuf> {
        let count = self.number(COUNT).unwrap_or_default();
        let entries = self.0.get(HEADER..).unwrap_or_default().chunks_exact(ENTRY).take(count);
        let found = (0..entries.len()).filter_map(|index| {
            let at = HEADER + index * ENTRY;
            (self.text(at + NAME)? == name.as_bytes()).then_some(())?;
            Some(PathBuf::from(OsStr::from_bytes(self.text(at + VALUE)?)))
        });
        found.collect()
    }

    /// The text whose position stands at `at`.
    fn text(&self, at: usize) -> Option<&[u8]> {
        self.0.get(self.number(at)?..)?.split(|byte| *byte == 0).next()
    }

    fn number(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(bytes)).ok()
    }
}
