//! Text as it is rendered: in pieces, compressed or not, so that it never lies in memory as a whole twice.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes of a piece, which is what a client that stopped reading holds of an answer that was given up. glibc gives blocks of
/// this size back to the system when they are freed.
pub(super) const PIECE: usize = 128 << 10;

/// What a rendered answer is written to.
pub struct Sink {
    encoder: Encoder,
    /// Of the compressor; pieces in memory refuse nothing.
    error: Option<io::Error>,
}

enum Encoder {
    Plain(Pieces),
    Gzip(Box<GzEncoder<Pieces>>),
}

impl Sink {
    pub(super) fn new(gzip: bool) -> Self {
        let pieces = Pieces::default();
        let encoder = if gzip {
            // CPU time matters more than size on a small board.
            Encoder::Gzip(Box::new(GzEncoder::new(pieces, Compression::fast())))
        } else {
            Encoder::Plain(pieces)
        };
        Self { encoder, error: None }
    }

    pub(super) fn finish(self) -> io::Result<Vec<Bytes>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut pieces = match self.encoder {
            Encoder::Plain(pieces) => pieces,
            Encoder::Gzip(encoder) => encoder.finish()?,
        };
        pieces.end_piece();
        Ok(pieces.full)
    }
}

impl fmt::Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let written = match &mut self.encoder {
            Encoder::Plain(pieces) => pieces.write_all(text.as_bytes()),
            Encoder::Gzip(encoder) => encoder.write_all(text.as_bytes()),
        };
        written.map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

#[derive(Default)]
struct Pieces {
    full: Vec<Bytes>,
    begun: Vec<u8>,
}

impl Pieces {
    fn end_piece(&mut self) {
        if !self.begun.is_empty() {
            let mut piece = std::mem::take(&mut self.begun);
            piece.shrink_to_fit();
            self.full.push(piece.into());
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.begun.len());
        self.begun.extend_from_slice(&bytes[..taken]);
        if self.begun.len() == PIECE {
            self.end_piece();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_are_of_one_size_and_together_the_text() {
        let text = "0123456789\n".repeat(40_000);
        for gzip in [false, true] {
            let mut sink = Sink::new(gzip);
            for line in text.split_inclusive('\n') {
                sink.write_str(line).unwrap();
            }
            let pieces = sink.finish().unwrap();
            let (last, full) = pieces.split_last().unwrap();
            assert!(full.iter().all(|piece| piece.len() == PIECE) && last.len() <= PIECE);
            let all = pieces.concat();
            if gzip {
                let mut unpacked = String::new();
                flate2::read::GzDecoder::new(&*all)
                    .read_to_string(&mut unpacked)
                    .unwrap();
                assert_eq!(unpacked, text);
            } else {
                assert_eq!(all, text.as_bytes());
            }
        }
    }
}
