//! Every contest there is.

use crate::contest::{Contest, PREPARE, Run};
use crate::{Failed, kafka, postgres, process, sqlite, system, time};

/// Every contest, in the order in which it is run.
pub(crate) fn all() -> impl Iterator<Item = &'static Contest> {
    [
        sqlite::CONTESTS,
        postgres::CONTESTS,
        kafka::CONTESTS,
        time::CONTESTS,
        process::CONTESTS,
        system::CONTESTS,
    ]
    .into_iter()
    .flatten()
}

/// The work of one entry; `prepare` stands for the contest's preparation.
pub(crate) fn find(contest: &str, entry: &str) -> Result<Run, Failed> {
    let contest = all().find(|known| known.name == contest).ok_or("there is no such contest")?;
    if entry == PREPARE {
        return contest.prepare.ok_or_else(|| "nothing is to be prepared".into());
    }
    let entry = contest.entries.iter().find(|known| known.name == entry).ok_or("there is no such entry")?;
    Ok(entry.run)
}
