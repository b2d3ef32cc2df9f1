//! A `libdcmi.so` with answers defined by a script, for the tests of the agent's worker.
//!
//! It writes numbers to the offsets that gcc gives to the fields of the vendor's public declarations on 64-bit Linux,
//! and knows nothing of the agent's structures. The script is the file with the library's path and `.script` behind it;
//! it is read at every call:
//!
//! ```text
//! cards 4:1 7:2               card 4 with one chip, card 7 with two
//! devices 0 1                 a 950 with these ids instead: then no dcmi_* function is supported
//! fail FUNCTION ADDRESS CODE  ADDRESS is *, CARD/CHIP or ID
//! hang FUNCTION ADDRESS [once]
//! crash FUNCTION ADDRESS
//! print FUNCTION ADDRESS TEXT
//! value FUNCTION ADDRESS KIND NUMBER...   KIND is -, or the number of what is asked for
//! grow FUNCTION ADDRESS BYTES that many bytes 0xff behind the structure, as a newer library might write
//! processes ADDRESS PID:BYTES...
//! ```
//!
//! Aborts the process on uses that the vendor forbids: calls from several threads, or two initialisations.
#![allow(
    unsafe_code,
    clippy::missing_safety_doc,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it stands for a library written in C"
)]

mod functions;
mod script;

use std::ffi::{c_int, c_void};
use std::process::abort;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

use script::Script;

const NOT_SUPPORTED: c_int = -8255;
const NOT_STARTED: c_int = -8005;

static CALLER: OnceLock<ThreadId> = OnceLock::new();
static STARTED: AtomicBool = AtomicBool::new(false);

/// Actions at the start of every call: `Err` is the return code.
fn enter(function: &str, address: &str) -> Result<Script, c_int> {
    let us = std::thread::current().id();
    if *CALLER.get_or_init(|| us) != us {
        eprintln!("fake libdcmi: {function} was called by a second thread");
        abort();
    }
    let script = Script::read();
    script.act(function, address);
    let is_newer = function.starts_with("dcmiv2_");
    if is_newer != script.is_950() {
        return Err(NOT_SUPPORTED);
    }
    if let Some(code) = script.code(function, address) {
        return Err(code);
    }
    if function.ends_with("_init") {
        if STARTED.swap(true, Ordering::SeqCst) {
            eprintln!("fake libdcmi: it was started twice");
            abort();
        }
    } else if !STARTED.load(Ordering::SeqCst) {
        return Err(NOT_STARTED);
    }
    Ok(script)
}

/// A structure that the caller provides.
#[derive(Clone, Copy)]
struct At(*mut c_void);

impl At {
    fn bytes(self, offset: usize, bytes: &[u8]) {
        // Not aligned by itself: C would write the same bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.cast::<u8>().add(offset), bytes.len()) }
    }

    fn four(self, offset: usize, number: i64) {
        self.bytes(offset, &(number as u32).to_ne_bytes());
    }

    fn eight(self, offset: usize, number: i64) {
        self.bytes(offset, &(number as u64).to_ne_bytes());
    }
}
