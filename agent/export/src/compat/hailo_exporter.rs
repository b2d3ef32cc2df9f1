//! `jiiihwan/hailo_exporter` (Python, `prometheus_client` 0.21.1): one gauge, text 0.0.4 only.
//!
//! Without data it wrote 0; here the sample is absent, so that an idle NPU differs from a missing one. The metrics of its
//! Python process have no counterpart.

use std::sync::Arc;

use super::exposition::metrics_route;
use crate::http::Route;
use crate::prometheus::MetricsSource;
use accelscope_core::metric::{Resource, Series, catalogue};
use accelscope_core::percent;

const COMMENTS: &str = "# HELP hailo_NPU_utilization_percent Hailo NPU utilization from scheduler monitoring\n\
                        # TYPE hailo_NPU_utilization_percent gauge\n";

/// `/metrics` and `/`: the replaced exporter answered on any path, and these two are in use.
pub fn routes(source: &Arc<dyn MetricsSource>) -> Vec<Route> {
    let render = |series: &[Series], _: &Resource| render(series);
    ["/metrics", "/"]
        .map(|path| metrics_route(path, "the metrics of hailo_exporter", source, render))
        .into()
}

fn render(series: &[Series]) -> String {
    let highest = series
        .iter()
        .filter(|series| *series.instrument == catalogue::hw::NPU_UTILIZATION)
        .filter_map(|series| series.value.as_ref()?.as_f64())
        .max_by(f64::total_cmp);
    match highest {
        Some(ratio) => format!(
            "{COMMENTS}hailo_NPU_utilization_percent{{NPU=\"NPU\"}} {:?}\n",
            percent(ratio)
        ),
        None => COMMENTS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accelscope_core::metric::{Attributes, Timestamp, Value, key};

    fn npu(id: &str, value: Option<f64>) -> Series {
        Series {
            instrument: &catalogue::hw::NPU_UTILIZATION,
            attributes: Arc::new(Attributes::new([(key::HW_ID, id.into())])),
            value: value.map(Value::Double),
            time: Timestamp::from_unix_nanos(1),
            start: None,
        }
    }

    #[test]
    fn shows_the_busiest_live_device_in_percent() {
        let text = render(&[npu("a", Some(0.25)), npu("b", Some(0.5)), npu("ended", None)]);
        assert_eq!(
            text,
            "# HELP hailo_NPU_utilization_percent Hailo NPU utilization from scheduler monitoring\n\
             # TYPE hailo_NPU_utilization_percent gauge\n\
             hailo_NPU_utilization_percent{NPU=\"NPU\"} 50.0\n"
        );
    }

    #[test]
    fn a_percentage_is_shown_as_it_was_written() {
        for written in [
            "57.0",
            "0.1",
            "29.0",
            "99.9",
            "7.0",
            "0.10000000149011612",
            "33.29999923706055",
        ] {
            let ratio = written.parse::<f64>().unwrap() / 100.0;
            let text = render(&[npu("a", Some(ratio))]);
            assert!(text.ends_with(&format!("}} {written}\n")), "{text}");
        }
    }

    #[test]
    fn an_idle_npu_is_zero_and_an_unknown_one_is_absent() {
        assert!(render(&[npu("a", Some(0.0))]).ends_with("{NPU=\"NPU\"} 0.0\n"));
        assert!(!render(&[npu("a", None)]).contains("{NPU="));
    }
}
