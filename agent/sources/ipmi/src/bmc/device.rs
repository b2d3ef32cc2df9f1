//! The kernel's device (`ipmi_devintf`): messages go by ioctl, and poll(2) tells that one has come.
//!
//! Layouts and numbers are those of include/uapi/linux/ipmi.h, unchanged since Linux 2.6.

#![expect(unsafe_code, reason = "ioctls of the IPMI driver take structures with pointers")]

use std::ffi::{c_int, c_long, c_short, c_uint};
use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use accelscope_core::host::bounded::open_now;
use accelscope_core::host::poll;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use super::channel::{Channel, Command, Kind, Received, Target};

/// `IPMI_IOC_MAGIC`.
const MAGIC: u8 = b'i';
const RECEIVE_MSG_TRUNC: Opcode = opcode::read_write::<Recv>(MAGIC, 11);
const SEND_COMMAND: Opcode = opcode::read::<Req>(MAGIC, 13);
const SET_TIMING_PARMS: Opcode = opcode::read::<TimingParms>(MAGIC, 22);

/// `IPMI_SYSTEM_INTERFACE_ADDR_TYPE` and `IPMI_IPMB_ADDR_TYPE`.
const SYSTEM_INTERFACE: c_int = 0x0c;
const IPMB: c_int = 0x01;
/// `IPMI_BMC_CHANNEL`.
const BMC_CHANNEL: c_short = 0xf;
/// `IPMI_RESPONSE_RECV_TYPE`.
const RESPONSE: c_int = 1;
/// Longest message that the kernel has (`IPMI_MAX_MSG_LENGTH`, include/linux/ipmi_msgdefs.h).
const MAX_MESSAGE: usize = 272;
/// `IPMI_MAX_ADDR_SIZE`, and the two fields before.
const MAX_ADDRESS: usize = 40;
/// Wakes without a message, of one wait.
const MOST_WAKES: usize = 16;
/// For controllers behind the BMC: one more attempt, each of a second. The kernel's default is four of two seconds.
const TIMING: TimingParms = TimingParms {
    retries: 1,
    retry_time_ms: 1000,
};

/// `struct ipmi_msg`.
#[repr(C)]
#[derive(Debug)]
struct Msg {
    netfn: u8,
    cmd: u8,
    data_len: u16,
    data: *mut u8,
}

/// `struct ipmi_req`.
#[repr(C)]
#[derive(Debug)]
struct Req {
    addr: *mut u8,
    addr_len: c_uint,
    msgid: c_long,
    msg: Msg,
}

/// `struct ipmi_recv`.
#[repr(C)]
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the kernel's names")]
struct Recv {
    recv_type: c_int,
    addr: *mut u8,
    addr_len: c_uint,
    msgid: c_long,
    msg: Msg,
}

/// `struct ipmi_timing_parms`.
#[repr(C)]
#[derive(Debug)]
struct TimingParms {
    retries: c_int,
    retry_time_ms: c_uint,
}

/// `struct ipmi_system_interface_addr`, and with one byte more `struct ipmi_ipmb_addr`. Padding of the first is the last
/// byte of the second, so that one layout serves both.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Address {
    addr_type: c_int,
    channel: c_short,
    /// LUN of the BMC, or address of the other controller.
    first: u8,
    /// LUN of the other controller.
    second: u8,
}

impl From<Target> for Address {
    fn from(target: Target) -> Self {
        match target {
            Target::Bmc { lun } => Self {
                addr_type: SYSTEM_INTERFACE,
                channel: BMC_CHANNEL,
                first: lun,
                second: 0,
            },
            Target::Ipmb { channel, address, lun } => Self {
                addr_type: IPMB,
                channel: channel.into(),
                first: address,
                second: lun,
            },
        }
    }
}

/// The open device.
#[derive(Debug)]
pub(crate) struct Device(File);

impl Device {
    /// Opens it. For reading only: the driver asks for no more, whatever is sent. Of a node that is another driver's by now the
    /// opening may wait for something; it is not waited for.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let device = Self(open_now(path)?);
        let mut timing = TIMING;
        // SAFETY: the driver reads a `struct ipmi_timing_parms`, which this is, and keeps no pointer.
        unsafe { device.ioctl::<SET_TIMING_PARMS, _>(&mut timing) }?;
        Ok(device)
    }

    /// # Safety
    ///
    /// `NUMBER` must take a `T`, whose pointers must be valid for what the driver does with them.
    unsafe fn ioctl<const NUMBER: Opcode, T>(&self, argument: &mut T) -> Result<(), Errno> {
        // SAFETY: promised by the caller.
        unsafe { ioctl(&self.0, Updater::<NUMBER, T>::new(argument)) }
    }
}

impl Channel for Device {
    fn send(&mut self, id: i64, command: Command<'_>) -> io::Result<()> {
        let mut address = Address::from(command.target);
        let mut data = command.data.to_vec();
        let mut request = Req {
            addr: ptr::from_mut(&mut address).cast(),
            addr_len: size_of::<Address>() as c_uint,
            msgid: id as c_long,
            msg: Msg {
                netfn: command.netfn,
                cmd: command.cmd,
                data_len: u16::try_from(data.len()).map_err(io::Error::other)?,
                data: data.as_mut_ptr(),
            },
        };
        // SAFETY: a `struct ipmi_req`; the driver copies address and data, of the lengths given, before it returns.
        unsafe { self.ioctl::<SEND_COMMAND, _>(&mut request) }?;
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> io::Result<Option<Received>> {
        let until = Instant::now() + wait;
        for _ in 0..MOST_WAKES {
            let mut device = [PollFd::new(&self.0, PollFlags::IN)];
            if !poll::wait(&mut device, Some(until))? {
                return Ok(None);
            }
            match self.message() {
                Err(Errno::AGAIN | Errno::INTR) => {}
                message => return Ok(Some(message?)),
            }
        }
        Err(io::Error::other(
            "the driver says that there are messages, and has none",
        ))
    }
}

impl Device {
    /// The next message that is there.
    fn message(&self) -> Result<Received, Errno> {
        let mut address = [0_u64; MAX_ADDRESS / size_of::<u64>()];
        let mut data = vec![0; MAX_MESSAGE];
        let mut received = Recv {
            recv_type: 0,
            addr: address.as_mut_ptr().cast(),
            addr_len: MAX_ADDRESS as c_uint,
            msgid: 0,
            msg: Msg {
                netfn: 0,
                cmd: 0,
                data_len: MAX_MESSAGE as u16,
                data: data.as_mut_ptr(),
            },
        };
        // SAFETY: a `struct ipmi_recv`; the driver writes at most the lengths given to address and data.
        match unsafe { self.ioctl::<RECEIVE_MSG_TRUNC, _>(&mut received) } {
            // Of a longer message than any may be, what fits was copied.
            Ok(()) | Err(Errno::MSGSIZE) => {}
            Err(error) => return Err(error),
        }
        data.truncate(usize::from(received.msg.data_len));
        let kind = if received.recv_type == RESPONSE {
            Kind::Response
        } else {
            Kind::Other
        };
        Ok(Received {
            kind,
            #[allow(clippy::useless_conversion, reason = "no conversion on 64-bit targets")]
            id: received.msgid.into(),
            netfn: received.msg.netfn,
            cmd: received.msg.cmd,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The driver takes the size from the number: both follow from the layouts above. The expected ones were printed by a C
    /// program with linux/ipmi.h on x86-64.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn numbers_are_the_kernel_s() {
        assert_eq!(
            [RECEIVE_MSG_TRUNC, SEND_COMMAND, SET_TIMING_PARMS],
            [0xc030_690b, 0x8028_690d, 0x8008_6916]
        );
    }

    #[test]
    fn a_file_that_is_no_such_device_is_refused() {
        assert!(Device::open(Path::new("/dev/null")).is_err());
        let missing = Device::open(Path::new("/dev/none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
