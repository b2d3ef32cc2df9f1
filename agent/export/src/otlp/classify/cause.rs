//! Why there was no answer, and what helps.

use std::net::IpAddr;

/// What tells one failure from another, and its remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::otlp) struct Cause {
    pub(in crate::otlp) reason: &'static str,
    pub(in crate::otlp) remedy: &'static str,
}

pub(super) const OTHER: Cause = Cause {
    reason: "network",
    remedy: "trying again; check that the endpoint is up, and that port, protocol and http:// or https:// are those of \
             the receiver",
};

pub(super) const TIMEOUT: Cause = Cause {
    reason: "timeout",
    remedy: "trying again with smaller requests; check that the receiver is not stuck, that no firewall discards what is \
             sent to it, and that http:// or https:// is right; on a slow link raise timeout",
};

pub(super) const CONNECT_TIMEOUT: Cause = Cause {
    reason: "timeout",
    remedy: "trying again; check that the receiver and the proxy before it are not stuck, that no firewall discards what is \
             sent to them, that this node's DNS answers, and that http:// or https:// is right",
};

impl Cause {
    /// The cause of a connection's error, found by the words of rustls 0.23, h2 0.4, hyper 1 and the system: these name the
    /// symptom, not the setting that is wrong, and h2 keeps only the text of what is below it.
    pub(super) fn of(message: &str) -> Self {
        if names_no_address(message) {
            return ADDRESS;
        }
        let found = CERTIFICATE
            .iter()
            .chain(CAUSES)
            .find(|(symptoms, ..)| symptoms.iter().any(|symptom| message.contains(symptom)));
        found.map_or(OTHER, |(_, reason, remedy)| Self { reason, remedy })
    }
}

/// A name in the certificate does not cover an address, even if it leads there (RFC 9110, 4.3.5).
const ADDRESS: Cause = Cause {
    reason: "tls_address",
    remedy: "trying again; the receiver's certificate does not name this address: write a host that it names into the endpoint, \
             or issue one with subjectAltName=IP: and the address",
};

/// Whether the certificate has names, and the endpoint has an address that is none of them.
fn names_no_address(message: &str) -> bool {
    let wanted = message.split_once("certificate not valid for name \"");
    let wanted = wanted.and_then(|(_, rest)| rest.split_once('"'));
    wanted.is_some_and(|(name, rest)| name.parse::<IpAddr>().is_ok() && rest.contains("is only valid for"))
}

/// Symptoms, reason and remedy.
type Row = (&'static [&'static str], &'static str, &'static str);

/// What is wrong with the receiver's certificate, or with one above it, by the words of rustls 0.23 and rustls-webpki 0.103.
const CERTIFICATE: &[Row] = &[
    (
        &["is not valid for any names"],
        "tls_no_alternative_name",
        "trying again; the receiver's certificate has no subjectAltName, and its common name (CN) does not count: issue one with \
         subjectAltName=DNS: and the endpoint's host, or IP: and its address",
    ),
    (
        &["extended key usage", "InvalidPurpose", "EmptyEkuExtension"],
        "tls_purpose",
        "trying again; the receiver's certificate is not one of a server: issue one with extendedKeyUsage=serverAuth",
    ),
    (
        &["CaUsedAsEndEntity"],
        "tls_authority_as_server",
        "trying again; the receiver's certificate is one of an authority (CA:TRUE, as `openssl req -x509` makes it): issue the \
         receiver one of its own with basicConstraints=CA:FALSE, signed by that authority, and name the authority's in ca_file",
    ),
    (
        &["EndEntityUsedAsCa"],
        "tls_issuer",
        "trying again; what signed the receiver's certificate, or one above it, is no authority: issue the signer's certificate \
         with basicConstraints=critical,CA:TRUE",
    ),
    (
        &["PathLenConstraintViolated"],
        "tls_issuer",
        "trying again; there are more authorities between the receiver's certificate and the one in ca_file than an authority \
         among them allows: issue its certificate with a larger pathlen",
    ),
    (
        &["NameConstraintViolation"],
        "tls_issuer",
        "trying again; the authority may not issue certificates for the names in the receiver's one (nameConstraints): have it \
         issued by another authority, or for other names",
    ),
    (
        &["UnsupportedCertVersion"],
        "tls_version",
        "trying again; the receiver's certificate, or one above it, is of X.509 version 1: issue one of version 3, which has \
         extensions (`openssl x509 -req -extfile`), among them subjectAltName",
    ),
    (
        &["UnsupportedSignatureAlgorithm"],
        "tls_algorithm",
        "trying again; the receiver's certificate, or one above it, is signed by SHA-1 or an algorithm that is not supported: \
         issue it with SHA-256 and RSA of 2048 bits or more, ECDSA (P-256, P-384) or Ed25519",
    ),
    (
        &["BadSignature"],
        "tls_signature",
        "trying again; a signature of the receiver or in its certificate does not hold: its RSA key or that of its authority has \
         less than 2048 bits, or ca_file has another authority of the same name: issue it with a longer key, or renew ca_file",
    ),
    (
        &["UnsupportedCriticalExtension"],
        "tls_extension",
        "trying again; the receiver's certificate, or one above it, has a critical extension that is not known: issue it without",
    ),
];

/// The first row counts whose symptom is in the message.
const CAUSES: &[Row] = &[
    // The message holds the remedy.
    (
        &["answered 407 Proxy Authentication Required to CONNECT"],
        "proxy_407",
        "trying again",
    ),
    (&[" to CONNECT "], "proxy_refused", "trying again"),
    (&["did not answer CONNECT"], "proxy_broken", "trying again"),
    (&["the proxy http"], "proxy", "trying again"),
    (
        &["certificate expired", "certificate: Expired"],
        "tls_expired",
        "trying again; the receiver's certificate has expired: renew it there, or set the clock of this node",
    ),
    (
        &["certificate not valid yet", "NotValidYet"],
        "tls_not_yet_valid",
        "trying again; the receiver's certificate is not valid yet: set the clock of this node, or the certificate's start",
    ),
    (
        &["UnknownIssuer"],
        "tls_unknown_issuer",
        "trying again; name the certificate of the authority that signed the receiver's in ca_file, and have the receiver send \
         those of the authorities in between",
    ),
    (
        &["not valid for name", "NotValidForName"],
        "tls_name",
        "trying again; write the host as the receiver's certificate has it",
    ),
    (
        &["invalid peer certificate"],
        "tls_certificate",
        "trying again; the receiver's certificate is not usable: have it issued anew, for a server, by a current authority",
    ),
    (
        &["CertificateRequired"],
        "tls_client_certificate_required",
        "trying again; the receiver wants a client certificate: set cert_file and key_file",
    ),
    (
        &["fatal alert: UnknownCA"],
        "tls_client_unknown_ca",
        "trying again; the receiver does not know the authority of this client's certificate: use a cert_file from one \
         that it trusts, or add the authority there",
    ),
    (
        &["fatal alert: CertificateExpired", "fatal alert: CertificateRevoked"],
        "tls_client_certificate_expired",
        "trying again; this client's certificate has expired or was revoked: renew cert_file, or set the receiver's clock",
    ),
    (
        &[
            "fatal alert: BadCertificate",
            "fatal alert: CertificateUnknown",
            "fatal alert: UnsupportedCertificate",
            "fatal alert: DecryptError",
            "fatal alert: AccessDenied",
        ],
        "tls_client_certificate_refused",
        "trying again; the receiver refuses this client's certificate, or misses one: set cert_file and key_file to what it \
         accepts",
    ),
    (
        &["fatal alert: UnrecognisedName"],
        "tls_name",
        "trying again; the receiver does not know this host name: write the host as its certificate has it",
    ),
    (
        &["NoApplicationProtocol"],
        "tls_no_http2",
        "trying again; what listens there speaks no gRPC over TLS: set protocol = \"http/protobuf\", or the port of gRPC",
    ),
    (
        &["InvalidContentType", "InvalidMessage"],
        "no_tls",
        "trying again; what listens there speaks no TLS: write http:// before the host, or set the right port",
    ),
    (
        &[
            "fatal alert",
            "peer is incompatible",
            "peer misbehaved",
            "tls handshake eof",
        ],
        "tls_handshake",
        "trying again; no TLS 1.2 or 1.3 in common, or the receiver wants a client certificate (cert_file, key_file): see \
         its log",
    ),
    (
        &["frame with invalid size"],
        "no_grpc",
        "trying again; what listens there speaks no gRPC: set protocol = \"http/protobuf\" for OTLP over HTTP, or the port \
         of gRPC (mostly 4317)",
    ),
    (
        &["invalid HTTP version"],
        "no_http1",
        "trying again; what listens there speaks no HTTP/1.1: set protocol = \"grpc\", or the port of OTLP over HTTP (mostly \
         4318)",
    ),
    (
        &["dns error", "failed to lookup address"],
        "dns",
        "trying again; the host has no address: check its spelling, that the service exists, and this node's DNS \
         (/etc/resolv.conf; in a pod dnsPolicy)",
    ),
    (
        &["Connection refused"],
        "refused",
        "trying again; nothing listens there: start the receiver, and check host and port (gRPC mostly 4317, HTTP 4318)",
    ),
    (
        &[
            "No route to host",
            "Network is unreachable",
            "Host is unreachable",
            "Network is down",
        ],
        "no_route",
        "trying again; there is no way to that address: check the node's network and routes, and the host of the endpoint",
    ),
    (
        &["Operation not permitted", "Permission denied"],
        "not_permitted",
        "trying again; this node does not allow the connection: check its firewall, network policies and IPAddressDeny of \
         the unit",
    ),
    (
        &[
            "Too many open files",
            "Cannot assign requested address",
            "No buffer space",
        ],
        "local_resources",
        "trying again; this node has no sockets or ports left: raise the limit of open files (LimitNOFILE)",
    ),
    (
        &["timed out", "deadline has elapsed"],
        CONNECT_TIMEOUT.reason,
        CONNECT_TIMEOUT.remedy,
    ),
    (
        &[
            "Connection reset",
            "Broken pipe",
            "connection closed",
            "closed before",
            "unexpected end of file",
            "canceled",
        ],
        "closed",
        "trying again; the connection was closed before the answer: check the receiver's log, the limits of proxies on the \
         way, and that http:// or https:// is right",
    ),
];
