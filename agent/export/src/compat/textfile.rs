//! The series of [`gpu_process_exporter`](super::gpu_process_exporter) as a file for node-exporter's textfile collector,
//! which is how the replaced tool handed them on.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::gpu_process_exporter::{PidFormat, render};
use crate::http::Readiness;
use crate::prometheus::MetricsSource;

/// Time between two writes. node-exporter reads the file at each scrape, and tells its age
/// (`node_textfile_mtime_seconds`).
const EVERY: Duration = Duration::from_secs(15);
/// Time between two looks whether every sampler has reported.
const READY: Duration = Duration::from_millis(100);
/// The replaced tool's file.
const NAME: &str = "gpu_processes.prom";

/// Writes the file until told to leave, and takes it away then: what nobody renews would be read for ever.
pub struct TextFile {
    path: PathBuf,
    format: PidFormat,
    source: Arc<dyn MetricsSource>,
    readiness: Arc<dyn Readiness>,
    failing: bool,
    /// It is there, or about to be.
    begun: bool,
    writing: Option<JoinHandle<io::Result<()>>>,
}

/// The file that is written for the setting `compat.textfile`: itself if it ends in `.prom`, which is what node-exporter
/// reads, else the replaced tool's name in that directory.
pub fn file(setting: &Path) -> PathBuf {
    if setting.extension().is_some_and(|extension| extension == "prom") {
        setting.to_owned()
    } else {
        setting.join(NAME)
    }
}

impl TextFile {
    /// Writes nothing yet.
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
            begun: false,
            writing: None,
        }
    }

    /// Until `leaving`. The first file appears once every sampler has reported: before, all GPUs would be missing.
    pub async fn run(mut self, leaving: impl Future<Output = ()>) {
        tokio::select! {
            () = self.write_for_ever() => {}
            () = leaving => {}
        }
        if !self.begun {
            return;
        }
        // A file system that hangs must not keep the agent: whoever waits for this does so for a while only.
        if let Some(writing) = self.writing.take() {
            writing.await.ok();
        }
        let path = self.path;
        tokio::task::spawn_blocking(move || std::fs::remove_file(path))
            .await
            .ok();
    }

    async fn write_for_ever(&mut self) {
        while self.readiness.check().is_err() {
            tokio::time::sleep(READY).await;
        }
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let text = render(&self.source.series(), self.source.resource(), self.format);
            let path = self.path.clone();
            self.begun = true;
            let writing = self
                .writing
                .insert(tokio::task::spawn_blocking(move || replace(&path, &text)));
            let written = writing.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
            self.writing = None;
            self.tell(written);
        }
    }

    /// Once for each time that it begins or ends to fail.
    fn tell(&mut self, written: io::Result<()>) {
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

/// A reader sees the old file or the new one, each whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // node-exporter reads no file whose name ends otherwise than in .prom.
    let mut file = tempfile::Builder::new()
        .prefix(".accelscope-")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    // It runs as another user, and would be given a file that only the agent may read.
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
