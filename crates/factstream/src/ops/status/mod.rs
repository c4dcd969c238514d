//! What is going on: for each handler its state, checkpoint, lag, attempts, dead letters and parked events.
//!
//! Invariants: it comes within a second, whatever of the store and the broker answers (`gather`, `ask`). What is not known is
//! `None`, never 0, and the reason stands beside it.

mod gather;
#[cfg(test)]
mod questions_tests;

pub use crate::health::State;
use crate::leases::LeaseOwner;
use crate::processor::HandlerKind;
use factstream_core::broker::Member;
use factstream_core::envelope::Position;
use serde::Serialize;
use uuid::Uuid;

/// The whole picture, as far as it is known.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
///
/// # app.execute("o-1", create()).await?;
/// # app.settle().await;
/// let status = app.status().await;
/// for handler in &status.handlers {
///     let (lag, dead) = (handler.lag_events.unwrap_or(0), handler.dead_letters.unwrap_or(0));
///     println!("{}: {:?}, {lag} events behind, {dead} dead letters", handler.name, handler.state);
/// }
/// assert_eq!((status.relay.lag_events, status.unsettled().len()), (Some(0), 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The position of the newest event; `None` while the store does not answer.
    pub position: Option<Position>,
    /// The service that this process runs.
    pub service: String,
    /// This process's number.
    pub pid: u32,
    /// The store.
    pub store: StoreStatus,
    /// The broker.
    pub broker: BrokerStatus,
    /// Who owns what may have one owner only, over all processes on the store; `None` when it is not known.
    pub owners: Option<Vec<LeaseOwner>>,
    /// The relay.
    pub relay: RelayStatus,
    /// Every handler, in the order in which they were declared.
    pub handlers: Vec<HandlerStatus>,
}

/// The store that this process works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Its id: the same for every process on it.
    pub id: Uuid,
    /// What stands before its topics and groups in the broker; empty when nothing does.
    pub namespace: String,
    /// Whether it answered just now.
    pub answers: bool,
    /// Why it did not, or what it refused.
    pub error: Option<String>,
}

/// The broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BrokerStatus {
    /// Whether it answered just now.
    pub answers: bool,
    /// Why it did not, or what it refused.
    pub error: Option<String>,
}

/// The relay: log to topics.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RelayStatus {
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// The position that it has published up to.
    pub position: Option<Position>,
    /// Events that it has not looked at yet.
    pub lag_events: Option<u64>,
    /// The age of the oldest of them, seconds.
    pub lag_seconds: Option<f64>,
    /// How often it was started again in this process.
    pub restarts: u64,
    /// Events that wait for their topic, or that a person has sent on their way again, and that are yet to be published; `None` when it
    /// is not known.
    pub retrying: Option<u64>,
    /// Events that cannot be published as they are and wait for a person; `None` when it is not known.
    pub dead_letters: Option<u64>,
    /// Events parked behind those; `None` when it is not known.
    pub parked: Option<u64>,
    /// Why keys wait, of some of them: a topic that is missing is named here.
    pub reasons: Vec<String>,
    /// Why what is `None` is not known; empty when all is.
    pub unknown: Vec<String>,
}

/// One handler.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct HandlerStatus {
    /// Its name: the table of a read model, the group of a consumer; of a projection that is split, also which part. Dead
    /// letters are told with the first part.
    pub name: String,
    /// What kind it is.
    pub kind: HandlerKind,
    /// How often a build, another division into shards or a rebuild has taken it over, in any process; `None` when it is not
    /// registered, or not known.
    pub generation: Option<i64>,
    /// What it is doing in this process.
    #[serde(flatten)]
    pub state: State,
    /// The members of its group and what they are assigned, where the broker assigns (Apache Kafka). With the embedded
    /// broker a group is owned whole: see [`Status::owners`]. `None` when it is not known.
    pub members: Option<Vec<Member>>,
    /// Other stores whose processes are members of its group in the cluster, or have committed its offsets. Each of the systems then handles a part of the events
    /// only: give each a namespace of its own ([`Builder::namespace`](crate::Builder::namespace)).
    pub foreign_stores: Vec<Uuid>,
    /// How far it is in the log; consumers have offsets in topics instead.
    pub checkpoint: Option<Position>,
    /// Events that it has not come to yet; `None` when it is not known.
    pub lag_events: Option<u64>,
    /// The age of the oldest of them, seconds; `None` when it is not known.
    pub lag_seconds: Option<f64>,
    /// Records that retention had deleted before this group began, so that it never saw them (embedded topics; 0 on Apache
    /// Kafka, which does not tell). `None` when it is not known.
    pub missed: Option<u64>,
    /// Events handled since this process started.
    pub handled: u64,
    /// Events of types that no handler names, since this process started.
    pub skipped: u64,
    /// Failed attempts since this process started.
    pub attempts: u64,
    /// How often it was started again in this process.
    pub restarts: u64,
    /// Events that wait for another attempt; `None` when it is not known.
    pub retrying: Option<u64>,
    /// Keys whose next event waits for a cause of it ([`Consumer::causal`](crate::Consumer::causal)); `None` when it is not known.
    pub waiting: Option<u64>,
    /// How often, in any process, the wait for a cause was over before it was handled; `None` when it is not known.
    pub late: Option<u64>,
    /// Dead letters that wait for a person; `None` when it is not known.
    pub dead_letters: Option<u64>,
    /// Events parked behind others of their key; `None` when it is not known.
    pub parked: Option<u64>,
    /// Why what is `None` is not known; empty when all is.
    pub unknown: Vec<String>,
}

impl Status {
    /// What is still under way, in words; empty when the relay and every handler have come to the end and nothing waits for
    /// another attempt. What is not known counts as under way.
    ///
    /// A handler that has just finished may have appended what others have yet to see: all has settled when this is empty
    /// twice in a row at the same [`position`](Self::position).
    pub fn unsettled(&self) -> Vec<String> {
        let mut unsettled = Vec::new();
        let mut behind = |name: &str, lag: Option<u64>| match lag {
            Some(0) => {}
            Some(events) => unsettled.push(format!("{name} is {events} events behind")),
            None => unsettled.push(format!("it is not known how far {name} is")),
        };
        behind("the relay", self.relay.lag_events);
        for handler in &self.handlers {
            behind(&handler.name, handler.lag_events);
        }
        let handlers = self.handlers.iter().map(|handler| (handler.name.as_str(), handler.retrying));
        for (name, retrying) in handlers.chain([("the relay", self.relay.retrying)]) {
            match retrying {
                Some(0) => {}
                Some(events) => {
                    unsettled.push(format!("{events} events of {name} wait for another attempt"));
                }
                None => unsettled.push(format!("it is not known what {name} retries")),
            }
        }
        for handler in &self.handlers {
            match handler.waiting {
                Some(0) | None => {}
                Some(events) => unsettled.push(format!("{events} keys of {} wait for a cause", handler.name)),
            }
        }
        unsettled
    }
}
