//! Loopback ports for servers that tests start.
//!
//! A port that the kernel chose for `bind(0)` may be taken again before the server binds it: the kernel assigns the
//! same range to outgoing connections. Ports below that range are assigned only on request.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Above the ports of services that a machine may have, below the kernel's own (`net.ipv4.ip_local_port_range`, by default
/// from 32768 on).
const FIRST: u32 = 16_384;
const COUNT: u32 = 16_384;
/// Distance between the first ports of concurrent test programs, for at least some hundred consecutive process ids.
const APART: u32 = 31;

/// A TCP port of the loopback without a listener; each port is given out once per process until thousands were used.
///
/// # Panics
///
/// If all are taken.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(APART)));
    (0..COUNT)
        .map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("the ports from {FIRST} on are all taken"))
}

/// The same as an address.
///
/// # Panics
///
/// If all are taken.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}
