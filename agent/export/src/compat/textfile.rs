//! The series of [`gpu_process_exporter`](super::gpu_process_exporter) as a file for node-exporter's textfile collector,
//! as the replaced tool wrote it.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use super::gpu_process_exporter::{PidFormat, render};
use crate::http::Readiness;
use crate::prometheus::MetricsSource;

/// Interval of the writes. node-exporter reads the file at each scrape and reports its age
/// (`node_textfile_mtime_seconds`).
const INTERVAL: Duration = Duration::from_secs(15);
/// Interval of the checks whether every sampler has reported.
const READINESS_CHECK: Duration = Duration::from_millis(100);
/// File name of the replaced tool.
const NAME: &str = "gpu_processes.prom";

/// Writes the file until the shutdown and then removes it: node-exporter would go on reading an old file.
pub struct TextFile {
    path: PathBuf,
    format: PidFormat,
    source: Arc<dyn MetricsSource>,
    readiness: Arc<dyn Readiness>,
    failing: bool,
}

/// File of the setting `compat.textfile`: the setting itself if it ends in `.prom`, the suffix that node-exporter reads, else
/// the replaced tool's file name in that directory.
pub fn file(setting: &Path) -> PathBuf {
    if setting.extension().is_some_and(|extension| extension == "prom") {
        setting.to_owned()
    } else {
        setting.join(NAME)
    }
}

impl TextFile {
    /// A writer that has not written yet.
    pub fn new(
        setting: &Path,
        format: PidFormat,
        source: Arc<dyn MetricsSource>,
        readiness: Arc<dyn Readiness>,
    ) -> Self {
        Self {
            path: file(setting),
            format,
            source,
            readiness,
            failing: false,
        }
    }

    /// Writes until `shutdown`. The first write waits until every sampler has reported: before, GPUs would be missing.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let ready = async {
            while self.readiness.check().is_err() {
                tokio::time::sleep(READINESS_CHECK).await;
            }
        };
        tokio::select! {
            () = ready => {}
            () = &mut shutdown => return,
        }
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = ticks.tick() => self.write().await,
            }
        }
        let path = self.path;
        spawn_blocking(move || std::fs::remove_file(path)).await.ok();
    }

    /// May hang with its file system; the caller limits the wait after the shutdown.
    async fn write(&mut self) {
        let text = render(&self.source.series(), self.source.resource(), self.format);
        let path = self.path.clone();
        let written = spawn_blocking(move || replace(&path, &text)).await;
        self.log(written.unwrap_or_else(|panic| Err(io::Error::other(panic))));
    }

    /// Logs the begin and the end of a failure once.
    fn log(&mut self, written: io::Result<()>) {
        let failing = written.is_err();
        match written {
            Err(error) if !self.failing => tracing::warn!(
                file = %self.path.display(),
                error = &error as &dyn std::error::Error,
                "compat.textfile cannot be written: make its directory, mount it writable and let the agent's user \
                 write to it; the agent tries again",
            ),
            Ok(()) if self.failing => tracing::info!(file = %self.path.display(), "compat.textfile is written again"),
            _ => {}
        }
        self.failing = failing;
    }
}

/// Replaces the file atomically.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // node-exporter ignores names that do not end in .prom.
    let mut file = tempfile::Builder::new()
        .prefix(".accelscope-")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    // node-exporter runs as another user; a temporary file is readable by its owner only.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gets_the_replaced_tools_file_and_a_file_keeps_its_name() {
        assert_eq!(
            file(Path::new("/var/lib/x")),
            Path::new("/var/lib/x/gpu_processes.prom")
        );
        assert_eq!(file(Path::new("/var/lib/gpus.prom")), Path::new("/var/lib/gpus.prom"));
    }

    #[test]
    fn the_file_is_replaced_whole_and_may_be_read_by_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        replace(&path, "a long first text\n").unwrap();
        let first = std::fs::File::open(&path).unwrap();
        replace(&path, "b\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b\n");
        assert_eq!(
            io::read_to_string(first).unwrap(),
            "a long first text\n",
            "a reader keeps what it opened"
        );
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }
}
