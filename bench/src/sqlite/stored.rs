//! P4s: whether commands become slower as the log grows.

use super::append::open;
use super::rebuild::fill;
use crate::Failed;
use crate::commands;
use crate::contest::Place;
use crate::figures::Figures;
use std::path::Path;
use std::time::Instant;

/// How many events are few.
const FEW: u64 = 100_000;
const CALLERS: u64 = 64;
const ORDERS: u64 = 10_000;
/// Before the measurement: the ends of the indexes are in memory.
const WARM_UP: u64 = 1_000;
const MANY: &str = "stored.db";

/// A store with a long log, for all rounds.
pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let began = Instant::now();
    make(&place.folder.join(MANY), place.size).await?;
    Ok(Figures::rate(place.size, began))
}

async fn make(file: &Path, events: u64) -> Result<(), Failed> {
    drop(commands::open(&url(file)).await?);
    let connection = open(file)?;
    // Nothing is lost with a log that is half filled: the disk is waited for once, at the end.
    connection.pragma_update(None, "synchronous", "OFF")?;
    fill(&connection, events / 2)?;
    drop(connection);
    std::fs::File::open(file)?.sync_all()?;
    Ok(())
}

fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// Commands on a log of few events.
pub(crate) async fn with_few(place: Place) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir_in(&place.folder)?;
    let file = folder.path().join("few.db");
    make(&file, FEW).await?;
    measure(&file, FEW).await
}

/// Commands on the long one.
pub(crate) async fn with_many(place: Place) -> Result<Figures, Failed> {
    measure(&place.folder.join(MANY), place.size).await
}

async fn measure(file: &Path, stored: u64) -> Result<Figures, Failed> {
    let head = head(file)?;
    if head < stored.cast_signed() {
        return Err(format!("{head} events are stored; {stored} were to be").into());
    }
    let app = commands::open(&url(file)).await?;
    commands::run(&app, CALLERS, WARM_UP).await?;
    let figures = commands::run(&app, CALLERS, ORDERS).await?;
    let written = self::head(file)? - head;
    match written == ((WARM_UP + ORDERS) * 2).cast_signed() {
        true => Ok(figures),
        false => Err(format!("{written} events were written").into()),
    }
}

fn head(file: &Path) -> Result<i64, Failed> {
    Ok(open(file)?.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| row.get(0))?)
}
