//! The stand-in as a program; see the library's documentation.

fn main() -> std::process::ExitCode {
    fake_npu_smi::main(std::env::args_os().skip(1)).into()
}
