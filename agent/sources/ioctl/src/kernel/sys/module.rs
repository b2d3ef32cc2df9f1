//! Type information that the kernel holds for its modules.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use aya_obj::generated::{bpf_btf_info, bpf_cmd};

use super::call::{bpf, empty, owned};

/// The type information of a module, as programs for the module's functions are loaded with. The kernel numbers all type
/// information in one sequence, which is searched for the module's name. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// `NotFound` if there is none of that name.
pub(in super::super) fn module_types(module: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    while let Some(next) = next_id(id)? {
        id = next;
        let mut attributes = empty();
        // SAFETY: the member of this command.
        unsafe { &mut attributes.__bindgen_anon_6 }.__bindgen_anon_1.btf_id = id;
        let fd = match bpf(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attributes) {
            Ok(fd) => owned(fd),
            // It has been removed in the meantime.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => return Err(error),
        };
        let mut name = [0_u8; 64];
        // SAFETY: all members are plain numbers, for which zero is a value.
        let mut info: bpf_btf_info = unsafe { std::mem::zeroed() };
        info.name = name.as_mut_ptr() as u64;
        info.name_len = name.len() as u32;
        let mut attributes = empty();
        // SAFETY: the member of this command.
        let query = unsafe { &mut attributes.info };
        query.bpf_fd = fd.as_raw_fd() as u32;
        query.info_len = size_of::<bpf_btf_info>() as u32;
        query.info = &raw mut info as u64;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        if info.kernel_btf == 1 && name.to_bytes() == module.as_bytes() {
            return Ok(fd);
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}

/// The id of type information that follows `id`.
fn next_id(id: u32) -> io::Result<Option<u32>> {
    let mut attributes = empty();
    // SAFETY: the member of this command.
    unsafe { &mut attributes.__bindgen_anon_6 }.__bindgen_anon_1.start_id = id;
    match bpf(bpf_cmd::BPF_BTF_GET_NEXT_ID, &mut attributes) {
        // SAFETY: the member of this command, into which the kernel wrote.
        Ok(_) => Ok(Some(unsafe { attributes.__bindgen_anon_6 }.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
