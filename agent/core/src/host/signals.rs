//! Signal dispositions at the start of this process.

use rustix::process::Signal;

/// Whether this process was started with SIGHUP ignored, as `nohup` does. Installing a handler ends that.
pub fn is_hangup_ignored() -> bool {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & (1 << (Signal::HUP.as_raw() - 1)) != 0)
}
