//! What a program or library in the ELF format names: its interpreter, the libraries that it needs, and where it has them
//! looked for.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use object::elf::{
    DT_AUXILIARY, DT_FILTER, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, FileHeader32, FileHeader64,
    PT_LOAD,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, FileKind};

/// Most names that are taken of one file.
const MAX_NAMES: usize = 256;

/// What a file names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The loader of a program.
    pub(super) interpreter: Option<PathBuf>,
    /// Libraries, by name or path.
    pub(super) needed: Vec<PathBuf>,
    /// Directories, with the loader's variables such as `$ORIGIN`.
    pub(super) directories: Vec<String>,
}

/// The names in `file`; nothing for a file of another format, which the loader refuses.
pub(super) fn names(file: File) -> Names {
    let data = ReadCache::new(file);
    let names = match FileKind::parse(&data) {
        Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>, _>(&data),
        Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>, _>(&data),
        _ => return Names::default(),
    };
    // So does it refuse a damaged file.
    names.unwrap_or_default()
}

fn read<'data, Elf, R>(data: R) -> object::read::Result<Names>
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
            names.interpreter = Some(OsStr::from_bytes(interpreter).into());
        }
        let Some(dynamic) = segment.dynamic(endian, data)? else {
            continue;
        };
        let value = |tag| {
            dynamic
                .iter()
                .find(|entry| entry.tag(endian) == tag)
                .map(|entry| entry.val(endian))
        };
        let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
            continue;
        };
        let mut strings: &[u8] = &[];
        for loaded in segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD) {
            let range = loaded.data_range(endian, data, address, size);
            strings = range.ok().flatten().unwrap_or(strings);
        }
        let string = |at: u64| {
            let text = strings.get(usize::try_from(at).ok()?..)?;
            text.split(|byte| *byte == 0).next()
        };
        let entries = dynamic.iter().take_while(|entry| entry.tag(endian) != DT_NULL);
        for entry in entries.take(MAX_NAMES) {
            let Some(text) = string(entry.val(endian)) else {
                continue;
            };
            match entry.tag(endian) {
                DT_NEEDED | DT_AUXILIARY | DT_FILTER => names.needed.push(OsStr::from_bytes(text).into()),
                DT_RPATH | DT_RUNPATH => names
                    .directories
                    .extend(String::from_utf8_lossy(text).split(':').map(str::to_owned)),
                _ => {}
            }
        }
    }
    Ok(names)
}
