//! What a program or library in the ELF format names: its interpreter, the libraries that are loaded with it, and where it has
//! them looked for.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use object::elf::{
    DT_AUDIT, DT_AUXILIARY, DT_DEPAUDIT, DT_FILTER, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRTAB, FileHeader32,
    FileHeader64, PT_DYNAMIC, PT_LOAD,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, FileKind};

/// First bytes of a file in this format.
pub(super) const MAGIC: &[u8] = b"\x7fELF";
/// Most entries of a file's dynamic section: a library of many parts has a hundred.
const MAX_ENTRIES: u64 = 4096;

/// What a file names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The loader of a program. The kernel takes the first.
    pub(super) interpreters: Vec<PathBuf>,
    /// Libraries, by name or path, with the loader's variables such as `$ORIGIN`: those that it needs, stands for or has looked
    /// over what it does.
    pub(super) libraries: Vec<OsString>,
    /// Directories, with these variables.
    pub(super) directories: Vec<OsString>,
}

/// The names in `file`, or what is wrong with it.
pub(super) fn names(file: File) -> Result<Names, String> {
    let data = ReadCache::new(file);
    let names = match FileKind::parse(&data) {
        Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>, _>(&data),
        Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>, _>(&data),
        _ => return Err("neither of 32 nor of 64 bits".to_owned()),
    };
    names.map_err(|error| error.to_string())?
}

fn read<'data, Elf, R>(data: R) -> object::read::Result<Result<Names, String>>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut names = Names::default();
    for segment in segments {
        if let Some(interpreter) = segment.interpreter(endian, data)? {
            names.interpreters.push(OsStr::from_bytes(interpreter).into());
        }
        if segment.p_type(endian) != PT_DYNAMIC {
            continue;
        }
        let size = size_of::<Elf::Dyn>() as u64;
        let filled: u64 = segment.p_filesz(endian).into();
        if filled > MAX_ENTRIES * size {
            return Ok(Err(format!("more than {MAX_ENTRIES} dynamic entries")));
        }
        let Some(dynamic) = segment.dynamic(endian, data)? else {
            continue;
        };
        let entries = || dynamic.iter().take_while(|entry| entry.tag(endian) != DT_NULL);
        // The loader takes the last.
        let table = entries().filter(|entry| entry.tag(endian) == DT_STRTAB).last();
        for entry in entries() {
            let tag = entry.tag(endian);
            if !NAMING.contains(&tag) {
                continue;
            }
            let text = table.and_then(|table| {
                let address = table.val(endian).checked_add(entry.val(endian))?;
                let is_loaded = |segment: &&Elf::ProgramHeader| segment.p_type(endian) == PT_LOAD;
                let mut loaded = segments.iter().filter(is_loaded);
                let place = loaded.find_map(|segment| {
                    let offset = address.checked_sub(segment.p_vaddr(endian).into())?;
                    let (at, size) = segment.file_range(endian);
                    (offset < size).then(|| at.checked_add(offset).zip(at.checked_add(size)))?
                })?;
                data.read_bytes_at_until(place.0..place.1, 0).ok()
            });
            let Some(text) = text.map(OsStr::from_bytes) else {
                return Ok(Err("a name that is not in it".to_owned()));
            };
            let parts = text.as_bytes().split(|byte| *byte == b':');
            let parts = parts.map(|part| OsStr::from_bytes(part).to_owned());
            match tag {
                DT_RPATH | DT_RUNPATH => names.directories.extend(parts),
                DT_AUDIT | DT_DEPAUDIT => names.libraries.extend(parts),
                _ => names.libraries.push(text.to_owned()),
            }
        }
    }
    Ok(Ok(names))
}

/// Entries that name what is loaded, or where that is (glibc 2.42: `elf_get_dynamic_info`, `_dl_map_object_deps`,
/// `audit_list_add_dynamic_tag`).
const NAMING: &[i64] = &[
    DT_NEEDED,
    DT_FILTER,
    DT_AUXILIARY,
    DT_AUDIT,
    DT_DEPAUDIT,
    DT_RPATH,
    DT_RUNPATH,
];
