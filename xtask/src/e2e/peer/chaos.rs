//! An OTLP receiver that misbehaves in every known way, then behaves (`xtask/e2e/chaos`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::e2e::bench::Bench;
use crate::e2e::process::{Process, bound};
use crate::e2e::reading::Point;
use crate::e2e::wait;
use crate::tools::data;

/// Time between two calls of what is done while it calms down.
const ASKING: Duration = Duration::from_secs(5);

/// Its process, with a port for each destination of the agent.
pub(crate) struct Chaos {
    process: Process,
    folder: PathBuf,
    ports: BTreeMap<String, u16>,
}

/// What it says of a port.
#[derive(Debug, Deserialize)]
pub(crate) struct PortState {
    pub(crate) name: String,
    /// Number of requests by behaviour.
    pub(crate) met: BTreeMap<String, u64>,
    /// Requests taken since it behaves.
    calm_taken: u64,
}

impl Chaos {
    /// Starts it with a port for each of these names; it misbehaves for at least `length`.
    pub(crate) fn start(bench: &Bench<'_>, names: &[String], length: Duration, seed: u32) -> Result<Self> {
        let folder = bench.path("chaos");
        std::fs::create_dir(&folder)?;
        let ports: BTreeMap<_, _> = names
            .iter()
            .map(|name| (name.clone(), free_port::free_port()))
            .collect();
        let mut command = bound(&bench.tools.python);
        command.arg(data("chaos")).arg("--out").arg(&folder);
        command.args(["--seconds", &length.as_secs().to_string(), "--seed", &seed.to_string()]);
        command.args(ports.iter().map(|(name, port)| format!("{port}={name}")));
        let mut chaos = Self {
            process: Process::start(bench.work, "chaos", &mut command)?,
            folder,
            ports,
        };
        wait::until("the misbehaving receiver to listen", wait::SOON, || {
            chaos.states().map(Some)
        })?;
        Ok(chaos)
    }

    /// The endpoint of each port, by name.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&str, String)> {
        let ports = self.ports.iter();
        ports.map(|(name, port)| (name.as_str(), format!("http://127.0.0.1:{port}")))
    }

    fn states(&mut self) -> Result<Vec<PortState>> {
        self.process.check()?;
        let text = std::fs::read(self.folder.join("state.json"))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Waits until each port has shown everything and took requests after that; `ask` is called now and then meanwhile.
    pub(crate) fn calmed(&mut self, limit: Duration, mut ask: impl FnMut() -> Result<()>) -> Result<Vec<PortState>> {
        let mut asked = Instant::now();
        wait::until("every port to behave and to be used", limit, || {
            let states = self.states()?;
            if asked.elapsed() >= ASKING {
                asked = Instant::now();
                ask()?;
            }
            let waiting: Vec<_> = states.iter().filter(|state| state.calm_taken < 2).collect();
            ensure!(waiting.is_empty(), "still waiting: {waiting:?}");
            Ok(Some(states))
        })
    }

    /// Ends it. It has written each request that it took before it answered it.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.process.check()?;
        self.process.kill()
    }

    /// All points that a port took.
    pub(crate) fn points(&self, bench: &Bench<'_>, name: &str) -> Result<Vec<Point>> {
        let file = self.folder.join(format!("{name}.pb"));
        bench
            .otlp_points(&[file])
            .with_context(|| format!("what {name} took is not OTLP"))
    }
}
