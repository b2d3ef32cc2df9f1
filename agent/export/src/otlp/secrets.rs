//! What no message shows, though a receiver repeats it: the endpoint's query and the values of its headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use url::Url;

/// Shortest text that is taken for a secret: shorter ones stand in messages by chance.
const MIN_SECRET_BYTES: usize = 6;

/// Shortest beginning of a secret at the end of a text that is taken for one.
const MIN_PART_BYTES: usize = 4;

/// Shortest run of letters and digits of a secret that is taken for one: a receiver may repeat the rest in another encoding (JSON,
/// percent, HTML).
const MIN_RUN_BYTES: usize = 8;

/// Secrets of one destination, the longest first: what contains another one is replaced before it.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those in the query of this endpoint and in the values of these headers that are long enough.
    pub(super) fn of(endpoint: &Url, headers: &HeaderMap) -> Self {
        let query = endpoint.query().map(str::to_owned);
        let pairs = query.iter().flat_map(|query| query.split('&'));
        let pairs = pairs.filter_map(|pair| Some(pair.split_once('=')?.1.to_owned()));
        let decoded = endpoint.query_pairs().map(|(_, value)| value.into_owned());
        let query = query.iter().cloned().chain(pairs).chain(decoded).collect::<Vec<_>>();
        let values = headers.values().filter_map(|value| value.to_str().ok());
        // Of "Bearer x" or "Basic x" the latter alone may be repeated too.
        let values = values.flat_map(|value| [Some(value), value.split_once(' ').map(|(_, value)| value)]);
        let values: Vec<String> = values.flatten().map(str::to_owned).collect();
        // `user:password` of "Basic", and the password alone.
        let basic = values
            .iter()
            .filter_map(|value| String::from_utf8(STANDARD.decode(value).ok()?).ok());
        let basic: Vec<String> = basic.collect();
        let passwords = basic.iter().filter_map(|pair| Some(pair.split_once(':')?.1.to_owned()));
        let all = query
            .into_iter()
            .chain(values)
            .chain(passwords)
            .chain(basic.iter().cloned());
        let mut all: Vec<String> = all.filter(|text| text.len() >= MIN_SECRET_BYTES).collect();
        let pairs = all.iter().flat_map(|text| text.split(['&', ';'])).map(str::trim_start);
        let unnamed = pairs.map(|pair| &pair[name(pair)..]);
        let runs = unnamed.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()));
        let runs: Vec<String> = runs
            .filter(|run| run.len() >= MIN_RUN_BYTES)
            .map(str::to_owned)
            .collect();
        all.extend(runs);
        all.sort_by_key(|text| std::cmp::Reverse(text.len()));
        all.dedup();
        Self(all)
    }

    /// Leaves them out of the text, and what may be the beginning of one where the text ends.
    pub(super) fn leave_out(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret) {
                *text = text.replace(secret, "…");
            }
        }
        if let Some(length) = self.0.iter().filter_map(|secret| beginning(secret, text)).max() {
            text.truncate(text.len() - length);
            text.push('…');
        }
    }
}

/// How much of the end of the text is the beginning of this secret: a text may end within one, where what was read of it did.
fn beginning(secret: &str, text: &str) -> Option<usize> {
    let named = name(secret);
    let shortest = MIN_PART_BYTES.max(named + 1);
    let ends = secret.char_indices().map(|(end, _)| end);
    let found = ends
        .filter(|end| *end >= shortest)
        .filter(|end| text.ends_with(&secret[..*end]));
    Some(found.max()? - named)
}

/// Bytes of what only names the secret behind it: `Bearer `, `api_key=`, `user:`. That stands in messages by right.
fn name(secret: &str) -> usize {
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|c| c.is_ascii_alphabetic() || matches!(c, b'_' | b'-'))
    };
    match secret.split_once([' ', '=', ':']) {
        Some((name, value)) if is_name(name) && value.contains(|c: char| c.is_ascii_alphanumeric()) => name.len() + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(endpoint: &str, header: &'static str, text: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", header.parse().unwrap());
        let mut text = text.to_owned();
        Secrets::of(&endpoint.parse().unwrap(), &headers).leave_out(&mut text);
        text
    }

    #[test]
    fn a_text_that_ends_within_a_secret_loses_that_end() {
        let endpoint = "https://c.example/v1/metrics?api_key=s3same&team=ml";
        for (text, expected) in [
            ("bad token 'Bearer hunt", "bad token 'Bearer …"),
            ("bad token 'Bearer h", "bad token 'Bearer …"),
            ("bad token hunter", "bad token …"),
            ("no such api_key=s3sa", "no such api_key=…"),
            ("no such s3sam", "no such …"),
        ] {
            assert_eq!(left(endpoint, "Bearer hunter2", text), expected, "{text}");
        }
        // User and password, of which a receiver may repeat the decoded form.
        assert_eq!(left(endpoint, "Basic bWU6aHVudGVyMg==", "wrong me:hun"), "wrong me:…");
    }

    #[test]
    fn what_only_names_a_secret_stays() {
        let endpoint = "https://c.example/v1/metrics?api_key=s3same&subscription-key=s3cret";
        for text in [
            "use a Bear",
            "expected Bearer",
            "expected Bearer ",
            "missing api_key",
            "missing api_key=",
            "missing subscription-key",
            "no hun",
        ] {
            assert_eq!(left(endpoint, "Bearer hunter2", text), text);
        }
        assert_eq!(
            left(endpoint, "Basic dXNlcm5hbWU6aHVudGVyMg==", "no such user"),
            "no such user"
        );
        // The beginning is the secret itself.
        assert_eq!(left(endpoint, "hunter2==", "no hunt"), "no …");
        assert_eq!(left(endpoint, "hunter2:9", "no hunter"), "no …");
    }
}
