//! Setting a handler to another place: planned first, then done, by a person who knows what that leaves out or brings again.
//!
//! Invariants: a plan names the generation that it was made for, and is refused when another build, rebuild or reset came
//! between. Doing it begins the next generation, so whoever runs the handler goes on from the new place. What a consumer has
//! handled stays marked, so going back has no second effect, unless that is asked for; a projection has no marks, and goes back
//! only when it is.

use crate::app::App;
use crate::error::Error;
use crate::process::received::process_of;
use crate::processor::{HandlerKind, checkpoint, offsets};
use crate::registry::{self, Registered};
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::broker::{Bounds, Partition};
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sql::now;
use serde::Serialize;

/// Where a handler is set to.
///
/// ```
/// use factstream::ResetTo;
/// use factstream::broker::Partition;
///
/// let third = Partition { topic: "orders.events".into(), partition: 3 };
/// let to = ResetTo::Offsets(vec![(third, 1_200)]); // the other partitions stay where they are
/// # let _ = to;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// The oldest event or record there is.
    Beginning,
    /// Behind the newest: what is there now is left out.
    End,
    /// After this position of the log. For projections; and the next offset of a consumer that reads one partition only.
    Position(Position),
    /// The next offset to read in each of these partitions; others stay where they are. For consumers.
    Offsets(Vec<(Partition, i64)>),
}

/// What a reset would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResetPlan {
    /// The handler.
    pub handler: String,
    /// The generation that the plan was made for.
    pub generation: i64,
    /// Each place: the log, or a partition.
    pub steps: Vec<ResetStep>,
}

/// What a reset would do in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResetStep {
    /// The topic; `None` for the log.
    pub topic: Option<String>,
    /// The partition, or the shard of a projection.
    pub partition: u32,
    /// Where the handler stands: the next offset, or the position that it has come to. `None` when the store does not know.
    pub from: Option<i64>,
    /// Where it will stand.
    pub to: i64,
}

impl App {
    /// Plans to set a handler to another place, also one that this application does not declare. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Wiring`] when there is no such handler, when it has tables of its own (rebuild it instead), or when the place
    /// is none of its kind; and what the store or the broker reports.
    pub async fn plan_reset(&self, handler: &str, to: ResetTo) -> Result<ResetPlan, Error> {
        let found = self.registered(handler).await?;
        let steps = match found.kind.as_str() {
            "consumer" => self.partition_steps(&found, &to).await?,
            "scheduled" => {
                return Err(Error::Wiring(format!(
                    "{handler} has no place in topics or the log: its inputs are timers, each of which App::timers moves or cancels"
                )));
            }
            _ => self.log_steps(&found, &to).await?,
        };
        Ok(ResetPlan { handler: found.handler, generation: found.generation, steps })
    }

    /// Sets a handler to another place, as planned. Events that a consumer has handled before have no second effect; with `again`
    /// they do, for the handler forgets which those are.
    ///
    /// # Errors
    /// [`Error::Superseded`] when the handler has changed since the plan was made: plan again. [`Error::Wiring`] when a projection
    /// would go back without `again`: its checkpoint is all that marks what it has handled.
    /// The same when the consumer of a process's topics would take messages in again.
    /// [`Error::Broker`] when the group still has members after ten seconds, on a broker that assigns partitions: stop its processes first.
    pub async fn reset(&self, plan: &ResetPlan, again: bool) -> Result<(), Error> {
        let found = self.registered(&plan.handler).await?;
        if found.generation != plan.generation {
            return Err(Error::Superseded { handler: plan.handler.clone() });
        }
        let goes_back =
            |step: &ResetStep| step.topic.is_none() && step.from.is_some_and(|from| step.to < from);
        if found.kind == HandlerKind::Process.name() && plan.steps.iter().any(goes_back) {
            return Err(Error::Wiring(format!(
                "{} is a process, which does not go back: it would ask for its commands again. Make the state of an instance again \
                 from its history with App::process and ProcessQuery::rebuild",
                plan.handler
            )));
        }
        if again && let Some(process) = self.fed_by(&found).await? {
            return Err(Error::Wiring(format!(
                "{} feeds the process {process}, which does not go back: it would ask for its commands again. Without `again` what it has \
                 taken in stays marked",
                plan.handler
            )));
        }
        if !again && plan.steps.iter().any(goes_back) {
            return Err(Error::Wiring(format!(
                "{} would handle events again that it has handled; ask for that, if it is what you want",
                plan.handler
            )));
        }
        let next: Vec<(Partition, i64)> = plan
            .steps
            .iter()
            .filter_map(|step| {
                Some((Partition { topic: step.topic.clone()?, partition: step.partition }, step.to))
            })
            .collect();
        let cluster = self.broker().cluster().await?;
        self.broker().reset(&plan.handler, &next).await?;
        let mut tx = self.begin().await?;
        if !registry::lock(&mut tx, &plan.handler, plan.generation).await? {
            return Err(Error::Superseded { handler: plan.handler.clone() });
        }
        let generation = plan.generation + 1;
        match next.is_empty() {
            true => set_checkpoints(&mut tx, plan, generation).await?,
            false => {
                offsets::set(&mut tx, &plan.handler, &cluster, &next, generation).await?;
            }
        }
        if again {
            tx.sql("DELETE FROM fs_inbox WHERE handler = $1", params![&plan.handler]).await?;
        }
        let sql = "UPDATE fs_handlers SET generation = $2, registered_at = $3 WHERE handler = $1";
        tx.sql(sql, params![&plan.handler, generation, now()]).await?;
        tx.commit().await?;
        tracing::warn!(handler = %plan.handler, generation, again, "the handler was set to another place");
        Ok(())
    }

    async fn registered(&self, handler: &str) -> Result<Registered, Error> {
        if let Some(found) = registry::find(self.store().as_ref(), handler).await? {
            return Ok(found);
        }
        let known: Vec<String> = self.handlers().await?.into_iter().map(|found| found.handler).collect();
        Err(Error::Wiring(format!("there is no handler {handler:?}; there are: {}", known.join(", "))))
    }

    /// The process whose topics a consumer reads.
    async fn fed_by(&self, found: &Registered) -> Result<Option<String>, Error> {
        let Some(name) = process_of(&found.handler) else { return Ok(None) };
        let process = registry::find(self.store().as_ref(), name).await?;
        Ok(process.filter(|of| of.kind == HandlerKind::Process.name()).map(|of| of.handler))
    }

    async fn log_steps(&self, found: &Registered, to: &ResetTo) -> Result<Vec<ResetStep>, Error> {
        let sql = "SELECT 1 FROM fs_read_models WHERE handler = $1";
        if !self.store().query(sql, params![&found.handler]).await?.is_empty() {
            return Err(Error::Wiring(format!(
                "{} has tables of its own, which would no longer fit; rebuild it instead",
                found.handler
            )));
        }
        let head = self.head().await?;
        let to = match to {
            ResetTo::Beginning => 0,
            ResetTo::End => head,
            ResetTo::Position(position) if *position <= head => *position,
            ResetTo::Offsets(_) => {
                return Err(Error::Wiring(format!(
                    "{} reads the log, which has positions and no offsets; say beginning, end or a position",
                    found.handler
                )));
            }
            ResetTo::Position(position) => {
                return Err(Error::Wiring(format!(
                    "position {position} lies beyond the head of the log ({head})"
                )));
            }
        };
        let live = checkpoint::live(self.store().as_ref(), &found.handler).await?;
        let step = |(shard, from): (usize, &Position)| ResetStep {
            topic: None,
            partition: u32::try_from(shard).unwrap_or(u32::MAX),
            from: i64::try_from(*from).ok(),
            to: i64::try_from(to).unwrap_or(i64::MAX),
        };
        Ok(live.positions.iter().enumerate().map(step).collect())
    }

    async fn partition_steps(&self, found: &Registered, to: &ResetTo) -> Result<Vec<ResetStep>, Error> {
        let cluster = self.broker().cluster().await?;
        let stored = offsets::stored(self.store().as_ref(), &found.handler, &cluster).await?;
        let topics: Vec<String> = found.topics.iter().cloned().collect();
        let bounds = self.broker().bounds(&topics).await?;
        let wanted: Vec<(Partition, i64)> = match to {
            ResetTo::Beginning => bounds.iter().map(|(at, bounds)| (at.clone(), bounds.start)).collect(),
            ResetTo::End => bounds.iter().map(|(at, bounds)| (at.clone(), bounds.end)).collect(),
            ResetTo::Offsets(offsets) => offsets.clone(),
            ResetTo::Position(offset) => match bounds.as_slice() {
                [(only, _)] => vec![(only.clone(), i64::try_from(*offset).unwrap_or(i64::MAX))],
                _ => {
                    return Err(Error::Wiring(format!(
                        "{} reads {} partitions, and has an offset in each; say beginning, end, or which partition: \
                         TOPIC/PARTITION=OFFSET",
                        found.handler,
                        bounds.len()
                    )));
                }
            },
        };
        let step = |(partition, to): (Partition, i64)| {
            check_place(&bounds, &partition, to)?;
            let from = stored.iter().find(|known| known.partition == partition).map(|known| known.next);
            Ok(ResetStep { from, to, topic: Some(partition.topic), partition: partition.partition })
        };
        wanted.into_iter().map(step).collect()
    }
}

/// Refuses an offset that is not in its partition.
fn check_place(bounds: &[(Partition, Bounds)], partition: &Partition, to: i64) -> Result<(), Error> {
    let Some((_, Bounds { start, end })) = bounds.iter().find(|(known, _)| known == partition) else {
        return Err(Error::Wiring(format!("the handler reads no partition {partition}")));
    };
    if (*start..=*end).contains(&to) {
        return Ok(());
    }
    Err(Error::Wiring(format!(
        "{partition} has the offsets {start} to {end}, where {end} is the next record's; not {to}"
    )))
}

/// Moves the checkpoints into the next generation, each to its place; earlier divisions say nothing any more.
async fn set_checkpoints(tx: &mut Tx, plan: &ResetPlan, generation: i64) -> Result<(), Error> {
    for step in &plan.steps {
        let params = params![&plan.handler, plan.generation, step.partition, step.to, generation, now()];
        tx.sql(sql::RESET_CHECKPOINT, params).await?;
    }
    checkpoint::forget_others(tx, &plan.handler, generation).await
}
