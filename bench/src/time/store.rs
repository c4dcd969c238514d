//! A run's store on either engine, and what is counted in it.

use crate::Failed;
use crate::contest::Place;
use factstream::App;
use factstream::store::Store;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// A run's store: a database, or a file where the contest has no server.
pub(super) struct Own {
    pub(super) url: String,
    file: Option<PathBuf>,
    /// Deleted with the run.
    _folder: Option<TempDir>,
}

impl Own {
    /// An empty one of this run alone.
    pub(super) fn new(place: &Place) -> Result<Self, Failed> {
        if !place.database.is_empty() {
            return Ok(Self { url: place.database.clone(), file: None, _folder: None });
        }
        let folder = tempfile::tempdir_in(&place.folder)?;
        let file = folder.path().join(FILE);
        Ok(Self { _folder: Some(folder), ..Self::in_file(file) })
    }

    /// That of all runs of the contest.
    pub(super) fn shared(place: &Place) -> Self {
        match place.shared.is_empty() {
            true => Self::in_file(place.folder.join(FILE)),
            false => Self { url: place.shared.clone(), file: None, _folder: None },
        }
    }

    fn in_file(file: PathBuf) -> Self {
        Self { url: format!("sqlite://{}", file.display()), file: Some(file), _folder: None }
    }

    /// The file that it is.
    pub(super) fn file(&self) -> Result<&Path, Failed> {
        self.file.as_deref().ok_or_else(|| "it is no file".into())
    }
}

const FILE: &str = "bench.db";

/// How many rows there are: `sql` gives one number.
pub(super) async fn count(store: &dyn Store, sql: &str) -> Result<u64, Failed> {
    let rows = store.query(sql, factstream::params![]).await?;
    Ok(rows.first().ok_or("a count is a row")?.at(0)?)
}

/// Waits until `sql` counts so many, once `is_near` says that it is worth asking: counting takes time from those who work.
pub(super) async fn wait_until(
    app: &App,
    is_near: impl Fn() -> bool,
    sql: &str,
    wanted: u64,
) -> Result<(), Failed> {
    let began = Instant::now();
    while !is_near() || count(app.store().as_ref(), sql).await? != wanted {
        if began.elapsed() > PATIENCE {
            return Err("it does not get there".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
