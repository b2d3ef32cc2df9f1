//! What the exporter logs in this process, by destination.

use std::io::{self, Write};
use std::sync::{Mutex, Once};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static START: Once = Once::new();

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Records from here on.
pub(crate) fn record() {
    START.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Sink).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The lines about this destination.
pub(crate) fn of(destination: &str) -> Vec<String> {
    let text = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
    let name = format!("destination=\"{destination}\"");
    text.lines()
        .filter(|line| line.contains(&name))
        .map(str::to_owned)
        .collect()
}
