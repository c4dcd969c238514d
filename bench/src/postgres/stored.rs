//! P4: whether commands become slower as the log grows.

use super::support::{connect, fill};
use crate::Failed;
use crate::commands;
use crate::contest::Place;
use crate::figures::Figures;
use std::time::Instant;

/// How many events are few.
const FEW: u64 = 100_000;
const CALLERS: u64 = 64;
const ORDERS: u64 = 10_000;
/// Before the measurement: connections are open and the ends of the indexes in memory.
const WARM_UP: u64 = 1_000;

/// A store with a long log, for all rounds.
pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let began = Instant::now();
    drop(commands::open(&place.shared).await?);
    fill(&place.shared, place.size / 2).await?;
    Ok(Figures::rate(place.size, began))
}

/// Commands on a log of few events.
pub(crate) async fn with_few(place: Place) -> Result<Figures, Failed> {
    drop(commands::open(&place.database).await?);
    fill(&place.database, FEW / 2).await?;
    measure(&place.database, FEW).await
}

/// Commands on the long one.
pub(crate) async fn with_many(place: Place) -> Result<Figures, Failed> {
    measure(&place.shared, place.size).await
}

async fn measure(url: &str, stored: u64) -> Result<Figures, Failed> {
    let client = connect(url).await?;
    client.batch_execute("CHECKPOINT").await?;
    let head = head(&client).await?;
    if head < stored.cast_signed() {
        return Err(format!("{head} events are stored; {stored} were to be").into());
    }
    let app = commands::open(url).await?;
    commands::run(&app, CALLERS, WARM_UP).await?;
    let figures = commands::run(&app, CALLERS, ORDERS).await?;
    let sql = "SELECT count(*) FROM events WHERE position > $1";
    let written: i64 = client.query_one(sql, &[&head]).await?.get(0);
    match written == ((WARM_UP + ORDERS) * 2).cast_signed() {
        true => Ok(figures),
        false => Err(format!("{written} events were written").into()),
    }
}

async fn head(client: &tokio_postgres::Client) -> Result<i64, Failed> {
    let sql = "SELECT coalesce(max(position), 0) FROM events";
    Ok(client.query_one(sql, &[]).await?.get(0))
}
