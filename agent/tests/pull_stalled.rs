//! What scrapers that do not read hold of the memory, in a process of its own: it measures itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, too")]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use accelscope_core::metric::{Attributes, MetricsSource, Resource, Series, Timestamp, catalogue, key};
use accelscope_export::http::{Access, Listener, Readiness, routes};
use accelscope_export::prometheus::Renderer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SERIES: usize = 14_000;
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Many {
    series: Vec<Series>,
    resource: Resource,
    asked: AtomicUsize,
}

impl MetricsSource for Many {
    fn series(&self) -> Vec<Series> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.series.clone()
    }

    fn resource(&self) -> &Resource {
        &self.resource
    }
}

impl Readiness for Many {
    fn check(&self) -> Result<String, String> {
        Ok(String::new())
    }
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

#[test]
fn what_does_not_read_is_bounded_and_keeps_nobody_out() {
    let one = |number: usize| {
        let id = format!("{number:05}{}", "x".repeat(240));
        Series {
            instrument: &catalogue::hw::NPU_UTILIZATION,
            attributes: Arc::new(Attributes::new([(key::HW_ID, id.as_str().into())])),
            value: Some(0.5.into()),
            time: Timestamp::from_unix_nanos(1),
            start: None,
        }
    };
    let source = Arc::new(Many {
        series: (0..SERIES).map(one).collect(),
        resource: Resource::default(),
        asked: AtomicUsize::new(0),
    });
    let routes = routes(source.clone(), source.clone(), Renderer::default());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind("http.listen", any, routes, &Access::default()).unwrap();
    let address = listener.local_addr();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::spawn(listener.serve(pending()));
        // Scrapes of one moment.
        let scrape = async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer.len()
        };
        let first = futures_util::future::join_all((0..16).map(|_| scrape())).await;
        assert!(first.iter().all(|bytes| *bytes > 3 << 20), "{first:?}");
        assert!(
            source.asked.load(Ordering::Relaxed) <= 4,
            "{source:?}",
            source = source.asked
        );
        let before = resident();
        let mut stalled = Vec::new();
        for _ in 0..31 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(REQUEST).await.unwrap();
            stalled.push(stream);
        }
        for stream in &stalled {
            stream.readable().await.unwrap();
        }
        let held = resident().saturating_sub(before);
        assert!(held < 64 << 20, "31 clients that do not read hold {} MiB", held >> 20);
        assert!(scrape().await > 3 << 20, "who reads is answered");
    });
}
