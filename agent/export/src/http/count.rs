//! `agent.http.requests`.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::metrics::Counter;

use accelscope_core::metric::{catalogue, key};
use accelscope_core::telemetry;

pub(super) fn counter() -> Counter<u64> {
    telemetry::counter(&catalogue::agent::HTTP_REQUESTS)
}

/// Counts requests by route. A path without a route is not an attribute: clients could create any number of series.
pub(super) async fn count(State(requests): State<Counter<u64>>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| telemetry::label(key::HTTP_ROUTE, path.as_str().to_owned()));
    let response = next.run(request).await;
    let status = telemetry::label(key::HTTP_RESPONSE_STATUS_CODE, i64::from(response.status().as_u16()));
    let labels: Vec<_> = route.into_iter().chain([status]).collect();
    requests.add(1, &labels);
    response
}
