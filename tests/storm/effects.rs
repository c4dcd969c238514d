//! What the workers' handlers left behind (`storm_effects`, `storm_tally`, the letters of `fragile`), against the log.

use crate::cast::ROLE;
use crate::compensation::UNFINISHED;
use crate::partner::{Ledger, PARTNER};
use crate::worker::{FRAGILE, Harm, TALLY, WITNESS};
use factstream_tests::ledger::{self, Event};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Event ids in order, by topic and key.
type Effects = BTreeMap<(&'static str, String), Vec<String>>;

/// Makes the table that the workers write into.
pub(crate) fn prepare(store: &str) {
    let id = if store.starts_with("sqlite") {
        "INTEGER PRIMARY KEY AUTOINCREMENT"
    } else {
        "BIGSERIAL PRIMARY KEY"
    };
    write(
        store,
        &format!(
            "CREATE TABLE storm_effects (id {id}, handler TEXT NOT NULL, event_key TEXT NOT NULL, \
             event_type TEXT NOT NULL, event_id TEXT NOT NULL)"
        ),
    );
    if !store.starts_with("sqlite") {
        write(store, &format!("ALTER TABLE storm_effects OWNER TO {ROLE}"));
    }
}

/// Runs SQL that is the harness's own.
pub(crate) fn write(store: &str, sql: &str) {
    if let Some(path) = store.strip_prefix("sqlite://") {
        let connection = Connection::open(path).expect("the store's file opens");
        connection.busy_timeout(Duration::from_secs(30)).expect("a time limit can be set");
        connection.execute_batch(sql).expect("the harness's statement runs");
    } else {
        let client = postgres::Client::connect(store, postgres::NoTls);
        client.expect("the database answers").batch_execute(sql).expect("the harness's statement runs");
    }
}

/// How far the workers are.
#[derive(Debug)]
#[expect(dead_code, reason = "it is told as it is")]
pub(crate) struct Progress {
    pub(crate) is_done: bool,
    public: i64,
    of_orders: i64,
    witnessed: i64,
    done_by_fragile: i64,
    held_by_fragile: i64,
    retrying: i64,
    tally_behind: i64,
    partners_due: i64,
    partners_done: i64,
    unfinished: i64,
}

/// How far the workers are. Reads as little as possible: it is asked again and again.
pub(crate) fn progress(store: &str, partners: &Ledger) -> Progress {
    let (partners_due, begins) = partners.due();
    let sql = format!(
        "SELECT (SELECT count(*) FROM events WHERE event_type NOT IN ({PRIVATE})), \
                (SELECT count(*) FROM events WHERE event_type LIKE 'Order%' AND event_type NOT IN ({PRIVATE})), \
                (SELECT count(*) FROM storm_effects WHERE handler = '{WITNESS}'), \
                (SELECT count(*) FROM storm_effects WHERE handler = '{FRAGILE}'), \
                (SELECT count(*) FROM fs_dead_letters WHERE handler = '{FRAGILE}' AND state IN ('dead', 'parked')), \
                (SELECT count(*) FROM fs_blocked_keys WHERE next_attempt_at IS NOT NULL), \
                (SELECT max(position) FROM events) - (SELECT min(c.position) FROM fs_handlers h JOIN fs_checkpoints c \
                 ON c.handler = h.handler AND c.generation = h.generation WHERE h.handler = '{TALLY}'), \
                (SELECT count(*) FROM storm_effects WHERE handler = '{PARTNER}' AND event_id LIKE '{begins}%') + \
                (SELECT count(*) FROM fs_dead_letters WHERE handler = '{PARTNER}' AND state IN ('dead', 'parked') \
                 AND event_id LIKE '{begins}%'), \
                {UNFINISHED}"
    );
    let row = ledger::query(store, &sql).remove(0);
    let number = |at: usize| row[at].as_deref().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let [
        public,
        of_orders,
        witnessed,
        done_by_fragile,
        held_by_fragile,
        retrying,
        tally_behind,
        partners_done,
        unfinished,
    ] = std::array::from_fn(number);
    let is_done = witnessed >= public
        && done_by_fragile + held_by_fragile >= of_orders
        && retrying == 0
        && tally_behind <= 0
        && partners_done >= partners_due
        && unfinished == 0;
    Progress {
        is_done,
        public,
        of_orders,
        witnessed,
        done_by_fragile,
        held_by_fragile,
        retrying,
        tally_behind,
        partners_due,
        partners_done,
        unfinished,
    }
}

const PRIVATE: &str = "'OrderPaid', 'OrderPaymentApproved', 'OrderStockReserved', 'OrderPaymentDeclined', 'OrderRefunded', \
     'OrderOutOfStock', 'OrderStockReturned', 'OrdersReported', 'ReservationHeld', 'ReservationReleased'";

/// Before anything is redriven: each effect once and in order; dead letters are exactly what had to fail, with what follows
/// parked behind it in order. How many there are.
pub(crate) fn check_harmed(store: &str, events: &[(Event, String)]) -> usize {
    let is_deadly = |key: &str| Harm::of(key).is_deadly();
    compare(WITNESS, &effects(store, WITNESS), wanted(events, |_, _| true));
    let healthy = wanted(events, |topic, key| topic == ORDERS && !is_deadly(key));
    compare(FRAGILE, &effects(store, FRAGILE), healthy);
    let mut held = Effects::new();
    let sql = format!(
        "SELECT event_key, event_id, state FROM fs_dead_letters WHERE handler = '{FRAGILE}' ORDER BY id"
    );
    for row in ledger::query(store, &sql) {
        let [key, id, state] = <[_; 3]>::try_from(row).expect("three columns").map(Option::unwrap_or_default);
        let ids = held.entry((ORDERS, key.clone())).or_default();
        let wanted = if ids.is_empty() { "dead" } else { "parked" };
        assert_eq!(state, wanted, "{FRAGILE}: the letter of event {id} of key {key}");
        ids.push(id);
    }
    let harmed = wanted(events, |topic, key| topic == ORDERS && is_deadly(key));
    let count = harmed.len();
    compare("dead letters of fragile", &held, harmed);
    check_tally(store, events);
    count
}

/// After everything was redriven: nothing is left, and every effect is there.
pub(crate) fn check_healed(store: &str, events: &[(Event, String)]) {
    compare(WITNESS, &effects(store, WITNESS), wanted(events, |_, _| true));
    compare(FRAGILE, &effects(store, FRAGILE), wanted(events, |topic, _| topic == ORDERS));
    check_tally(store, events);
}

const ORDERS: &str = "orders.events";

/// The topic of a public event.
fn topic(event_type: &str) -> Option<&'static str> {
    match event_type {
        "OrderCreated" | "OrderShipped" | "OrderCancelled" => Some(ORDERS),
        "PaymentProcessed" | "PaymentRefundRequested" | "PaymentRefunded" => Some("payments.events"),
        "InventoryUpdated" => Some("inventory.events"),
        _ => None,
    }
}

/// The messages of other teams of which nothing came, the first of them.
pub(crate) fn missing_partners(store: &str, partners: &Ledger) -> Vec<String> {
    let sql = format!(
        "SELECT event_id FROM storm_effects WHERE handler = '{PARTNER}' UNION \
         SELECT event_id FROM fs_dead_letters WHERE handler = '{PARTNER}'"
    );
    let found = ledger::query(store, &sql).into_iter().filter_map(|mut row| row.remove(0)).collect();
    partners.missing(&found).into_iter().take(20).map(str::to_owned).collect()
}

/// What came of the messages of other teams.
pub(crate) fn check_partners(store: &str, partners: &Ledger, is_healed: bool) {
    let two = |row: Vec<Option<String>>| {
        let [key, token] = <[_; 2]>::try_from(row).expect("two columns").map(Option::unwrap_or_default);
        (key, token)
    };
    let sql =
        format!("SELECT event_key, event_id FROM storm_effects WHERE handler = '{PARTNER}' ORDER BY id");
    let effects: Vec<_> = ledger::query(store, &sql).into_iter().map(two).collect();
    let sql = format!(
        "SELECT event_key, event_id FROM fs_dead_letters WHERE handler = '{PARTNER}' AND state <> 'handled'"
    );
    let letters: Vec<_> = ledger::query(store, &sql).into_iter().map(two).collect();
    let held: BTreeSet<String> = letters.iter().map(|(_, token)| token.clone()).collect();
    assert_eq!(held.len(), letters.len(), "{PARTNER}: a message has two letters");
    partners.check(&effects, &held, is_healed);
}

fn wanted(events: &[(Event, String)], is_wanted: impl Fn(&str, &str) -> bool) -> Effects {
    let mut wanted = Effects::new();
    for (event, id) in events {
        let Some(topic) = topic(&event.event_type) else { continue };
        if is_wanted(topic, &event.aggregate_id) {
            wanted.entry((topic, event.aggregate_id.clone())).or_default().push(id.clone());
        }
    }
    wanted
}

fn effects(store: &str, handler: &str) -> Effects {
    let mut effects = Effects::new();
    let sql = format!(
        "SELECT event_type, event_key, event_id FROM storm_effects WHERE handler = '{handler}' ORDER BY id"
    );
    for row in ledger::query(store, &sql) {
        let [event_type, key, id] =
            <[_; 3]>::try_from(row).expect("three columns").map(Option::unwrap_or_default);
        let topic = topic(&event_type).expect("the workers write down public events only");
        effects.entry((topic, key)).or_default().push(id);
    }
    effects
}

fn compare(what: &str, found: &Effects, wanted: Effects) {
    for (place, ids) in &wanted {
        let found = found.get(place).map_or(&[][..], Vec::as_slice);
        assert_eq!(found, ids, "{what}: the events of {place:?}, each once and in the log's order");
    }
    for place in found.keys() {
        assert!(wanted.contains_key(place), "{what}: {place:?} was not to be handled");
    }
}

/// The projection has counted each event once and in order.
fn check_tally(store: &str, events: &[(Event, String)]) {
    let mut wanted = BTreeMap::<&str, (i64, i64)>::new();
    for (event, _) in events.iter().filter(|(event, _)| topic(&event.event_type) == Some(ORDERS)) {
        let (count, last) = wanted.entry(&event.aggregate_id).or_default();
        *count += 1;
        *last = event.position;
    }
    let mut rows = BTreeMap::new();
    for row in ledger::query(store, "SELECT aggregate_id, events, last_position, disorder FROM storm_tally") {
        let [key, count, last, disorder] =
            <[_; 4]>::try_from(row).expect("four columns").map(Option::unwrap_or_default);
        assert_eq!(disorder, "0", "{TALLY}: events of {key} came out of order");
        let number = |text: &str| text.parse::<i64>().expect("a number");
        rows.insert(key, (number(&count), number(&last)));
    }
    for (key, wanted) in &wanted {
        assert_eq!(rows.get(*key), Some(wanted), "{TALLY}: count and last position of {key}");
    }
    assert_eq!(rows.len(), wanted.len(), "{TALLY}: keys that the log does not have");
}
