//! Negotiation of the encoding, and of the text format, as `expfmt.NegotiateIncludingOpenMetrics` of `prometheus/common` 0.66 does it.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING};

use crate::prometheus::Format;

/// The format and its `Content-Type`.
///
/// The known clause with the highest quality is used, the first one of equals; without any, text 0.0.4. OpenMetrics 0.0.1
/// is not served: its clients accept other formats too. The names need no escaping, so that the schemes `underscores`,
/// `values` and `allow-utf-8` give the same result and are confirmed; `dots` is not.
pub(super) fn negotiate(headers: &HeaderMap) -> (Format, String) {
    let accept = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    let (format, escaping) = clauses
        .iter()
        .find_map(|clause| Some((clause.format()?, clause.escaping)))
        .unwrap_or((Format::Text, None));
    let media_type = match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    let escaping = escaping
        .filter(|scheme| ["allow-utf-8", "values"].contains(scheme))
        .unwrap_or("underscores");
    (format, format!("{media_type}; escaping={escaping}"))
}

/// Whether the client takes gzip, and not rather the text as it is (RFC 9110, section 12.5.3).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let all = headers.get_all(ACCEPT_ENCODING).iter();
    for clause in all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (coding, parameters) = clause.split_once(';').unwrap_or((clause, ""));
        let quality = parameters
            .trim()
            .strip_prefix("q=")
            .map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = quality,
            "identity" => identity = quality,
            "*" => any = quality,
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

struct Clause<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    escaping: Option<&'a str>,
    quality: f32,
}

impl<'a> Clause<'a> {
    /// `None` for a clause with `q=0`.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut clause = Self {
            media_type: parts.next()?,
            version: None,
            escaping: None,
            quality: 1.0,
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "version" => clause.version = Some(value),
                "escaping" => clause.escaping = Some(value),
                "q" => clause.quality = value.parse().ok().filter(|q: &f32| q.is_finite()).unwrap_or(1.0),
                _ => {}
            }
        }
        (clause.quality > 0.0).then_some(clause)
    }

    fn format(&self) -> Option<Format> {
        let is = |media_type: &str| self.media_type.eq_ignore_ascii_case(media_type);
        match self.version {
            None | Some("0.0.4") if is("text/plain") => Some(Format::Text),
            None | Some("1.0.0") if is("application/openmetrics-text") => Some(Format::OpenMetrics),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(accept: &str) -> String {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        negotiate(&headers).1
    }

    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";

    #[test]
    fn scrapers_get_what_they_prefer() {
        // What Prometheus 3.5 and 2.53 send.
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(answer(three), OPEN_METRICS.replace("underscores", "allow-utf-8"));
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(answer(two), OPEN_METRICS);
        assert_eq!(
            answer("text/plain;version=0.0.4;q=0.3, application/openmetrics-text;q=0.2"),
            TEXT
        );
        assert_eq!(answer("Application/OpenMetrics-Text; Version=\"1.0.0\""), OPEN_METRICS);
        assert_eq!(answer("text/plain;escaping=dots"), TEXT);
    }

    #[test]
    fn gzip_is_for_those_who_prefer_it() {
        for (accept, gzip) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0.5, identity", false),
            ("gzip; q=0", false),
            ("*;q=0.1, gzip;q=0", false),
            ("gzip;q=x", false),
            ("", false),
            ("br", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accept.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), gzip, "{accept}");
        }
    }

    #[test]
    fn without_a_known_format_the_answer_is_text() {
        for accept in [
            "*/*",
            "",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            ";;;=,,q=;",
            "text/plain;version=1.0.0;q=NaN",
        ] {
            assert_eq!(answer(accept), TEXT, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new()).1, TEXT);
    }
}
