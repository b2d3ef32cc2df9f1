//! Messages of what starts the tool: the loader, a shell, nsenter or chroot.

use super::cause::Cause;
use super::error::{ToolError, quoted};

/// Parts of such messages, in lower case: all parts of a row must occur. The first match counts.
const MESSAGES: &[(&[&str], Cause)] = &[
    (&["nsenter", "failed to execute"], Cause::NotThere),
    (&["nsenter", "can't execute"], Cause::NotThere),
    (&["nsenter"], Cause::NoNamespace),
    (&["chroot", "failed to run command"], Cause::NotThere),
    (&["chroot", "can't execute"], Cause::NotThere),
    (&["chroot"], Cause::NoNamespace),
    (&["unshare:"], Cause::NoNamespace),
    // glibc's loader (elf/dl-load.c, elf/dl-version.c), then musl's (ldso/dynlink.c).
    (&["version `", "' not found"], Cause::OldRuntime),
    (&["libstdc++", "cannot open shared object file"], Cause::OldRuntime),
    (&["libgcc_s", "cannot open shared object file"], Cause::OldRuntime),
    (&["libc.so.6", "shared", "no such file"], Cause::NoLoader),
    (&["libm.so.6", "shared", "no such file"], Cause::NoLoader),
    (&["libdl.so.2", "shared", "no such file"], Cause::NoLoader),
    (&["libpthread.so.0", "shared", "no such file"], Cause::NoLoader),
    (&["static tls block"], Cause::Other),
    // With and without "error while loading shared libraries:": a program that loads it itself prints dlerror's text.
    (
        &["cannot open shared object file", "no such file"],
        Cause::MissingLibrary,
    ),
    (
        &["error while loading shared libraries", "no such file"],
        Cause::MissingLibrary,
    ),
    (&["unable to open shared object"], Cause::MissingLibrary),
    (&["shared object", "cannot allocate memory"], Cause::NoResources),
    (
        &["error while loading shared libraries", "cannot allocate memory"],
        Cause::NoResources,
    ),
    (&["error while loading shared libraries"], Cause::BadLibrary),
    (&["shared object"], Cause::BadLibrary),
    (&["invalid elf header"], Cause::BadLibrary),
    (&["wrong elf class"], Cause::BadLibrary),
    (&[".so", "file too short"], Cause::BadLibrary),
    (&["elf load command"], Cause::BadLibrary),
    (&["relocation error"], Cause::Mismatch),
    (&["ld-linux", "no such file"], Cause::NoLoader),
    (&["error loading shared library", "no such file"], Cause::MissingLibrary),
    (&["error loading shared library"], Cause::BadLibrary),
    (&["error relocating"], Cause::NoLoader),
    (&["symbol lookup error"], Cause::Mismatch),
    (&["undefined symbol"], Cause::Mismatch),
    // Shells, env and the kernel.
    (&["exec format error"], Cause::OtherArchitecture),
    (&["cannot execute binary file"], Cause::OtherArchitecture),
    (&["required file not found"], Cause::NoLoader),
    (&["bad interpreter"], Cause::NoLoader),
    (&["cannot allocate memory"], Cause::NoResources),
    (&["resource temporarily unavailable"], Cause::NoResources),
    (&["out of memory"], Cause::NoResources),
    (&["permission denied"], Cause::NotExecutable),
    (&["operation not permitted"], Cause::NotExecutable),
    (&["segmentation fault"], Cause::Crashed),
    (&["core dumped"], Cause::Crashed),
    (&["no such file or directory"], Cause::NotThere),
    (&["not found"], Cause::NotThere),
];

impl ToolError {
    /// The error in what was printed instead of a table: the tool's own, else that of what starts it.
    ///
    /// `printed` are both streams, standard error first.
    pub fn at_start<'a>(printed: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let lines: Vec<&str> = printed.into_iter().flat_map(str::lines).collect();
        // Another program's library that is preloaded everywhere: the loader goes on without it.
        let lines = || lines.iter().filter(|line| !line.contains("LD_PRELOAD"));
        let own = lines().find_map(|line| Self::in_line(line).filter(|error| error.code.is_some()));
        // The last line: a script goes on after what fails first, and ends with what stopped it.
        own.or_else(|| lines().rev().find_map(|line| starting(line)))
            .or_else(|| lines().find_map(|line| Self::in_line(line)))
    }
}

fn starting(line: &str) -> Option<ToolError> {
    let text = line.to_ascii_lowercase();
    let is_in = |parts: &&(&[&str], Cause)| parts.0.iter().all(|part| text.contains(part));
    let (_, cause) = MESSAGES.iter().find(is_in)?;
    Some(ToolError {
        cause: *cause,
        code: None,
        line: quoted(line),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn have_their_causes(cases: &[(String, Cause)]) {
        for (line, cause) in cases {
            let noise = "ERROR: ld.so: object 'x.so' from LD_PRELOAD cannot be preloaded (cannot open shared object file): \
                         ignored.";
            for printed in [line.clone(), format!("{noise}\n{line}\n"), format!("{line}\n{noise}")] {
                let error = ToolError::at_start(["", &printed]).unwrap();
                assert_eq!((error.cause, error.line.as_str()), (*cause, line.as_str()), "{printed}");
            }
        }
    }

    #[test]
    fn each_message_has_the_cause_that_its_remedy_cures() {
        let loading = "/usr/local/sbin/npu-smi: error while loading shared libraries:";
        let cases = [
            (
                format!("{loading} libc_sec.so: cannot open shared object file: No such file or directory"),
                Cause::MissingLibrary,
            ),
            (
                format!("{loading} libdcmi.so: cannot open shared object file: Permission denied"),
                Cause::BadLibrary,
            ),
            (
                format!("{loading} libdrvdsmi_host.so: wrong ELF class: ELFCLASS32"),
                Cause::BadLibrary,
            ),
            (
                format!("{loading} libstdc++.so.6: cannot open shared object file: No such file or directory"),
                Cause::OldRuntime,
            ),
            (
                "npu-smi: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by npu-smi)".to_owned(),
                Cause::OldRuntime,
            ),
            (
                "npu-smi: /lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by libdcmi.so)"
                    .to_owned(),
                Cause::OldRuntime,
            ),
            (
                "Error loading shared library libc_sec.so: No such file or directory (needed by npu-smi)".to_owned(),
                Cause::MissingLibrary,
            ),
            (
                "Error loading shared library ld-linux-aarch64.so.1: No such file or directory (needed by npu-smi)"
                    .to_owned(),
                Cause::NoLoader,
            ),
            (
                "npu-smi: symbol lookup error: npu-smi: undefined symbol: dcmi_get_device_x".to_owned(),
                Cause::Mismatch,
            ),
            (
                "nsenter: reassociate to namespace 'ns/mnt' failed: Operation not permitted".to_owned(),
                Cause::NoNamespace,
            ),
            (
                "nsenter: cannot open /proc/1/ns/mnt: Permission denied".to_owned(),
                Cause::NoNamespace,
            ),
            (
                "nsenter: failed to execute npu-smi: No such file or directory".to_owned(),
                Cause::NotThere,
            ),
            (
                "chroot: cannot change root directory to '/host': Operation not permitted".to_owned(),
                Cause::NoNamespace,
            ),
            ("/bin/sh: 1: npu-smi: not found".to_owned(), Cause::NotThere),
            (
                "sh: 1: /usr/local/sbin/npu-smi: Permission denied".to_owned(),
                Cause::NotExecutable,
            ),
            ("sh: 1: npu-smi: Exec format error".to_owned(), Cause::OtherArchitecture),
            (
                "bash: line 1: npu-smi: cannot execute: required file not found".to_owned(),
                Cause::NoLoader,
            ),
            (
                "dcmi model initialized failed, because the device is used. ret is -8020".to_owned(),
                Cause::DeviceInUse,
            ),
        ];
        have_their_causes(&cases);
        assert_eq!(
            ToolError::at_start(["\n", "DrvMngGetConsoleLogLevel failed. (ret=4)"]),
            None
        );
    }

    #[test]
    fn a_library_that_a_program_loads_itself_has_the_cause_that_the_loader_s_message_has() {
        let loading = "/usr/local/sbin/npu-smi: error while loading shared libraries:";
        have_their_causes(&[
            (
                "npu-smi: relocation error: npu-smi: symbol memcpy_s version X not defined in file libc_sec.so"
                    .to_owned(),
                Cause::Mismatch,
            ),
            (
                "dlopen failed: libdrvdsmi_host.so: cannot open shared object file: No such file or directory"
                    .to_owned(),
                Cause::MissingLibrary,
            ),
            (
                "libdcmi.so: cannot open shared object file: Permission denied".to_owned(),
                Cause::BadLibrary,
            ),
            (
                "dlopen: /usr/local/dcmi/libdcmi.so: failed to map segment from shared object".to_owned(),
                Cause::BadLibrary,
            ),
            (
                "/usr/local/dcmi/libdcmi.so: file too short".to_owned(),
                Cause::BadLibrary,
            ),
            (
                "libdcmi.so: failed to map segment from shared object: Cannot allocate memory".to_owned(),
                Cause::NoResources,
            ),
            (
                format!("{loading} libgomp.so.1: cannot allocate memory in static TLS block"),
                Cause::Other,
            ),
            (
                format!("{loading} libm.so.6: cannot open shared object file: No such file or directory"),
                Cause::NoLoader,
            ),
            (
                "qemu-aarch64-static: Could not open '/lib/ld-linux-aarch64.so.1': No such file or directory"
                    .to_owned(),
                Cause::NoLoader,
            ),
        ]);
    }

    #[test]
    fn a_long_line_is_cut_and_a_terminal_s_commands_are_escaped() {
        let line = format!("npu-smi: \u{1b}[2J\u{202e}not found\u{7} {}", "ä".repeat(1000));
        let error = ToolError::at_start([line.as_str()]).unwrap();
        assert!(
            error.line.starts_with("npu-smi: \\u{1b}[2J\\u{202e}not found\\u{7} ä"),
            "{}",
            error.line
        );
        assert!(error.line.ends_with("ä…") && error.line.len() < 400, "{}", error.line);
        assert!(!error.line.chars().any(char::is_control));
    }
}
