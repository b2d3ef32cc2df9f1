//! The stand-in as a program; the library's documentation lists what it takes.

fn main() -> std::process::ExitCode {
    fake_npu_smi::main(std::env::args_os().skip(1)).into()
}
