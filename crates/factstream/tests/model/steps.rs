//! What a case is made of: the way it is set up, and its steps. Plain data, so that proptest can make and shrink it.

use crate::cases::Case;
use crate::fate::{Fate, by, fate};
use factstream::Shape;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// How many accounts there are: few, so that steps meet each other.
const ACCOUNTS: usize = 3;

/// Which handler has trouble with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Shape)]
pub(crate) enum Who {
    Ledger,
    Auditor,
    Journal,
}

/// What a handler does when it is given the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub(crate) enum Temper {
    Calm,
    /// It fails this often, then works.
    Fails(Who, u32),
    /// It fails for good until it is mended.
    Dies(Who),
    /// It panics until it is mended.
    Panics(Who),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Open,
    /// Opens the account where that was not done yet. An odd amount is noted, too, in private.
    Deposit(i64, Temper),
    /// Refused when the account is short. Alerts when little is left.
    Withdraw(i64, Temper),
    Close,
    Nothing,
}

/// A command to an account, by one of the two processes, with an idempotency key or without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) by: usize,
    pub(crate) account: usize,
    pub(crate) what: What,
    pub(crate) key: Option<u8>,
}

/// A record on the topic that the relay did not put there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Foreign {
    /// An event of the log once more.
    Duplicate(usize),
    /// Not JSON.
    Garbage,
    /// Not even headers.
    Headerless,
    UnknownType,
    /// An event of another producer.
    Valid(Temper),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebuilt {
    Rows,
    /// Given up in the middle of it.
    RowsHalf,
    Journal,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Do(Order),
    /// The nth command that had a key, once more.
    Again {
        by: usize,
        nth: usize,
    },
    /// At the same time.
    Together(Vec<Order>),
    /// A process of an older build deposits: schema version 1, and its own expected version, right or stale.
    OldBuild {
        by: usize,
        account: usize,
        amount: i64,
        stale: bool,
    },
    /// Two commands in one transaction, committed or dropped.
    Transfer {
        by: usize,
        from: usize,
        to: usize,
        amount: i64,
        commit: bool,
    },
    /// A query that waits for everything that was acknowledged.
    Query {
        by: usize,
        account: usize,
    },
    Fate(Fate),
    Foreign {
        account: usize,
        what: Foreign,
    },
    Rebuild {
        by: usize,
        what: Rebuilt,
    },
    /// Everything settles and is compared with the reference.
    Settle,
    Redrive {
        nth: usize,
        mend: bool,
    },
    RedriveAll {
        mend: bool,
    },
    Edit {
        nth: usize,
    },
    Discard {
        nth: usize,
    },
}

/// How the handlers are set up in a case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) batch: usize,
    pub(crate) ledger_lanes: usize,
    pub(crate) journal_lanes: usize,
    pub(crate) has_split_rows: bool,
}

pub(crate) fn case() -> impl Strategy<Value = Case<Setup, Step>> {
    let lanes = || prop_oneof![2 => Just(1_usize), 1 => Just(3)];
    let batch = prop_oneof![3 => Just(500_usize), 1 => Just(1), 1 => Just(3)];
    let split = proptest::bool::weighted(0.25);
    let setup =
        (batch, lanes(), lanes(), split).prop_map(|(batch, ledger_lanes, journal_lanes, has_split_rows)| {
            Setup { batch, ledger_lanes, journal_lanes, has_split_rows }
        });
    (setup, vec(step(), 20..=60)).prop_map(|(setup, steps)| Case { setup, steps })
}

fn temper() -> impl Strategy<Value = Temper> {
    let who = || prop_oneof![Just(Who::Ledger), Just(Who::Auditor), Just(Who::Journal)];
    prop_oneof![
        12 => Just(Temper::Calm),
        2 => (who(), 1_u32..=3).prop_map(|(who, times)| Temper::Fails(who, times)),
        2 => who().prop_map(Temper::Dies),
        1 => who().prop_map(Temper::Panics),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        1 => Just(What::Open),
        9 => (1..=60_i64, temper()).prop_map(|(amount, temper)| What::Deposit(amount, temper)),
        5 => (1..=60_i64, temper()).prop_map(|(amount, temper)| What::Withdraw(amount, temper)),
        1 => Just(What::Close),
        1 => Just(What::Nothing),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    (by(), account(), what(), weighted(0.3, 0..4_u8)).prop_map(|(by, account, what, key)| Order {
        by,
        account,
        what,
        key,
    })
}

fn account() -> impl Strategy<Value = usize> {
    0..ACCOUNTS
}

fn foreign() -> impl Strategy<Value = Foreign> {
    prop_oneof![
        3 => any::<usize>().prop_map(Foreign::Duplicate),
        1 => Just(Foreign::Garbage),
        1 => Just(Foreign::Headerless),
        1 => Just(Foreign::UnknownType),
        2 => temper().prop_map(Foreign::Valid),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let nth = || any::<usize>();
    let rebuilt =
        prop_oneof![1 => Just(Rebuilt::Rows), 1 => Just(Rebuilt::RowsHalf), 2 => Just(Rebuilt::Journal)];
    let money = || 1..=60_i64;
    prop_oneof![
        40 => order().prop_map(Step::Do),
        6 => (by(), nth()).prop_map(|(by, nth)| Step::Again { by, nth }),
        6 => vec(order(), 2..=5).prop_map(Step::Together),
        4 => (by(), account(), money(), any::<bool>())
            .prop_map(|(by, account, amount, stale)| Step::OldBuild { by, account, amount, stale }),
        4 => (by(), account(), account(), money(), any::<bool>())
            .prop_map(|(by, from, to, amount, commit)| Step::Transfer { by, from, to, amount, commit }),
        4 => (by(), account()).prop_map(|(by, account)| Step::Query { by, account }),
        14 => fate().prop_map(Step::Fate),
        5 => (account(), foreign()).prop_map(|(account, what)| Step::Foreign { account, what }),
        3 => (by(), rebuilt).prop_map(|(by, what)| Step::Rebuild { by, what }),
        2 => Just(Step::Settle),
        4 => (nth(), any::<bool>()).prop_map(|(nth, mend)| Step::Redrive { nth, mend }),
        1 => any::<bool>().prop_map(|mend| Step::RedriveAll { mend }),
        1 => nth().prop_map(|nth| Step::Edit { nth }),
        2 => nth().prop_map(|nth| Step::Discard { nth }),
    ]
}
