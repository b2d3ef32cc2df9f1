//! The agent's own log as OTLP, by OpenTelemetry's SDK.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{ExporterBuildError, LogExporter};
use opentelemetry_sdk::Resource as SdkResource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use super::log_limit::CallsiteLimit;
use accelscope_core::metric::{AttributeValue, Resource};

/// What the last lines may take to be sent at the end.
const FLUSH: Duration = Duration::from_millis(400);

/// Crates that send the log: what they log in turn would never end.
const SENDERS: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "tonic",
    "tower",
];

/// Sends the log over gRPC, as `OTEL_EXPORTER_OTLP_LOGS_*` and `OTEL_EXPORTER_OTLP_*` say.
///
/// Log lines take the SDK's way and not the agent's queue: they are no measurements, and standard error has them too.
#[derive(Debug)]
pub struct OwnLogs {
    provider: SdkLoggerProvider,
}

impl OwnLogs {
    /// If `exporter`, the value of `OTEL_LOGS_EXPORTER`, asks for OTLP. Within a tokio runtime.
    pub fn wanted(exporter: Option<&str>, resource: &Resource) -> Result<Option<Self>, ExporterBuildError> {
        if exporter != Some("otlp") {
            return Ok(None);
        }
        let exporter = LogExporter::builder().with_tonic().build()?;
        let attributes = resource
            .iter()
            .map(|(key, value)| KeyValue::new(key.to_owned(), sdk_value(value)));
        let resource = SdkResource::builder_empty().with_attributes(attributes).build();
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self { provider }))
    }

    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let senders = SENDERS.iter().map(|target| (*target, LevelFilter::OFF));
        let filter = Targets::new().with_default(LevelFilter::TRACE).with_targets(senders);
        OpenTelemetryTracingBridge::new(&self.provider)
            .with_filter(CallsiteLimit::default())
            .with_filter(filter)
    }

    /// Sends what is left.
    pub async fn flush(self) {
        // The SDK blocks its caller, and its sender needs this thread.
        let sent = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH));
        tokio::time::timeout(FLUSH, sent).await.ok();
    }
}

fn sdk_value(value: &AttributeValue) -> opentelemetry::Value {
    match value {
        AttributeValue::Str(text) => text.to_string().into(),
        AttributeValue::Int(number) => (*number).into(),
        AttributeValue::Bool(truth) => (*truth).into(),
    }
}
