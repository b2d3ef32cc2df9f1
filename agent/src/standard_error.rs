//! Standard error, of which the reader may have stopped to read: a journal that hangs, a container engine with a full disk.
//!
//! A write to a full pipe, socket or terminal waits until somebody reads, and with it the thread that pushes and serves.
//! Lines are given up instead. There is no thread and no queue, so that what was written is out when the process ends.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SendFlags;

use crate::runtime::count_suppressed;

/// Time that a reader has which is alive but slow, e.g. a serial console; none until it takes lines again after it let this
/// pass.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes for which there is room where poll(2) says so: `PIPE_BUF` of Linux (pipe(7)).
const PIPE_PIECE: usize = 4096;
/// The same for a terminal: a buffer of a pseudoterminal is allocated in units of 256 bytes (`TTYB_ALIGN_MASK`,
/// include/linux/tty_buffer.h), and a line feed may become two.
const TERMINAL_PIECE: usize = 128;
/// "The current position" for pwritev2(2), which all but files have only.
const NO_OFFSET: u64 = u64::MAX;

static STATE: Mutex<State> = Mutex::new(State::new());

/// Writes `text`, or as much of it as there is room for; whether it was all.
pub(crate) fn put(text: impl AsRef<[u8]>) -> bool {
    let error = io::stderr();
    let kind = Kind::of(error.as_fd());
    // Whole lines: another thread's is written before or after this one.
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.put(text.as_ref(), error.as_fd(), |bytes| kind.attempt(error.as_fd(), bytes))
}

/// Standard error for the lines of the log. A line that is given up is counted, and never an error, which the caller would
/// report on standard error.
#[derive(Debug, Default)]
pub(crate) struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !put(line) {
            count_suppressed(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is known of the reader.
#[derive(Debug)]
struct State {
    /// It did not read within [`PATIENCE`].
    is_stalled: bool,
    /// The end of the last line did not fit.
    is_cut: bool,
}

impl State {
    const fn new() -> Self {
        Self {
            is_stalled: false,
            is_cut: false,
        }
    }

    /// Writes by `attempt`, which fails with [`Errno::AGAIN`] where there is no room in `stream`.
    fn put(
        &mut self,
        text: &[u8],
        stream: BorrowedFd<'_>,
        mut attempt: impl FnMut(&[u8]) -> rustix::io::Result<usize>,
    ) -> bool {
        let text = if self.is_cut {
            [b"\n", text].concat()
        } else {
            text.to_vec()
        };
        let mut rest = &text[..];
        let mut may_wait = !self.is_stalled;
        let until = Instant::now() + PATIENCE;
        while !rest.is_empty() {
            match attempt(rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if may_wait => may_wait = has_room(stream, until - Instant::now().min(until)),
                // No room, or no reader any more.
                _ => break,
            }
        }
        if rest.len() < text.len() {
            self.is_cut = !rest.is_empty();
        }
        self.is_stalled = !rest.is_empty();
        rest.is_empty()
    }
}

/// Whether there is room within this time, or an error that the next write shows.
fn has_room(stream: BorrowedFd<'_>, within: Duration) -> bool {
    let within = Timespec {
        tv_sec: 0,
        // Less than a second.
        tv_nsec: within.subsec_nanos().into(),
    };
    poll(&mut [PollFd::from_borrowed_fd(stream, PollFlags::OUT)], Some(&within)).is_ok_and(|ready| ready > 0)
}

/// How not to wait for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    Terminal,
    /// A file, or a device such as `/dev/null`: nobody reads from it.
    Other,
}

impl Kind {
    fn of(stream: BorrowedFd<'_>) -> Self {
        let kind = rustix::fs::fstat(stream).map(|status| FileType::from_raw_mode(status.st_mode));
        match kind {
            Ok(FileType::Fifo) => Self::Pipe,
            Ok(FileType::Socket) => Self::Socket,
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(stream) => Self::Terminal,
            _ => Self::Other,
        }
    }

    /// Writes what there is room for, [`Errno::AGAIN`] where there is none. The open file is shared with other processes, so
    /// that it cannot be made non-blocking itself.
    fn attempt(self, stream: BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Pipe => {
                let written = rustix::io::pwritev2(stream, &[IoSlice::new(bytes)], NO_OFFSET, ReadWriteFlags::NOWAIT);
                match written {
                    // A pipe before Linux 6.4, one with a name, or one that splice(2) was used on (`FMODE_NOWAIT` in
                    // fs/pipe.c and fs/splice.c); a kernel or sandbox without the call.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::SPIPE) => {
                        if_room(stream, bytes, PIPE_PIECE)
                    }
                    written => written,
                }
            }
            Self::Socket => rustix::net::send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Self::Terminal => if_room(stream, bytes, TERMINAL_PIECE),
            Self::Other => rustix::io::write(stream, bytes),
        }
    }
}

/// Writes a piece if there is room for it. Another process that takes the room between the two calls would have this wait: what
/// the agent starts has other pipes.
fn if_room(stream: BorrowedFd<'_>, bytes: &[u8], piece: usize) -> rustix::io::Result<usize> {
    if !has_room(stream, Duration::ZERO) {
        return Err(Errno::AGAIN);
    }
    rustix::io::write(stream, bytes.get(..piece).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts these lines into a stream that takes so many bytes and, after each line, so many more.
    fn put_all(lines: &[&str], room: usize, more: usize) -> (String, Vec<bool>) {
        // Full, so that nothing waits for it to have room.
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        while has_room(writer.as_fd(), Duration::ZERO) {
            rustix::io::write(&writer, &[0; PIPE_PIECE]).unwrap();
        }
        let (mut state, mut room, mut taken) = (State::new(), room, Vec::new());
        let mut put = |line: &&str| {
            let whole = state.put(line.as_bytes(), writer.as_fd(), |bytes| {
                let written = bytes.get(..room).unwrap_or(bytes);
                taken.extend_from_slice(written);
                room -= written.len();
                if written.is_empty() {
                    Err(Errno::AGAIN)
                } else {
                    Ok(written.len())
                }
            });
            room += more;
            whole
        };
        let whole = lines.iter().map(&mut put).collect();
        (String::from_utf8(taken).unwrap(), whole)
    }

    #[test]
    fn a_line_after_one_that_was_cut_is_a_line_of_its_own() {
        let lines = ["one\n", "two\n", "three\n"];
        assert_eq!(put_all(&lines, 100, 0), ("one\ntwo\nthree\n".into(), vec![true; 3]));
        assert_eq!(
            put_all(&lines, 2, 5),
            ("on\ntwo\nthree".into(), vec![false, true, false])
        );
        assert_eq!(put_all(&lines, 0, 4), ("two\nthre".into(), vec![false, true, false]));
        assert_eq!(put_all(&lines, 2, 0), ("on".into(), vec![false; 3]));
    }

    #[test]
    fn a_full_pipe_takes_no_piece() {
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        let line = [b'.'; PIPE_PIECE + 1];
        while if_room(writer.as_fd(), &line, PIPE_PIECE).is_ok() {}
        assert_eq!(Kind::Pipe.attempt(writer.as_fd(), &line), Err(Errno::AGAIN));
    }
}
