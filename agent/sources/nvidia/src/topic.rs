//! A topic: a group of readings of a GPU.

use super::gpu::Gpu;
use super::gpus::Gpus;
use super::recorder::Recorder;

/// A group of readings. Its state lives as long as the worker's process.
///
/// A topic that hangs in the driver is not read again of that GPU for a while; the others go on. So what may hang
/// apart is a topic of its own.
pub(super) trait Topic: Send {
    /// For the log and for `agent.sampler.skipped`: lower-case letters and `_`.
    fn name(&self) -> &'static str;

    /// Before any GPU is read: readings that must not be lost should one of them hang. They belong to no GPU.
    fn begin(&mut self, _gpus: &Gpus, _recorder: &mut Recorder) {}

    /// Reads it of one GPU. What could not be read is recorded in `recorder` and `gpu`.
    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder);

    /// After all GPUs were read: what belongs to none of them, or to one that cannot be read any more.
    fn finish(&mut self, _recorder: &mut Recorder) {}

    /// State that the next process must have, should this one be replaced: at most a few KiB.
    fn carry(&self) -> Option<serde_json::Value> {
        None
    }

    /// What [`carry`](Self::carry) gave in the process before.
    fn restore(&mut self, _carried: serde_json::Value) {}
}

/// A topic without a state of its own: its name, and what reads it.
pub(super) struct Stateless(pub(super) &'static str, pub(super) fn(&mut Gpu, &mut Recorder));

impl Topic for Stateless {
    fn name(&self) -> &'static str {
        self.0
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        (self.1)(gpu, recorder);
    }
}
