//! Who may ask the listeners, and how: TLS, secrets and names.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Config;
use super::compat::VIEWS;
use super::layers::{Layer, Merged, Raw};
use accelscope_core::settings;
use accelscope_core::settings::Check;
use accelscope_core::settings::textual::optional;
use accelscope_export::http::{Access, AllowedHosts, AuthFiles, TlsFiles};

settings! {
    /// TLS of a listener.
    pub struct ListenerTls {
        /// Path: the listener's certificate and those between it and the root (PEM); with key_file. With it the listener speaks
        /// HTTPS alone, to the kubelet's probes too (scheme: HTTPS). Files of this section are read again when they change.
        #[serde(with = "optional")]
        pub cert_file: Option<PathBuf> = None,
        /// Path: its key (PEM).
        #[serde(with = "optional")]
        pub key_file: Option<PathBuf> = None,
        /// Path: what signs the certificates of clients (PEM). With it every request needs one, but those of probes, such as
        /// /healthz and /readyz.
        #[serde(with = "optional")]
        pub client_ca_file: Option<PathBuf> = None,
    }
}

settings! {
    /// Authentication of a listener's clients; probes, such as /healthz and /readyz, need none. Where both files are set, each
    /// client uses one.
    pub struct ListenerAuth {
        /// Path: tokens for "Authorization: Bearer", one a line, so that the next one can be valid beside the old. Read again when
        /// it changes.
        #[serde(with = "optional")]
        pub bearer_token_file: Option<PathBuf> = None,
        /// Path: user:password for basic authentication, one a line, in clear text: give them long random passwords, and the file
        /// the mode 0600. Read again when it changes.
        #[serde(with = "optional")]
        pub basic_users_file: Option<PathBuf> = None,
    }
}

/// Gives each view what it does not set of the TLS and the authentication of `[http]`, with its origin.
pub(super) fn inherit(merged: &mut Merged) {
    let is_inherited = |path: &[String], raw: &Raw| {
        matches!(path, [http, section, _] if http == "http" && (section == "tls" || section == "auth"))
            && matches!(raw, Raw::Text(_) | Raw::Str(_))
    };
    let of_http: Layer = merged
        .iter()
        .filter(|(path, leaf)| is_inherited(path, &leaf.raw))
        .map(|(path, leaf)| (path[1..].to_vec(), leaf.clone()))
        .collect();
    for view in &VIEWS {
        let place = ["compat", view.section].map(str::to_owned);
        for (below, leaf) in &of_http {
            merged.add([place.as_slice(), below].concat(), leaf.clone());
        }
    }
}

/// Checks the sections `tls` and `auth` beside `listen`.
pub(super) fn validate(tls: &ListenerTls, auth: &ListenerAuth, listen: SocketAddr, check: &mut Check) {
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => check.error("tls.cert_file", "needs key_file beside it"),
        (None, Some(_)) => check.error("tls.key_file", "needs cert_file beside it"),
        (None, None) if tls.client_ca_file.is_some() => {
            check.error("tls.client_ca_file", "needs cert_file and key_file beside it");
        }
        _ => {}
    }
    for (key, file) in [
        ("tls.cert_file", &tls.cert_file),
        ("tls.key_file", &tls.key_file),
        ("tls.client_ca_file", &tls.client_ca_file),
        ("auth.bearer_token_file", &auth.bearer_token_file),
        ("auth.basic_users_file", &auth.basic_users_file),
    ] {
        if let Some(file) = file {
            check.absolute(key, file);
        }
    }
    let has_secrets = auth.bearer_token_file.is_some() || auth.basic_users_file.is_some();
    if has_secrets && tls.cert_file.is_none() && !listen.ip().to_canonical().is_loopback() {
        check.warn(
            "auth",
            "the secrets cross the network in clear text; set tls.cert_file and tls.key_file too",
        );
    }
}

impl Config {
    /// Access to the listener with this key of its address. `hosts` are the names of this machine.
    pub fn access(&self, key: &str, hosts: &AllowedHosts) -> Access {
        let view = VIEWS.iter().find(|view| view.key == key);
        let (_, tls, auth) = view.map_or((None, &self.http.tls, &self.http.auth), |view| view.of(&self.compat));
        let files = tls.cert_file.clone().zip(tls.key_file.clone());
        Access {
            hosts: AllowedHosts(hosts.0.iter().chain(&self.http.allowed_hosts).cloned().collect()),
            auth: AuthFiles {
                bearer_token_file: auth.bearer_token_file.clone(),
                basic_users_file: auth.basic_users_file.clone(),
            },
            tls: files.map(|(cert_file, key_file)| TlsFiles {
                cert_file,
                key_file,
                client_ca_file: tls.client_ca_file.clone(),
            }),
        }
    }
}
