//! The nightly report: how many orders there are of each status, recorded as an event by recurring work.

use crate::order::Status;
use factstream::{Aggregate, Event, Failure, Occurrence, Recurring, Schedule, Tx, params};
use serde::{Deserialize, Serialize};

/// What the recurring work is called.
pub const NAME: &str = "nightly-report";
/// When it is done, and where.
const LINE: &str = "0 2 * * *";
const ZONE: &str = "Europe/Vienna";

/// What was reported. Stays home.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(private)]
pub enum ReportEvent {
    /// The orders were counted.
    #[event(name = "OrdersReported", version = 1)]
    Reported {
        /// Those that are neither shipped nor cancelled.
        pending: u64,
        /// Those that were ever shipped.
        shipped: u64,
        /// Those that were ever cancelled.
        cancelled: u64,
    },
}

/// The report of one night; the aggregate's id is the day on which it was made: `2026-11-30`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Orders that were neither shipped nor cancelled.
    pub pending: u64,
    /// Orders that were ever shipped.
    pub shipped: u64,
    /// Orders that were ever cancelled.
    pub cancelled: u64,
}

impl Aggregate for Report {
    const TYPE: &'static str = "report";
    type Event = ReportEvent;

    fn apply(&mut self, event: &ReportEvent) {
        let ReportEvent::Reported { pending, shipped, cancelled } = *event;
        *self = Self { pending, shipped, cancelled };
    }
}

/// Every night at two in Vienna; the newest of those that were missed is made up for.
pub(crate) fn schedule() -> Schedule {
    let schedule = Schedule::cron(LINE).and_then(|schedule| schedule.tz(ZONE));
    schedule.expect("the line and the zone are constants, and every test opens the system with them")
}

/// Makes the report of a night, once.
#[derive(Debug, Clone, Copy)]
pub struct Reporting;

impl Recurring for Reporting {
    async fn run(&self, occurrence: &Occurrence, tx: &mut Tx) -> Result<(), Failure> {
        let day = occurrence.slot.in_tz(ZONE).map_err(Failure::permanent)?.date().to_string();
        let (mut pending, mut shipped, mut cancelled) = (0, 0, 0);
        let sql = "SELECT status, count(*) AS orders FROM order_projections GROUP BY status";
        for row in tx.query(sql, params![]).await? {
            let status: Status = row.get::<String>("status")?.parse().map_err(Failure::permanent)?;
            let count = match status {
                Status::Pending => &mut pending,
                Status::Shipped => &mut shipped,
                Status::Cancelled => &mut cancelled,
            };
            *count = row.get("orders")?;
        }
        tx.append::<Report>(&day, &[ReportEvent::Reported { pending, shipped, cancelled }]).await?;
        Ok(())
    }
}
