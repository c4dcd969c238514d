//! What became of each order, from the log and the tables of processes: it came to one end, a cancelled one has its money and its stock back
//! exactly once, its process has ended, and a timer was an input once.
//!
//! Money and stock are counted from the events of payments and stock alone: what the process believes is compared with that.

use factstream_tests::ledger::{self, Event};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Orders whose process has not ended, or not begun.
pub(crate) const UNFINISHED: &str = "(SELECT count(*) FROM events WHERE event_type = 'OrderCreated') - \
     (SELECT count(*) FROM fs_processes WHERE process = 'fulfilment' AND status = 'ended')";

/// What orders came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) shipped: usize,
    pub(crate) cancelled: usize,
    /// Of these, those that were not paid or not reserved in time.
    pub(crate) overdue: usize,
    /// Of these, those that were paid.
    pub(crate) refunded: usize,
    /// Of these, those that were reserved.
    pub(crate) returned: usize,
}

/// What the log says of one order.
#[derive(Default)]
struct Story {
    shipped: usize,
    reasons: Vec<String>,
    approved: Vec<u64>,
    requested: Vec<u64>,
    refunded: Vec<u64>,
    /// By SKU: what went out, and what came back.
    reserved: BTreeMap<String, Vec<i64>>,
    returned: BTreeMap<String, Vec<i64>>,
}

/// Checks everything; panics with what does not hold.
pub(crate) fn check(store: &str) -> Ends {
    let events = ledger::events(store);
    let stories = stories(&events);
    let created = ledger::of_type(&events, "OrderCreated");
    let mut ends = Ends::default();
    let mut overdue = BTreeSet::new();
    for order in &created {
        let Some(story) = stories.get(*order) else { panic!("order {order} has no story") };
        story.check(order);
        if story.is_overdue() {
            overdue.insert((*order).to_owned());
        }
        story.count(&mut ends);
    }
    check_processes(store, &created);
    check_timers(store, &overdue);
    ends
}

fn stories(events: &[Event]) -> BTreeMap<String, Story> {
    let mut stories = BTreeMap::<String, Story>::new();
    for event in events {
        let data = &event.data;
        let order = data["order_id"].as_str().unwrap_or(&event.aggregate_id).to_owned();
        let cents = || data["amount_cents"].as_u64().expect("an amount is a number");
        match event.event_type.as_str() {
            "OrderCreated" => drop(stories.entry(order).or_default()),
            "OrderShipped" => stories.entry(order).or_default().shipped += 1,
            "OrderCancelled" => stories.entry(order).or_default().reasons.push(text(&data["reason"])),
            "PaymentProcessed" if data["status"] == "APPROVED" => {
                stories.entry(order).or_default().approved.push(cents());
            }
            "PaymentRefundRequested" => stories.entry(order).or_default().requested.push(cents()),
            "PaymentRefunded" => stories.entry(order).or_default().refunded.push(cents()),
            "InventoryUpdated" if data["order_id"].is_string() => {
                let (sku, change) =
                    (text(&data["sku"]), data["change"].as_i64().expect("a change is a number"));
                let story = stories.entry(order).or_default();
                match data["reason"].as_str() {
                    Some("RESERVED") => story.reserved.entry(sku).or_default().push(-change),
                    Some("RETURNED") => story.returned.entry(sku).or_default().push(change),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    stories
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Story {
    fn is_overdue(&self) -> bool {
        self.reasons.iter().any(|reason| reason.contains("in time"))
    }

    fn check(&self, order: &str) {
        let ends = self.shipped + self.reasons.len();
        assert_eq!(
            ends, 1,
            "order {order} came to one end: shipped {}, cancelled {:?}",
            self.shipped, self.reasons
        );
        assert!(self.approved.len() <= 1, "order {order} was paid once: {:?}", self.approved);
        assert!(
            self.reserved.values().all(|times| times.len() == 1),
            "order {order} was reserved once: {:?}",
            self.reserved
        );
        if self.shipped == 1 {
            assert_eq!(self.approved.len(), 1, "the shipped order {order} is paid");
            assert!(!self.reserved.is_empty(), "the shipped order {order} has its stock");
            assert!(
                self.refunded.is_empty() && self.returned.is_empty(),
                "the shipped order {order} got something back"
            );
        } else {
            assert_eq!(
                self.requested, self.approved,
                "the money of the cancelled order {order} is asked for once"
            );
            assert_eq!(self.refunded, self.approved, "the money of the cancelled order {order} is back once");
            assert_eq!(self.returned, self.reserved, "the stock of the cancelled order {order} is back once");
        }
    }

    fn count(&self, ends: &mut Ends) {
        ends.shipped += self.shipped;
        ends.cancelled += self.reasons.len();
        ends.overdue += usize::from(self.is_overdue());
        ends.refunded += self.refunded.len();
        ends.returned += usize::from(!self.returned.is_empty());
    }
}

/// Each order has one instance, which has ended, and whose history has each of its inputs once.
fn check_processes(store: &str, created: &BTreeSet<&str>) {
    let sql = "SELECT process_id, status, version FROM fs_processes WHERE process = 'fulfilment'";
    let mut versions = BTreeMap::new();
    for row in ledger::query(store, sql) {
        let [id, status, version] =
            <[_; 3]>::try_from(row).expect("three columns").map(Option::unwrap_or_default);
        assert_eq!(status, "ended", "the process of order {id}");
        versions.insert(id, version);
    }
    let ids: BTreeSet<&str> = versions.keys().map(String::as_str).collect();
    assert_eq!(&ids, created, "each order has a process");
    let sql = "SELECT process_id, count(*), count(DISTINCT input_id), max(version) FROM fs_process_history \
               WHERE process = 'fulfilment' GROUP BY process_id";
    for row in ledger::query(store, sql) {
        let [id, steps, inputs, last] =
            <[_; 4]>::try_from(row).expect("four columns").map(Option::unwrap_or_default);
        assert_eq!(steps, inputs, "the process of order {id} took each input once");
        assert_eq!(
            (&steps, Some(&steps)),
            (&last, versions.get(&id)),
            "the steps of the process of order {id}"
        );
    }
    let left = ledger::query(store, "SELECT count(*) FROM fs_timers WHERE handler = 'fulfilment'");
    assert_eq!(left[0][0].as_deref(), Some("0"), "timers of processes that have ended");
}

/// Those orders, and no others, have taken their timer, once. Not one that was shipped.
fn check_timers(store: &str, overdue: &BTreeSet<String>) {
    let sql = "SELECT process_id, count(*) FROM fs_process_history WHERE process = 'fulfilment' AND kind = 'timer' \
               GROUP BY process_id";
    let mut fired = BTreeSet::new();
    for row in ledger::query(store, sql) {
        let [id, times] = <[_; 2]>::try_from(row).expect("two columns").map(Option::unwrap_or_default);
        assert_eq!(times, "1", "the timer of order {id} took effect once");
        fired.insert(id);
    }
    assert_eq!(&fired, overdue, "the timers that were due, and the orders that were cancelled for that");
}
