//! Export of the agent's log as OTLP, with OpenTelemetry's SDK.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, WithTonicConfig};
use opentelemetry_sdk::Resource as SdkResource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use super::log_limit::CallsiteLimit;
use accelscope_core::metric::{AttributeValue, Resource};
use accelscope_export::otlp::{Destination, channel};

/// Time for the last lines at shutdown.
const FLUSH: Duration = Duration::from_millis(400);

/// Crates that send the log; exporting their own events would never end.
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

/// Exporter of the log over gRPC, configured by `OTEL_EXPORTER_OTLP_LOGS_*` and `OTEL_EXPORTER_OTLP_*`, on the way that
/// measurements take too.
///
/// It uses the SDK's batch processor and not the agent's queue: lines are on standard error too, so their loss is tolerable.
#[derive(Debug)]
pub struct OwnLogs {
    provider: SdkLoggerProvider,
}

impl OwnLogs {
    /// An exporter to this destination. Requires a tokio runtime.
    pub fn new(to: &Destination, resource: &Resource) -> anyhow::Result<Self> {
        let exporter = LogExporter::builder().with_tonic().with_channel(channel(to)?).build()?;
        let attributes = resource
            .iter()
            .map(|(key, value)| KeyValue::new(key.to_owned(), sdk_value(value)));
        let resource = SdkResource::builder_empty().with_attributes(attributes).build();
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider })
    }

    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let senders = SENDERS.iter().map(|target| (*target, LevelFilter::OFF));
        let filter = Targets::new().with_default(LevelFilter::TRACE).with_targets(senders);
        OpenTelemetryTracingBridge::new(&self.provider)
            .with_filter(CallsiteLimit::default())
            .with_filter(filter)
    }

    /// Sends the remaining lines.
    pub async fn flush(self) {
        // The SDK blocks its caller, while its sender needs this thread.
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
