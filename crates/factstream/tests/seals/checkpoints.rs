//! What only a checkpoint from elsewhere shows: a cut end, and a log that was rewritten together with its seals.

use super::common::Shop;
use super::sealed::{append, found, run, seal, sealed, verify};
use factstream::seals::{Checkpoint, Finding};
use factstream::{App, params};

/// Forgets the seals beyond a size, so that the sealer goes on there.
async fn forget_seals(app: &App, size: u64) {
    let statements = [
        ("DELETE FROM fs_seals WHERE size > $1", params![size]),
        ("DELETE FROM fs_seal_salts WHERE size > $1", params![size]),
        ("UPDATE fs_checkpoints SET position = $1 WHERE handler = 'sealer'", params![size]),
    ];
    run(app, statements).await;
}

/// A sealed log with checkpoints at 10, 20, .. up to its end.
async fn with_checkpoints(events: usize) -> (Shop, App, Vec<Checkpoint>) {
    let shop = Shop::new();
    let app = shop.open().await;
    let mut checkpoints = Vec::new();
    for from in (0..events).step_by(10) {
        append(&app, from, 10).await;
        seal(&shop).await;
        checkpoints.push(app.seals().checkpoint().await.unwrap());
    }
    (shop, app, checkpoints)
}

#[tokio::test]
async fn an_end_that_was_cut_off_with_its_seals_is_found_by_a_checkpoint_alone() {
    let (_shop, app, checkpoints) = with_checkpoints(30).await;
    let cut = [
        ("DELETE FROM events WHERE position > $1", params![20]),
        ("DELETE FROM fs_seals WHERE size > $1", params![20]),
        ("DELETE FROM fs_seal_salts WHERE size > $1", params![20]),
        ("UPDATE fs_checkpoints SET position = $1 WHERE handler IN ('sealer', 'relay')", params![20]),
        ("UPDATE fs_log SET head = $1", params![20]),
    ];
    run(&app, cut).await;
    assert_eq!(found(&app).await, [], "the guide says so");
    let verification = verify(&app, &checkpoints).await;
    assert_eq!(verification.findings, [Finding::Cut { position: 21, to: 30 }]);
    let matches: Vec<bool> = verification.checkpoints.iter().map(|compared| compared.matches).collect();
    assert_eq!(matches, [true, true, false]);
    assert!(
        !verification.passes() && verification.to_string().contains("positions 21 to 30: they were cut off")
    );
}

#[tokio::test]
async fn a_log_that_is_cut_under_its_seals_needs_no_checkpoint() {
    let (_shop, app) = sealed(30).await;
    run(&app, [("DELETE FROM events WHERE position > $1", params![28])]).await;
    assert_eq!(found(&app).await, [Finding::Removed { position: 29 }, Finding::Removed { position: 30 }]);
}

#[tokio::test]
async fn a_log_that_was_rewritten_with_its_seals_is_found_between_two_checkpoints() {
    let (shop, app, checkpoints) = with_checkpoints(30).await;
    run(&app, [("UPDATE events SET aggregate_id = 'o-evil' WHERE position = 15", params![])]).await;
    forget_seals(&app, 10).await;
    seal(&shop).await;
    assert_eq!(found(&app).await, [], "the guide says so");
    let verification = verify(&app, &checkpoints).await;
    assert_eq!(verification.findings, [Finding::Rewritten { position: 11, to: 20 }]);
    let matches: Vec<bool> = verification.checkpoints.iter().map(|compared| compared.matches).collect();
    assert_eq!(matches, [true, false, false]);
    let last_alone = verify(&app, &checkpoints[2..]).await;
    assert_eq!(last_alone.findings, [Finding::Rewritten { position: 1, to: 30 }]);
}

/// Salts are random, so that even the same log has another root when it is sealed anew.
#[tokio::test]
async fn seals_that_were_lost_and_made_again_do_not_lead_to_the_checkpoint() {
    let (shop, app, checkpoints) = with_checkpoints(10).await;
    forget_seals(&app, 0).await;
    let nothing = verify(&app, &checkpoints).await;
    assert_eq!(nothing.findings, [Finding::Cut { position: 1, to: 10 }]);
    seal(&shop).await;
    assert_eq!(verify(&app, &checkpoints).await.findings, [Finding::Rewritten { position: 1, to: 10 }]);
}

#[tokio::test]
async fn a_checkpoint_of_any_size_is_compared_also_within_a_row() {
    let (shop, app, checkpoints) = with_checkpoints(20).await;
    // The same leaves in one row, as a copy of the store may have them.
    let sql =
        "SELECT s.leaves, t.salts FROM fs_seals s JOIN fs_seal_salts t ON t.size = s.size ORDER BY s.size";
    let rows = app.store().query(sql, params![]).await.unwrap();
    let joined =
        |column: &str| rows.iter().flat_map(|row| row.get::<Vec<u8>>(column).unwrap()).collect::<Vec<u8>>();
    let (leaves, salts) = (joined("leaves"), joined("salts"));
    let statements = [
        ("UPDATE fs_seals SET leaves = $1 WHERE size = 20", params![leaves]),
        ("UPDATE fs_seal_salts SET salts = $1 WHERE size = 20", params![salts]),
        ("DELETE FROM fs_seals WHERE size < 20", params![]),
        ("DELETE FROM fs_seal_salts WHERE size < 20", params![]),
    ];
    run(&app, statements).await;
    let verification = verify(&app, &checkpoints).await;
    assert!(verification.passes() && verification.intact == 20, "{verification}");
    append(&app, 100, 5).await;
    seal(&shop).await;
    assert!(verify(&app, &checkpoints).await.passes());
}

#[tokio::test]
async fn a_checkpoint_of_another_log_is_refused() {
    let (_shop, app) = sealed(3).await;
    let (_other_shop, other) = sealed(3).await;
    let foreign = other.seals().checkpoint().await.unwrap();
    assert_eq!(foreign.origin(), format!("factstream/{}", other.store_id()));
    let error = app.seals().verify(&[foreign], |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("the checkpoint is of the log"), "{error}");
}
