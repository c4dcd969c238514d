//! What somebody changes who can write every table, and leaves the seals alone, is found by its position.

use super::sealed::{append, either, found, run, seal, sealed, verify};
use factstream::params;
use factstream::seals::{FINDINGS_MAX, Finding};

#[tokio::test]
async fn one_flipped_byte_of_any_column_is_found_by_its_position() {
    let (_shop, app) = sealed(8).await;
    let flip_data = either(
        "UPDATE events SET event_data = replace(event_data, 'c-1', 'c-2') WHERE position = $1",
        "UPDATE events SET event_data = CAST(replace(CAST(event_data AS TEXT), 'c-1', 'c-2') AS JSON) WHERE position = $1",
    );
    let flip_time = either(
        "UPDATE events SET timestamp = replace(timestamp, 'Z', '001Z') WHERE position = $1",
        "UPDATE events SET timestamp = timestamp + INTERVAL '1 microsecond' WHERE position = $1",
    );
    let flip_metadata = either(
        "UPDATE events SET metadata = replace(metadata, 'shop', 'shoq') WHERE position = $1",
        "UPDATE events SET metadata = CAST(replace(CAST(metadata AS TEXT), 'shop', 'shoq') AS JSON) WHERE position = $1",
    );
    let flip_id = either(
        "UPDATE events SET event_id = '01936f3e-7b2a-7c11-8f00-0123456789ab' WHERE position = $1",
        "UPDATE events SET event_id = CAST('01936f3e-7b2a-7c11-8f00-0123456789ab' AS UUID) WHERE position = $1",
    );
    let flips = [
        flip_data,
        flip_time,
        flip_metadata,
        flip_id,
        "UPDATE events SET event_type = 'OrderClosed' WHERE position = $1",
        "UPDATE events SET schema_version = 2 WHERE position = $1",
        "UPDATE events SET aggregate_id = 'o-99' WHERE position = $1",
        "UPDATE events SET version = 2 WHERE position = $1",
    ];
    let mut expected = Vec::new();
    for (position, flip) in (1_u64..).zip(flips) {
        run(&app, [(flip, params![position])]).await;
        expected.push(Finding::Changed { position });
        assert_eq!(found(&app).await, expected, "{flip}");
    }
}

#[tokio::test]
async fn a_removed_an_added_and_an_unreadable_event_are_told_apart() {
    let (shop, app) = sealed(3_000).await;
    run(&app, [("DELETE FROM events WHERE position IN (7, 1100)", params![])]).await;
    let mut expected = vec![Finding::Removed { position: 7 }, Finding::Removed { position: 1_100 }];
    assert_eq!(found(&app).await, expected);

    append(&app, 5_000, 3).await;
    run(&app, [("DELETE FROM events WHERE position = 3002", params![])]).await;
    seal(&shop).await;
    run(&app, [("UPDATE events SET position = 3002 WHERE position = 2000", params![])]).await;
    expected.push(Finding::Removed { position: 2_000 });
    expected.push(Finding::Moved { position: 3_002, sealed_at: 2_000 });
    assert_eq!(found(&app).await, expected);

    let spoil = either(
        "UPDATE events SET timestamp = 'x' || timestamp WHERE position = 2500",
        "UPDATE events SET timestamp = 'infinity' WHERE position = 2500",
    );
    run(&app, [(spoil, params![])]).await;
    let all = found(&app).await;
    assert!(matches!(&all[3], Finding::Unreadable { position: 2_500, .. }), "{all:?}");
    assert_eq!(all.len(), 5, "what lies behind it is read all the same: {all:?}");
}

#[tokio::test]
async fn two_events_that_changed_places_are_both_named_with_where_they_were() {
    let (_shop, app) = sealed(2_000).await;
    let swap = [
        ("UPDATE events SET position = -1 WHERE position = 3", params![]),
        ("UPDATE events SET position = 3 WHERE position = 1500", params![]),
        ("UPDATE events SET position = 1500 WHERE position = -1", params![]),
    ];
    run(&app, swap).await;
    let (there, back) =
        (Finding::Moved { position: 3, sealed_at: 1_500 }, Finding::Moved { position: 1_500, sealed_at: 3 });
    assert_eq!(found(&app).await, [there, back]);
}

#[tokio::test]
async fn seals_and_salts_that_were_changed_or_removed_are_found_and_the_rest_is_compared() {
    let (shop, app) = sealed(10).await;
    append(&app, 100, 10).await;
    seal(&shop).await;
    append(&app, 200, 10).await;
    seal(&shop).await;
    let (tear, whole) =
        ("UPDATE fs_seals SET leaves = $2 WHERE size = $1", "SELECT leaves FROM fs_seals WHERE size = $1");
    let leaves: Vec<u8> = app.store().query(whole, params![20]).await.unwrap()[0].get("leaves").unwrap();
    let mut flipped = leaves.clone();
    flipped[4 * 32] ^= 1;
    run(&app, [(tear, params![20, flipped])]).await;
    let seal_changed = Finding::SealChanged { position: 11, to: 20 };
    assert_eq!(found(&app).await, [seal_changed, Finding::Changed { position: 15 }]);
    run(&app, [(tear, params![20, &leaves[32..]])]).await;
    let short = found(&app).await;
    assert!(short.contains(&Finding::SealsRemoved { position: 11, to: 11 }), "{short:?}");
    run(&app, [(tear, params![20, &leaves[..]]), ("DELETE FROM fs_seal_salts WHERE size = $1", params![20])])
        .await;
    let verification = verify(&app, &[]).await;
    assert_eq!(verification.findings, [Finding::SaltsRemoved { position: 11, to: 20 }]);
    assert_eq!(verification.intact, 20);

    run(&app, [("DELETE FROM fs_seals WHERE size = $1", params![20])]).await;
    let verification = verify(&app, &[]).await;
    assert_eq!(verification.findings, [Finding::SealsRemoved { position: 11, to: 20 }]);
    assert_eq!(verification.intact, 20);
    run(&app, [("UPDATE fs_seals SET root = $2 WHERE size = $1", params![30, &[7_u8; 32][..]])]).await;
    let error = app.seals().checkpoint().await.unwrap_err();
    assert!(error.to_string().contains("was changed"), "{error}");
    assert!(found(&app).await.contains(&Finding::SealChanged { position: 21, to: 30 }));
}

#[tokio::test]
async fn a_report_is_bounded_and_counts_everything() {
    let (_shop, app) = sealed(1_500).await;
    run(&app, [("UPDATE events SET schema_version = 9 WHERE position > 1000", params![])]).await;
    let verification = verify(&app, &[]).await;
    assert_eq!((verification.findings.len(), verification.found), (FINDINGS_MAX, 500));
    assert_eq!((verification.findings[0].position(), verification.intact), (1_001, 1_000));
    assert!(verification.to_string().contains(".. and 400 more"), "{verification}");
}

#[tokio::test]
async fn seals_of_a_newer_release_are_refused() {
    let (_shop, app) = sealed(3).await;
    run(&app, [("UPDATE fs_seals SET form = 2", params![])]).await;
    for error in [app.seals().verify(&[], |_| {}).await.unwrap_err(), app.seals().status().await.unwrap_err()]
    {
        assert!(error.to_string().contains("use a newer release"), "{error}");
    }
}
