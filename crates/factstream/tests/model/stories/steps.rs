//! What a case of stories is made of.

use crate::cases::Case;
use crate::fate::{Fate, by, fate};
use factstream::Shape;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// How many instances there may be: few, so that steps meet each other.
pub(crate) const STORIES: usize = 3;
/// And payments, which know nothing of the stories.
const PAYMENTS: usize = 4;

/// What an instance does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub(crate) enum Temper {
    Calm,
    /// It fails this often, then works.
    Fails(u32),
    /// It fails for good until it is mended.
    Dies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub(crate) enum What {
    Start,
    Plain,
    /// A command, which is refused when the stock is empty.
    Take,
    /// Names have hours of their own, so that two timers of an instance are never due at once.
    Timer {
        name: u8,
        hours: u8,
    },
    Cancel(u8),
    /// The instance is given this payment as its alias.
    Alias(usize),
    End,
    /// It concerns every instance that there is.
    All,
    /// It concerns the instance by its id, and whoever has this payment.
    Both(usize),
}

/// Whose stream an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Story(usize),
    Payment(usize),
}

/// An event, as a case has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) of: Of,
    pub(crate) what: What,
    pub(crate) temper: Temper,
    /// Whether it is passed over where nobody is to take it.
    pub(crate) skips: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Events in one transaction, so that the process finds them all at once.
    Tell {
        by: usize,
        all: Vec<Told>,
    },
    Fate(Fate),
    /// The clock goes on while nothing runs.
    Clock {
        hours: u64,
        killed: bool,
    },
    FireNow {
        story: usize,
        name: u8,
    },
    CancelTimer {
        story: usize,
        name: u8,
    },
    /// The state is made again from the history.
    Rebuild {
        story: usize,
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

#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) batch: usize,
    pub(crate) lanes: usize,
    /// One lane, and no event that works only after some attempts: then instances take their inputs in one order, and who is first given an
    /// alias, or passes over what comes by it, is known.
    pub(crate) is_strict: bool,
}

pub(crate) fn case() -> impl Strategy<Value = Case<Setup, Step>> {
    let batch = prop_oneof![3 => Just(500_usize), 1 => Just(1), 1 => Just(3)];
    let setup = (batch, 1..=3_usize, any::<bool>()).prop_map(|(batch, lanes, is_strict)| {
        let lanes = if is_strict { 1 } else { lanes };
        Setup { batch, lanes, is_strict }
    });
    (setup, vec(step(), 20..=60)).prop_map(|(setup, steps)| Case { setup, steps })
}

fn temper() -> impl Strategy<Value = Temper> {
    prop_oneof![
        12 => Just(Temper::Calm),
        2 => (1_u32..=3).prop_map(Temper::Fails),
        2 => Just(Temper::Dies),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let payment = || 0..PAYMENTS;
    prop_oneof![
        3 => Just(What::Start),
        5 => Just(What::Plain),
        3 => Just(What::Take),
        4 => (0..2_u8, any::<bool>()).prop_map(|(name, long)| {
            let hours = 1 + name + if long { 2 } else { 0 };
            What::Timer { name, hours }
        }),
        2 => (0..2_u8).prop_map(What::Cancel),
        4 => payment().prop_map(What::Alias),
        1 => Just(What::End),
        1 => Just(What::All),
        2 => payment().prop_map(What::Both),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let of = prop_oneof![
        2 => (0..STORIES).prop_map(Of::Story),
        1 => (0..PAYMENTS).prop_map(Of::Payment),
    ];
    let skips = proptest::bool::weighted(0.4);
    (of, what(), temper(), skips).prop_map(|(of, what, temper, skips)| {
        // A payment says nothing of stories.
        let what = match (of, what) {
            (Of::Payment(_), What::Start | What::Both(_)) => What::Plain,
            (_, what) => what,
        };
        Told { of, what, temper, skips }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let (nth, story, name) = (any::<usize>, || 0..STORIES, || 0..2_u8);
    prop_oneof![
        40 => (by(), vec(told(), 1)).prop_map(|(by, all)| Step::Tell { by, all }),
        20 => (by(), vec(told(), 2..=6)).prop_map(|(by, all)| Step::Tell { by, all }),
        14 => fate().prop_map(Step::Fate),
        5 => (1..=4_u64, any::<bool>()).prop_map(|(hours, killed)| Step::Clock { hours, killed }),
        2 => (story(), name()).prop_map(|(story, name)| Step::FireNow { story, name }),
        1 => (story(), name()).prop_map(|(story, name)| Step::CancelTimer { story, name }),
        2 => story().prop_map(|story| Step::Rebuild { story }),
        2 => Just(Step::Settle),
        5 => (nth(), any::<bool>()).prop_map(|(nth, mend)| Step::Redrive { nth, mend }),
        1 => any::<bool>().prop_map(|mend| Step::RedriveAll { mend }),
        1 => nth().prop_map(|nth| Step::Edit { nth }),
        3 => nth().prop_map(|nth| Step::Discard { nth }),
    ]
}
