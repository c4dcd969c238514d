//! The sealer: what it seals, when, and how it goes on.

use super::common::{Shop, eventually, stop};
use super::sealed::{SOON, append, count, run, seal, sealed, verify};
use factstream::status::State;
use factstream::{App, params};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

async fn sealed_to(app: &App) -> u64 {
    app.seals().status().await.unwrap().sealed_to
}

#[tokio::test]
async fn nothing_is_sealed_unless_asked_for() {
    let shop = Shop::new();
    let app = shop.open().await;
    let running = app.start().await.unwrap();
    append(&app, 0, 1_500).await;
    eventually("the relay is done", || async { app.status().await.relay.lag_events == Some(0) }).await;
    stop(running).await;
    let status = app.seals().status().await.unwrap();
    assert_eq!((status.sealed_to, status.sealed_at, status.unsealed_events), (0, None, 1_500));
    let sealers = app.store().query("SELECT 1 FROM fs_checkpoints WHERE handler = 'sealer'", params![]).await;
    assert_eq!((count(&app, "fs_seals").await, sealers.unwrap().len()), (0, 0));
    for error in
        [app.seals().checkpoint().await.unwrap_err(), app.seals().verify(&[], |_| {}).await.unwrap_err()]
    {
        assert!(error.to_string().contains("nothing is sealed"), "{error}");
    }
}

#[tokio::test]
async fn what_fills_a_seal_is_sealed_at_once_and_the_rest_within_the_time() {
    let shop = Shop::new();
    let app = shop.builder().seal_within(HOUR).open().await.unwrap();
    append(&app, 0, 1_500).await; // before it is sealed
    let running = app.start().await.unwrap();
    eventually("enough is there", || async { sealed_to(&app).await == 1_500 }).await;
    append(&app, 1_500, 10).await;
    eventually("the sealer has looked", || async { app.status().await.relay.lag_events == Some(0) }).await;
    let status = app.seals().status().await.unwrap();
    assert_eq!((status.sealed_to, status.head, status.unsealed_events), (1_500, 1_510, 10));
    assert!(status.sealed_at.is_some() && status.unsealed_seconds.is_some_and(|seconds| seconds < 3_600));
    append(&app, 1_510, 1_014).await;
    eventually("enough is there again", || async { sealed_to(&app).await == 2_524 }).await;
    append(&app, 2_524, 1).await;
    stop(running).await;

    seal(&shop).await;
    let verification = verify(&app, &[]).await;
    assert!(verification.passes(), "{verification}");
    assert_eq!((verification.sealed_to, verification.intact), (2_525, 2_525));
    assert_eq!(app.seals().status().await.unwrap().unsealed_seconds, None);
}

#[tokio::test]
async fn a_sealer_goes_on_where_the_last_one_ended_and_the_tree_is_the_same() {
    let (shop, app) = sealed(3).await;
    let early = app.seals().checkpoint().await.unwrap();
    for n in 1..6 {
        append(&app, n * 100, n).await;
        seal(&shop).await;
    }
    append(&app, 10_000, 5_000).await;
    seal(&shop).await;
    let late = app.seals().checkpoint().await.unwrap();
    let verification = verify(&app, &[late, early]).await;
    assert!(verification.passes(), "{verification}");
    assert_eq!(verification.intact, 5_018);
    let sizes: Vec<u64> = verification.checkpoints.iter().map(|compared| compared.size).collect();
    assert_eq!(sizes, [3, 5_018]);
}

#[tokio::test]
async fn of_two_processes_one_seals_and_the_other_takes_over() {
    let shop = Shop::new();
    let one = shop.builder().seal_within(SOON).open().await.unwrap();
    let other = shop.builder().seal_within(SOON).open().await.unwrap();
    let (first, second) = (one.start().await.unwrap(), other.start().await.unwrap());
    for n in 0..20 {
        append(&one, n * 10, 10).await;
    }
    eventually("all is sealed", || async { sealed_to(&one).await == 200 }).await;
    stop(first).await;
    append(&one, 1_000, 10).await;
    eventually("the other seals", || async { sealed_to(&one).await == 210 }).await;
    stop(second).await;
    let verification = verify(&one, &[]).await;
    assert!(verification.passes() && verification.intact == 210, "{verification}");
}

#[tokio::test]
async fn a_position_that_was_empty_before_it_was_sealed_is_told_and_no_finding() {
    let shop = Shop::new();
    let app = shop.open().await;
    append(&app, 0, 10).await;
    run(&app, [("DELETE FROM events WHERE position IN (4, 5)", params![])]).await;
    seal(&shop).await;
    let verification = verify(&app, &[]).await;
    assert!(verification.passes(), "{verification}");
    assert_eq!((verification.intact, verification.absent), (8, 2));
    assert!(verification.to_string().contains("2 positions had no event"), "{verification}");
}

#[tokio::test]
async fn a_sealer_whose_checkpoint_is_not_where_the_seals_end_seals_nothing() {
    let (shop, app) = sealed(5).await;
    let seals = count(&app, "fs_seals").await;
    run(&app, [("UPDATE fs_checkpoints SET position = 3 WHERE handler = 'sealer'", params![])]).await;
    append(&app, 100, 5).await;
    let sealing = shop.builder().seal_within(SOON).open().await.unwrap();
    let running = sealing.start().await.unwrap();
    eventually("everything else goes on", || async { sealing.status().await.relay.lag_events == Some(0) })
        .await;
    eventually("the sealer is shown to fail", || async {
        let sealer = sealing.seals().status().await.unwrap().sealer;
        matches!(sealer, Some(State::Restarting { error, .. }) if error.contains("checkpoint stands at 3"))
    })
    .await;
    stop(running).await;
    assert_eq!(count(&app, "fs_seals").await, seals);
}
