//! What is read of a GPU, in groups: one topic a file.

use super::gpu::Gpu;
use super::sheet::Sheet;

/// A group of readings. Its state lives as long as the worker's process.
///
/// A topic that hangs in the driver is not read again of that GPU for a while; the others go on. So what may hang
/// apart is a topic of its own.
pub(super) trait Topic: Send {
    /// For the log and for `agent.sampler.skipped`: lower-case letters and `_`.
    fn name(&self) -> &'static str;

    /// Before any GPU is read: what must not be lost should one of them hang. What it tells belongs to no GPU.
    fn begin(&mut self, _sheet: &mut Sheet) {}

    /// Reads it of one GPU. Nothing is returned: what could not be read is noted in `sheet` and `gpu`.
    fn read(&mut self, gpu: &mut Gpu, sheet: &mut Sheet);

    /// After all GPUs were read: what belongs to none of them, or to one that cannot be read any more.
    fn finish(&mut self, _sheet: &mut Sheet) {}

    /// State that the next process must have, should this one be replaced: at most a few KiB.
    fn carry(&self) -> Option<serde_json::Value> {
        None
    }

    /// What [`carry`](Self::carry) gave in the process before.
    fn restore(&mut self, _carried: serde_json::Value) {}
}
