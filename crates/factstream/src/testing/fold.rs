//! A read model's rows of given events, without a store.

use crate::read_model::FoldRows;
use crate::read_model::rows::ModelRows;
use factstream_core::envelope::Envelope;
use factstream_core::read_model::{ReadModel, RowKey};
use factstream_core::sql::{Row, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Folds these events, in this order, into the rows of a read model.
///
/// They are folded twice: once with each row written as the values of its columns and read again after every event, as in a running
/// application, and once in memory alone, as in a rebuild. Both must end in the same rows.
///
/// ```
/// use factstream::testing::fold;
/// use factstream::{Envelope, Event, Fold, ReadModel};
///
/// #[derive(Event, serde::Serialize, serde::Deserialize)]
/// #[event(topic = "orders.events")]
/// enum OrderEvent {
///     OrderCreated {},
///     OrderCancelled {},
/// }
///
/// #[derive(ReadModel, Clone, Debug, PartialEq)]
/// #[read_model(table = "open_orders")]
/// struct OpenOrder {
///     #[column(key)]
///     order_id: String,
/// }
///
/// impl Fold for OpenOrder {
///     type Events = OrderEvent;
///
///     fn fold(_: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
///         let is_open = matches!(event.event, OrderEvent::OrderCreated {});
///         is_open.then(|| Self { order_id: event.aggregate_id.clone() })
///     }
/// }
///
/// let rows = fold::<OpenOrder>([
///     Envelope::of("o-1", OrderEvent::OrderCreated {}),
///     Envelope::of("o-2", OrderEvent::OrderCreated {}),
///     Envelope::of("o-1", OrderEvent::OrderCancelled {}),
/// ]);
/// assert_eq!(rows.get("o-1"), None);
/// assert_eq!(rows.all(), [OpenOrder { order_id: "o-2".into() }]);
/// ```
///
/// # Panics
/// When the fold panics, gives a row another key than the one it was folded for, or makes rows that a rebuild would make otherwise.
#[track_caller]
pub fn fold<R: FoldRows>(events: impl IntoIterator<Item = Envelope<R::Events>>) -> Folded<R> {
    let (mut live, mut rebuilt) = (BTreeMap::new(), BTreeMap::new());
    let mut versions = HashMap::new();
    for (number, mut event) in events.into_iter().enumerate() {
        // As from the log, where every event has its places.
        let version = versions.entry(event.aggregate_id.clone()).or_insert(0);
        *version = event.version.unwrap_or(*version + 1);
        event.version = Some(*version);
        event.position.get_or_insert(number as u64 + 1);
        let keys = ModelRows::<R>::keys_of(&event)
            .unwrap_or_else(|failure| panic!("event {number}: {}", failure.chain().join(": ")));
        for (row_key, key) in keys.as_slice() {
            let step = |row| {
                let row = ModelRows::<R>::fold(row, key, &event);
                row.unwrap_or_else(|failure| {
                    panic!("event {number} cannot be folded: {}", failure.chain().join(": "))
                })
            };
            set(&mut rebuilt, row_key, step);
            set(&mut live, row_key, |row| step(row).map(|row| read_back(&row)));
        }
    }
    for (key, row) in &live {
        let other = rebuilt.get(key).map(values);
        assert_eq!(
            Some(values(row)),
            other,
            "the row {key:?} of {} would be another after a rebuild: a column does not keep all that its field holds",
            R::TABLE
        );
    }
    assert_eq!(live.len(), rebuilt.len(), "a rebuild of {} would give other rows", R::TABLE);
    Folded { keys: live.keys().cloned().collect(), rows: live.into_values().collect() }
}

/// Puts what `step` makes of the row in its place.
fn set<R: ReadModel>(
    rows: &mut BTreeMap<RowKey, R>,
    key: &RowKey,
    step: impl FnOnce(Option<R>) -> Option<R>,
) {
    let Some(row) = step(rows.remove(key)) else { return };
    let own = row.key().unwrap_or_else(|error| panic!("a row of {} has no key: {error}", R::TABLE));
    assert_eq!(
        own,
        *key,
        "the fold of {} gave the row of another key than the one it was folded for",
        R::TABLE
    );
    rows.insert(own, row);
}

fn values<R: ReadModel>(row: &R) -> Vec<Value> {
    row.to_row().unwrap_or_else(|error| panic!("a row of {} cannot be written as JSON: {error}", R::TABLE))
}

/// The row as its table would give it.
fn read_back<R: ReadModel>(row: &R) -> R {
    let columns: Arc<[String]> = R::COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    let read = R::from_row(&Row::new(columns, values(row)));
    read.unwrap_or_else(|error| panic!("a row of {} cannot be read again: {error}", R::TABLE))
}

/// The rows that [`fold`] made, in the order of their keys.
#[derive(Clone, PartialEq)]
pub struct Folded<R> {
    keys: Vec<RowKey>,
    rows: Vec<R>,
}

impl<R: ReadModel> Folded<R> {
    /// The row with this key.
    ///
    /// # Panics
    /// When that is no key.
    pub fn get(&self, key: impl Into<R::Key>) -> Option<&R> {
        let key = R::key_of(key.into())
            .unwrap_or_else(|error| panic!("no row of {} has that key: {error}", R::TABLE));
        self.keys.binary_search(&key).ok().map(|at| &self.rows[at])
    }

    /// All rows.
    pub fn all(&self) -> &[R] {
        &self.rows
    }
}

impl<R: fmt::Debug> fmt::Debug for Folded<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rows).finish()
    }
}
