//! Looking at the instances of a process.

use super::alias::Alias;
use super::aliases;
use super::history::{self, REBUILT, Step};
use super::instances::{ENDED, error, error_of, history_rows, json_of, state_of};
use super::traits::Process;
use crate::app::App;
use crate::error::Error;
use crate::statements as sql;
use factstream_core::decode::Decoder;
use factstream_core::params;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// How often a state is made again when its instance takes inputs meanwhile.
const REBUILD_ATTEMPTS_MAX: u32 = 16;

impl App {
    /// The instances of a process, to look at.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # use factstream::{Acts, Correlate, Input, Process};
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # struct Fulfilment { shipped: bool }
    /// # impl Process for Fulfilment {
    /// #     const NAME: &'static str = "fulfilment";
    /// #     type Events = OrderEvent;
    /// #     fn correlate(event: &Envelope<OrderEvent>) -> Correlate { Correlate::start(&event.aggregate_id) }
    /// #     fn react(&mut self, input: Input<'_, OrderEvent>, _: &mut Acts) -> Result<(), Failure> {
    /// #         if let Input::Event(event) = input { self.shipped |= matches!(event.event, OrderEvent::Shipped { .. }); }
    /// #         Ok(())
    /// #     }
    /// # }
    /// # async fn example(app: &App) -> Result<(), factstream::Error> {
    /// let fulfilments = app.process::<Fulfilment>();
    /// if let Some(instance) = fulfilments.get("o-1").await? {
    ///     println!("{:?} after {} inputs, shipped: {}", instance.status, instance.version, instance.state.shipped);
    /// }
    /// for step in fulfilments.history("o-1", 0, 100).await? {
    ///     println!("{}: {:?} -> {:?}", step.at, step.input, step.acts);
    /// }
    /// let before_the_last = fulfilments.state_at("o-1", 1).await?; // as it was after its first input
    /// # let _ = before_the_last;
    /// # Ok(())
    /// # }
    /// # fn main() {}
    /// ```
    pub fn process<P: Process>(&self) -> ProcessQuery<'_, P> {
        ProcessQuery { app: self, process: PhantomData }
    }
}

/// The instances of one process: made by [`App::process`].
pub struct ProcessQuery<'a, P> {
    app: &'a App,
    process: PhantomData<fn() -> P>,
}

impl<P> std::fmt::Debug for ProcessQuery<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessQuery").finish_non_exhaustive()
    }
}

/// An instance of a process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Instance<P> {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: P,
    /// Whether it has ended.
    pub status: InstanceStatus,
    /// The other ids that it was given, in order.
    pub aliases: Vec<Alias>,
    /// How many inputs it has taken.
    pub version: u64,
    /// Whether its next input waits behind one that failed: see [`App::dead_letters`] for its id as the key.
    pub blocked: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it took its last input.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Whether an instance has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceStatus {
    /// It takes inputs.
    Running,
    /// Later inputs change nothing.
    Ended,
}

impl<P> Instance<P> {
    /// Whether later inputs change nothing.
    pub fn has_ended(&self) -> bool {
        self.status == InstanceStatus::Ended
    }
}

impl<P: Process> ProcessQuery<'_, P> {
    /// An instance, as it is now; `None` when it was never started, or ended so long ago that it is forgotten.
    ///
    /// # Errors
    /// [`Error::Process`] when this build cannot read its state, and when the store cannot be read.
    pub async fn get(&self, id: &str) -> Result<Option<Instance<P>>, Error> {
        let rows = self.app.store().query(sql::SELECT_PROCESS_INSTANCE, params![P::NAME, id]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let aliases = self.app.store().query(sql::SELECT_ALIASES_OF_INSTANCE, params![P::NAME, id]).await?;
        let aliases = aliases.iter().map(|row| Ok(Alias::of_text(&row.get::<String>("alias")?)));
        Ok(Some(Instance { aliases: aliases.collect::<Result<_, Error>>()?, ..instance_of(row)? }))
    }

    /// The instance that was given this alias by [`Acts::alias`](crate::Acts::alias), as it is now.
    ///
    /// # Errors
    /// As [`ProcessQuery::get`].
    pub async fn get_by(&self, name: &str, value: &str) -> Result<Option<Instance<P>>, Error> {
        let key = Alias { name: name.to_owned(), value: value.to_owned() }.key();
        let owners =
            aliases::known(P::NAME, &BTreeSet::from([key.as_str()]), self.app.store().as_ref()).await?;
        match owners.get(&key) {
            Some(id) => self.get(id).await,
            None => Ok(None),
        }
    }

    /// What an instance has taken after a version (0 is from the beginning), in order, at most `limit` steps.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn history(&self, id: &str, after: u64, limit: usize) -> Result<Vec<Step>, Error> {
        history::steps::<P>(self.app.store().as_ref(), id, after, limit).await
    }

    /// The state as this build makes it of the instance's first `version` inputs. What they asked for is not done again.
    ///
    /// # Errors
    /// [`Error::Process`] when an input cannot be taken again, and when the store cannot be read.
    pub async fn state_at(&self, id: &str, version: u64) -> Result<Option<P>, Error> {
        let replayed = history::replay(self.app.store().as_ref(), &self.decoder()?, id, version).await?;
        Ok(replayed.map(|(state, _)| state))
    }

    /// Makes the state of an instance again from its history, with the code of this build, and keeps it. What the inputs asked for is
    /// not done again. For a state that an error in `react` has damaged.
    ///
    /// # Errors
    /// As [`ProcessQuery::state_at`]; and [`Error::Process`] when there is no such instance.
    pub async fn rebuild(&self, id: &str) -> Result<P, Error> {
        for _ in 0..REBUILD_ATTEMPTS_MAX {
            let replayed = history::replay(self.app.store().as_ref(), &self.decoder()?, id, u64::MAX).await?;
            let Some((state, version)) = replayed else {
                return Err(error::<P>(id, "there is no such instance"));
            };
            if self.replace(id, &state, version).await? {
                return Ok(state);
            }
        }
        Err(error::<P>(id, "it takes inputs all the time; rebuild its state when it is quieter"))
    }

    /// Keeps a state that was made of so many steps, if there are no more of them. It is a step itself, so that a reaction that began on
    /// the state before it does not overwrite it.
    async fn replace(&self, id: &str, state: &P, version: u64) -> Result<bool, Error> {
        let json = json_of(state).map_err(|failure| error_of::<P>(id, &failure))?;
        let mut tx = self.app.begin().await?;
        let now = self.app.clock().now();
        let sql = "UPDATE fs_processes SET state = $3, state_version = $4, version = version + 1, updated_at = $5 \
                   WHERE process = $1 AND process_id = $2 AND version = $6";
        let touched = tx.sql(sql, params![P::NAME, id, json, P::VERSION, now, version]).await?;
        if touched == 0 {
            return Ok(false);
        }
        let step = params![P::NAME, id, version + 1, REBUILT, "", 0, Option::<String>::None, "[]", now];
        tx.write_rows(history_rows(vec![step])).await?;
        tx.commit().await?;
        Ok(true)
    }

    fn decoder(&self) -> Result<Decoder, Error> {
        Ok(self.app.kernel().states.decoder::<P::Events>()?)
    }
}

fn instance_of<P: Process>(row: &Row) -> Result<Instance<P>, Error> {
    let id: String = row.get("process_id")?;
    let state = state_of(row.get("state_version")?, &row.get::<String>("state")?);
    let ended = row.get::<String>("status")? == ENDED;
    Ok(Instance {
        state: state.map_err(|failure| error_of::<P>(&id, &failure))?,
        status: if ended { InstanceStatus::Ended } else { InstanceStatus::Running },
        aliases: Vec::new(),
        version: row.get("version")?,
        blocked: row.get("blocked")?,
        started_at: row.get("started_at")?,
        updated_at: row.get("updated_at")?,
        ended_at: row.get("ended_at")?,
        id,
    })
}
