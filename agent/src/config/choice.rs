//! Settings that take one word of a few.

use super::units::Textual;
use accelscope_export::compat::gpu_process_exporter::PidFormat;
use accelscope_export::otlp::{Compression, Protocol};

/// Whether a sampler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enabled {
    /// It looks for its hardware, and is quiet where there is none.
    #[default]
    Auto,
    /// It must run: that it cannot is an error.
    True,
    /// It does not run.
    False,
}

/// Who is asked about Ascend NPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AscendBackend {
    /// The library where it can be loaded, else the tool.
    #[default]
    Auto,
    /// The tool `npu-smi`.
    NpuSmi,
    /// The library `libdcmi.so`.
    Dcmi,
}

/// Which log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What stops the main job.
    Error,
    /// What costs data or needs a hand.
    Warn,
    /// What changed.
    #[default]
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As `tracing` and its filters call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn pick<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    Err(format!("{text:?} is not known here; write {}", known.join(" or ")))
}

macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:path),+) => {
        impl Textual for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, String> {
                pick(text, &[$(($word, $value)),+])
            }

            fn show(&self) -> String {
                match self {
                    $($value => $word.to_owned(),)+
                }
            }
        }
    };
}

words!(Enabled, "\"auto\", true or false", "auto" => Enabled::Auto, "true" => Enabled::True, "false" => Enabled::False);
words!(AscendBackend, "a way to ask", "auto" => AscendBackend::Auto, "npu-smi" => AscendBackend::NpuSmi, "dcmi" => AscendBackend::Dcmi);
words!(LogLevel, "a log level", "error" => LogLevel::Error, "warn" => LogLevel::Warn, "info" => LogLevel::Info,
    "debug" => LogLevel::Debug, "trace" => LogLevel::Trace);
words!(LogFormat, "\"text\" or \"json\"", "text" => LogFormat::Text, "json" => LogFormat::Json);
words!(Protocol, "\"grpc\" or \"http/protobuf\"", "grpc" => Protocol::Grpc, "http/protobuf" => Protocol::HttpProtobuf);
words!(PidFormat, "\"raw\" or \"gpu_prefixed\"", "raw" => PidFormat::Raw, "gpu_prefixed" => PidFormat::GpuPrefixed);
words!(Compression, "\"gzip\" or \"none\"", "gzip" => Compression::Gzip, "none" => Compression::None);
