//! A destroyed salt: the proof of every other event stands.

use super::common::stop;
use super::sealed::{SOON, append, run, sealed, verify};
use factstream::params;
use factstream::seals::Finding;

#[tokio::test]
async fn an_event_whose_salt_is_destroyed_is_counted_and_the_checkpoint_still_matches() {
    let (shop, app) = sealed(1_100).await;
    let checkpoint = [app.seals().checkpoint().await.unwrap()];
    let leaves = || async {
        let rows = app.store().query("SELECT leaves FROM fs_seals ORDER BY size", params![]).await.unwrap();
        rows.iter().map(|row| row.get::<Vec<u8>>("leaves").unwrap()).collect::<Vec<_>>()
    };
    let before = leaves().await;
    assert_eq!(app.seals().destroy_salts(&[5, 1_050, 1_024, 1_025, 0, 9_999]).await.unwrap(), 4);
    assert_eq!(app.seals().destroy_salts(&[5]).await.unwrap(), 0, "it is gone already");
    assert_eq!(leaves().await, before);

    // What it held is overwritten; nobody can tell any more, and so the report names it.
    run(&app, [("UPDATE events SET aggregate_id = 'erased' WHERE position = $1", params![5])]).await;
    let verification = verify(&app, &checkpoint).await;
    assert!(verification.passes(), "{verification}");
    assert_eq!((verification.erased, verification.intact), (4, 1_096));
    assert_eq!(verification.erased_positions, [5, 1_024, 1_025, 1_050]);

    // Its neighbours are proved as before, and the event may not go.
    run(&app, [("UPDATE events SET aggregate_id = 'evil' WHERE position = $1", params![6])]).await;
    run(&app, [("DELETE FROM events WHERE position = $1", params![1_024])]).await;
    let findings = verify(&app, &checkpoint).await.findings;
    assert_eq!(findings, [Finding::Changed { position: 6 }, Finding::Removed { position: 1_024 }]);

    // The sealer goes on behind it.
    let sealing = shop.builder().seal_within(SOON).open().await.unwrap();
    let running = sealing.start().await.unwrap();
    append(&sealing, 5_000, 5).await;
    super::common::eventually("it is sealed", || async {
        sealing.seals().status().await.unwrap().sealed_to == 1_105
    })
    .await;
    stop(running).await;
}

#[tokio::test]
async fn every_event_has_a_salt_of_its_own() {
    let (_shop, app) = sealed(2_000).await;
    let rows = app.store().query("SELECT salts FROM fs_seal_salts", params![]).await.unwrap();
    let salts: Vec<u8> = rows.iter().flat_map(|row| row.get::<Vec<u8>>("salts").unwrap()).collect();
    let distinct: std::collections::BTreeSet<&[u8]> = salts.chunks(16).collect();
    assert_eq!((salts.len(), distinct.len()), (32_000, 2_000));
}
