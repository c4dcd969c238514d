//! What other teams publish to a topic that is not ours: messages of every kind, and runs of such as nobody can read. A ledger
//! says what must come of each.
//!
//! Messages are lost with their topic, or with what its retention deletes: each such loss begins an epoch. What was
//! acknowledged since the last one has its effect once; what came before, once or not at all. Order holds within an epoch: Kafka writes
//! down every 60 s up to where it has deleted, so one that is killed in between has the deleted records again, before those that came after
//! (log.flush.start.offset.checkpoint.interval.ms).

use factstream::message::{Decoded, Headers, Message, Record};
use factstream::sql::now;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::str::Utf8Error;

/// The topic.
pub(crate) const TOPIC: &str = "partners.events";
/// Its partitions.
pub(crate) const PARTITIONS: u32 = 4;
/// The consumer that reads it.
pub(crate) const PARTNER: &str = "partner";
const EVENT_TYPE: &str = "PartnerNoted";
/// The messages of each kind that are published at once.
const OF_A_KIND: usize = 5;
/// The messages of a run that nobody can read, and the keys that they share.
const POISON_RUN: usize = 2_000;
const POISON_KEYS: usize = 50;
/// The part of a token that names its epoch.
const EPOCH_LEN: usize = "e000".len();
/// What begins a value that only healed workers can read.
const POISON: &str = "poison ";

/// What other teams do differently from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All as we do it.
    Plain,
    /// Ids that other producers use, too: 1, 2, 3.
    Counted,
    /// The same message twice.
    Twice,
    NoId,
    NoKey,
    EmptyKey,
    BinaryKey,
    LongKey,
    /// A header of their own that is not text.
    BinaryHeader,
    /// Seconds since 1970 for a time.
    Epoch,
    /// A value that is missing.
    Tombstone,
    /// A value that is not JSON.
    Poison,
}

const KINDS: [Kind; 12] = [
    Kind::Plain,
    Kind::Counted,
    Kind::Twice,
    Kind::NoId,
    Kind::NoKey,
    Kind::EmptyKey,
    Kind::BinaryKey,
    Kind::LongKey,
    Kind::BinaryHeader,
    Kind::Epoch,
    Kind::Tombstone,
    Kind::Poison,
];

/// What must come of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The handler's effect.
    Handled,
    /// A letter, which the healed workers can handle.
    Letter,
    /// Nothing.
    Skipped,
}

struct Sent {
    epoch: u32,
    fate: Fate,
    is_acknowledged: bool,
}

/// A message with the token that its effect is known by.
pub(crate) struct Outgoing {
    token: String,
    fate: Fate,
    pub(crate) message: Message,
}

/// Everything that was published, by token. Tokens of one key ascend.
#[derive(Default)]
pub(crate) struct Ledger {
    epoch: u32,
    next: u64,
    sent: BTreeMap<String, Sent>,
}

impl Ledger {
    /// What is published so far may be lost from now on.
    pub(crate) fn lose(&mut self) {
        self.epoch += 1;
    }

    /// Some of each kind.
    pub(crate) fn every_kind(&mut self) -> Vec<Outgoing> {
        let kinds = (0..OF_A_KIND).flat_map(|number| KINDS.map(|kind| (number, kind)));
        let mut outgoing = Vec::new();
        for (number, kind) in kinds {
            let message = self.message(kind, number);
            if kind == Kind::Twice {
                let again = Outgoing {
                    token: message.token.clone(),
                    fate: message.fate,
                    message: message.message.clone(),
                };
                outgoing.push(again);
            }
            outgoing.push(message);
        }
        outgoing
    }

    /// A long run of messages that cannot be read, with one behind them that can.
    pub(crate) fn poison_run(&mut self) -> Vec<Outgoing> {
        let mut run: Vec<Outgoing> =
            (0..POISON_RUN).map(|number| self.message(Kind::Poison, number % POISON_KEYS)).collect();
        run.push(self.message(Kind::Plain, 0));
        run
    }

    fn message(&mut self, kind: Kind, number: usize) -> Outgoing {
        let token = format!("e{:03}-{:08}-{kind:?}", self.epoch, self.next);
        self.next += 1;
        let mut headers = Headers::default();
        headers.push("event_type", EVENT_TYPE);
        match kind {
            Kind::NoId | Kind::NoKey => {}
            Kind::Counted => {
                headers.push("event_id", number.to_string());
                headers.push("source", &token);
            }
            _ => headers.push("event_id", &token),
        }
        match kind {
            Kind::BinaryHeader => headers.push("x-trace", [0xff, 0xfe, 0x00]),
            Kind::Epoch => headers.push("timestamp", "1764400000"),
            _ => {}
        }
        let key = match kind {
            Kind::NoKey => None,
            Kind::EmptyKey => Some(Vec::new()),
            Kind::BinaryKey => Some([[0xf0, 0x9f, 0xff, 0x00].as_slice(), &number.to_be_bytes()].concat()),
            Kind::LongKey => Some(format!("{}{number}", "long-".repeat(80)).into_bytes()),
            // Behind a message that cannot be read, those of its key wait.
            kind => Some(format!("{kind:?}-{number}").into_bytes()),
        };
        let (value, fate) = match kind {
            Kind::Tombstone => (None, Fate::Letter),
            Kind::Poison => (Some(format!("{POISON}{token}")), Fate::Letter),
            // Without a key, messages of one aggregate are in any partition: this one has no other.
            Kind::NoKey => {
                (Some(json!({ "token": token, "aggregate_id": token }).to_string()), Fate::Handled)
            }
            _ => (Some(json!({ "token": token }).to_string()), Fate::Handled),
        };
        let value = value.map(String::into_bytes);
        let (mut headers, mut fate) = (headers, fate);
        if kind == Kind::Tombstone {
            (headers, fate) = (Headers::default(), Fate::Skipped); // a bare one is for the broker
        }
        let message = Message { topic: TOPIC.to_owned(), key, value, headers, timestamp: now() };
        Outgoing { token, fate, message }
    }

    /// The first so many were acknowledged; of the others nobody knows.
    pub(crate) fn note(&mut self, outgoing: Vec<Outgoing>, acknowledged: usize) {
        for (number, Outgoing { token, fate, .. }) in outgoing.into_iter().enumerate() {
            let is_acknowledged = number < acknowledged;
            let sent = self.sent.entry(token).or_insert(Sent { epoch: self.epoch, fate, is_acknowledged });
            sent.is_acknowledged |= is_acknowledged;
        }
    }

    /// How many are to have an effect or a letter, and what their tokens begin with.
    pub(crate) fn due(&self) -> (i64, String) {
        let due = self.sent.values().filter(|sent| sent.is_due(self.epoch)).count();
        (i64::try_from(due).unwrap_or(i64::MAX), format!("e{:03}-", self.epoch))
    }

    /// Those that are due and not among these.
    pub(crate) fn missing(&self, found: &BTreeSet<String>) -> Vec<&str> {
        let due = self.sent.iter().filter(|(_, sent)| sent.is_due(self.epoch));
        due.map(|(token, _)| token.as_str()).filter(|token| !found.contains(*token)).collect()
    }

    /// Checks effects and letters, each by key and in order: tokens, and what the letters hold.
    ///
    /// # Panics
    /// With the token of which something else came than must.
    pub(crate) fn check(&self, effects: &[(String, String)], letters: &BTreeSet<String>, is_healed: bool) {
        let mut found = BTreeMap::<&str, u32>::new();
        let mut last = BTreeMap::<(&str, &str), &str>::new();
        for (key, token) in effects {
            let count = found.entry(token).or_default();
            *count += 1;
            assert_eq!(*count, 1, "{PARTNER}: {token} of key {key} was handled twice");
            let epoch = &token[..EPOCH_LEN.min(token.len())];
            let before = last.insert((key, epoch), token).unwrap_or_default();
            assert!(before < token.as_str(), "{PARTNER}: {token} of key {key} came after {before}");
            assert!(self.sent.contains_key(token), "{PARTNER}: nobody has sent {token}");
        }
        for (token, sent) in &self.sent {
            let effects = found.get(token.as_str()).copied().unwrap_or(0);
            let letters = u32::from(letters.contains(token));
            let wanted = match sent.fate {
                Fate::Handled => (1, 0),
                Fate::Letter if is_healed => (1, 0),
                Fate::Letter => (0, 1),
                Fate::Skipped => (0, 0),
            };
            let is_right =
                (effects, letters) == wanted || (!sent.is_due(self.epoch) && (effects, letters) == (0, 0));
            assert!(
                is_right,
                "{PARTNER}: {token} ({:?}, acknowledged: {}, epoch {} of {}) has {effects} effects and {letters} letters",
                sent.fate, sent.is_acknowledged, sent.epoch, self.epoch
            );
        }
    }

    /// For the summary: what was sent, and how often it could be lost.
    pub(crate) fn summary(&self) -> String {
        format!("{} messages of other teams, {} losses of their topic", self.sent.len(), self.epoch)
    }
}

impl Sent {
    /// Whether something must have come of it.
    fn is_due(&self, epoch: u32) -> bool {
        self.is_acknowledged && self.epoch == epoch && self.fate != Fate::Skipped
    }
}

/// What healed workers read of a value that is not JSON.
pub(crate) fn cure(record: &Record) -> Result<Option<Decoded>, Utf8Error> {
    let text = record.value.as_deref().map(std::str::from_utf8).transpose()?;
    let Some(token) = text.and_then(|text| text.strip_prefix(POISON)) else { return Ok(None) };
    Ok(Some(Decoded::new(EVENT_TYPE, json!({ "token": token })).event_id(token)))
}
