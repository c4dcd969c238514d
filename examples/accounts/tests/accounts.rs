//! Decisions and rows without a store, transfers on a real one.
#![allow(missing_docs, clippy::unwrap_used)]

use accounts::AccountCommand::{Deposit, Open, Withdraw};
use accounts::AccountEvent::{Deposited, Opened, Withdrawn};
use accounts::{Account, Balance, Refused, application, transfer};
use factstream::testing::{TestApp, fold, given};
use factstream::{Envelope, ExecuteError};

fn opened() -> accounts::AccountEvent {
    Opened { owner: "Ada".into() }
}

#[test]
fn an_account_never_goes_below_zero() {
    let history = [opened(), Deposited { cents: 500 }];
    given::<Account>(history.clone()).when(Withdraw { cents: 500 }).then([Withdrawn { cents: 500 }]);
    let not_enough = Refused::NotEnough { balance: 500, wanted: 501 };
    given::<Account>(history.clone()).when(Withdraw { cents: 501 }).then_error(not_enough);
    given::<Account>(history).when(Open { owner: "Eve".into() }).then_error(Refused::AlreadyOpen);
    given::<Account>([]).when(Deposit { cents: 1 }).then_error(Refused::NotOpen);
}

#[test]
fn the_row_of_an_account_has_its_balance() {
    let history = [opened(), Deposited { cents: 500 }, Withdrawn { cents: 200 }];
    let rows = fold::<Balance>(history.map(|event| Envelope::of("ada", event)));
    assert_eq!(rows.all(), [Balance { account_id: "ada".into(), owner: "Ada".into(), cents: 300 }]);
}

async fn bank_of_ada_and_grace() -> TestApp {
    let app = TestApp::start(application("")).await;
    app.record::<Account>("ada", [opened(), Deposited { cents: 1_000 }]).await;
    app.record::<Account>("grace", [Opened { owner: "Grace".into() }]).await;
    app
}

async fn balances(app: &TestApp) -> (u64, u64) {
    app.settle().await;
    let balance = async |id: &str| app.read::<Balance>().get(id).await.unwrap().unwrap().cents;
    (balance("ada").await, balance("grace").await)
}

#[tokio::test]
async fn a_transfer_moves_its_money_once_and_can_be_read_at_once() {
    let app = bank_of_ada_and_grace().await;
    for _ in 0..2 {
        let position = transfer(&app, "t-1", ("ada", "grace"), 300).await.unwrap();
        let grace = app.read::<Balance>().wait_for(position).get("grace").await.unwrap().unwrap();
        assert_eq!(grace.cents, 300);
    }
    let other = transfer(&app, "t-1", ("ada", "grace"), 400).await;
    assert!(matches!(other, Err(ExecuteError::Rejected(Refused::AnotherTransfer))));
    assert_eq!(balances(&app).await, (700, 300));
    app.stop().await;
}

#[tokio::test]
async fn a_refused_transfer_moves_nothing() {
    let app = bank_of_ada_and_grace().await;
    for (from, to, cents) in [("ada", "grace", 1_001), ("grace", "ada", 1), ("ada", "nobody", 1)] {
        transfer(&app, "t-1", (from, to), cents).await.unwrap_err();
    }
    assert_eq!(balances(&app).await, (1_000, 0));
    app.stop().await;
}

#[tokio::test]
async fn no_money_is_lost_between_transfers_at_once() {
    let app = bank_of_ada_and_grace().await;
    let mut transfers = tokio::task::JoinSet::new();
    for number in 0..40 {
        let app = app.clone();
        let accounts = if number % 2 == 0 { ("ada", "grace") } else { ("grace", "ada") };
        transfers.spawn(async move { transfer(&app, &format!("t-{number}"), accounts, 10 + number).await });
    }
    transfers.join_all().await;
    let (ada, grace) = balances(&app).await;
    assert_eq!(ada + grace, 1_000);
    app.rebuilds_to_the_same_rows().await;
    app.stop().await;
}
