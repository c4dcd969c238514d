//! Cases that failed once, each as small as it was found. They are played on every engine.

use crate::cases::{Case, on_a_store, sqlite_file};
use crate::fate::Fate;
use crate::play::Play;
use crate::steps::{Order, Rebuilt, Setup, Step, Temper, What, Who};
use factstream::App;
use factstream::status::State;
use std::time::{Duration, Instant};

const PLAIN: Setup = Setup { batch: 500, ledger_lanes: 1, journal_lanes: 1, has_split_rows: false };

fn deposit(amount: i64, temper: Temper) -> Step {
    Step::Do(Order { by: 0, account: 0, what: What::Deposit(amount, temper), key: None })
}

/// A rebuild could not switch: on PostgreSQL, a list of no keys is not a list (`IN ()`).
pub(crate) fn a_rebuild_with_a_dead_letter() -> Case<Setup, Step> {
    let steps = vec![
        deposit(2, Temper::Dies(Who::Journal)),
        Step::Settle,
        Step::Rebuild { by: 0, what: Rebuilt::Journal },
    ];
    Case { setup: PLAIN, steps }
}

/// A part of a projection stood still: its lease named a process that had no room for it, so that it neither took the part
/// up nor gave it back, and nobody else took it from one that lives.
#[tokio::test]
async fn a_part_whose_lease_names_a_process_without_room_for_it_is_handled_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut play = Play::new(sqlite_file(&folder), Setup { has_split_rows: true, ..PLAIN });
    let deposits: Vec<Step> = (0..3)
        .map(|account| {
            let what = What::Deposit(2, Temper::Calm);
            Step::Do(Order { by: 0, account, what, key: None })
        })
        .collect();
    play.steps(&[Step::Fate(Fate::Start { by: 0 }), Step::Fate(Fate::Start { by: 1 })]).await.unwrap();
    // They share the parts. Then one takes all over, and the other learns of it.
    let [one, other] = play.processes.all().await.try_into().ok().unwrap();
    until(&other, |works| works.contains(&true)).await;
    play.steps(&[Step::Fate(Fate::Takeover)]).await.unwrap();
    until(&one, |works| !works[0]).await;
    play.steps(&[deposits, vec![Step::Settle]].concat()).await.unwrap();
}

/// Waits until the process works for its handlers, or not, as wanted.
async fn until(app: &App, wanted: impl Fn(&[bool]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let handlers = app.status().await.handlers;
        let works = handlers.iter().map(|handler| matches!(handler.state, State::Idle | State::Running));
        if wanted(&works.collect::<Vec<_>>()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("its work does not go where it is wanted");
}

#[test]
fn a_rebuild_that_meets_a_dead_letter_switches_all_the_same() {
    play_it(&a_rebuild_with_a_dead_letter(), sqlite_file);
}

pub(crate) fn play_it(case: &Case<Setup, Step>, place: crate::cases::Place) {
    on_a_store(place, async |url| Play::new(url, case.setup).case(case).await).unwrap();
}
