//! The linked ELF object.

use anyhow::{Context as _, Result, anyhow};
use object::build::elf::{Builder, SectionData};

/// Without DWARF, which is most of it and which no loader reads. BTF stays.
pub(super) fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(linked).context("the linker wrote no ELF object")?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        if name.starts_with(".debug") || name.starts_with(".rel.debug") {
            section.delete = true;
        }
    }
    builder.delete_orphans();
    // LLVM keeps all names in one section, the writer those of sections in their own.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder
        .write(&mut stripped)
        .context("cannot write the stripped object")?;
    Ok(stripped)
}

/// The first section in which two objects differ, of those that reach the kernel: code, maps, data, licence.
pub(super) fn difference(old: &[u8], new: &[u8]) -> Result<Option<String>> {
    let (old, new) = (sections(old)?, sections(new)?);
    let name = |(name, _): &(String, Vec<u8>)| name.clone();
    if old.len() != new.len() {
        return Ok(Some("(their number)".to_owned()));
    }
    Ok(old
        .iter()
        .zip(&new)
        .find(|(old, new)| old != new)
        .map(|(old, _)| name(old)))
}

fn sections(object: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let builder = Builder::read(object).context("not an ELF object")?;
    let mut found = Vec::new();
    for section in &builder.sections {
        let name = section.name.to_string();
        if !name.is_empty() && !name.starts_with(".BTF") && !name.starts_with(".rel.BTF") {
            let data = match &section.data {
                SectionData::Data(data) => data.to_vec(),
                other => format!("{other:?}").into_bytes(),
            };
            found.push((name, data));
        }
    }
    if found.is_empty() {
        Err(anyhow!("an object without sections"))
    } else {
        Ok(found)
    }
}
