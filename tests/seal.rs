//! G24 with the real processes: what somebody changes in the database of the orders system is found by `orders seal verify`.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::Client;
use factstream_tests::eventually;
use factstream_tests::pair::{Pair, Place};
use factstream_tests::process::run;
use serde_json::Value;
use std::fs;
use std::process::Output;

fn seal(place: &Place, args: &[&str]) -> Output {
    let mut all = vec!["seal"];
    all.extend(args);
    all.extend(["--store", &place.store]);
    run(&all)
}

/// What it prints when all is well.
fn well(place: &Place, args: &[&str]) -> String {
    let output = seal(place, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it is not.
fn refused(place: &Place, args: &[&str]) -> String {
    let output = seal(place, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8(if output.stderr.is_empty() { output.stdout } else { output.stderr }).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Runs SQL as somebody who may do everything.
fn tamper(place: &Place, sql: &str) {
    match place.store.strip_prefix("sqlite://") {
        Some(path) => rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap(),
        None => postgres::Client::connect(&place.store, postgres::NoTls).unwrap().batch_execute(sql).unwrap(),
    }
}

/// Some orders, all of them sealed; the server is killed at once after that.
fn orders(place: &Place, count: usize) {
    let server = place.serve(&["--seal-within", "0"]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", count);
    eventually("it settles", || client.is_settled());
    eventually("all is sealed", || json(&well(place, &["status", "--json"]))["unsealed_events"] == 0);
    server.kill();
}

fn a_changed_event_a_cut_end_and_a_forged_checkpoint_are_found(place: &Place) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (secret, first, second) = (file("key"), file("first"), file("second"));
    drop(place.serve(&[]));
    assert!(refused(place, &["verify"]).contains("nothing is sealed"));
    let public = well(place, &["key", &secret]).trim().to_owned();
    assert!(refused(place, &["key", &secret]).contains("name a new file"));
    assert!(refused(place, &["export", "--key", &secret]).contains("nothing is sealed"));

    orders(place, 3);
    well(place, &["export", "--key", &secret, "--out", &first]);
    orders(place, 3);
    well(place, &["export", "--key", &secret, "--out", &second]);
    assert!(refused(place, &["export", "--key", &secret, "--out", &first]).contains("name a new file"));
    let both = ["verify", "--checkpoint", &first, "--checkpoint", &second, "--public-key", &public];
    assert!(well(place, &both).contains("matches"));
    let size = |name: &str| fs::read_to_string(name).unwrap().lines().nth(1).unwrap().parse::<u64>().unwrap();
    let (early, late) = (size(&first), size(&second));
    assert!(early > 0 && late > early);

    // Bad input: a secret in the place of the public key, a flipped size, another key, no file.
    let with_key =
        |key: &str, name: &str| seal(place, &["verify", "--checkpoint", name, "--public-key", key]);
    let secret_text = fs::read_to_string(&secret).unwrap();
    assert_eq!(with_key(secret_text.trim(), &first).status.code(), Some(2), "a usage error");
    let (forged, other) = (file("forged"), file("other"));
    fs::write(&forged, fs::read_to_string(&first).unwrap().replacen(&format!("\n{early}\n"), "\n1\n", 1))
        .unwrap();
    let forged_verify = ["verify", "--checkpoint", &forged, "--public-key", &public];
    assert!(refused(place, &forged_verify).contains("does not fit the text"));
    let other_public = well(place, &["key", &other]).trim().to_owned();
    let other_verify = ["verify", "--checkpoint", &first, "--public-key", &other_public];
    assert!(refused(place, &other_verify).contains("no signature of the key"));
    assert!(refused(place, &["verify", "--checkpoint", &file("none")]).contains("cannot be read"));

    // A changed event is found without any checkpoint; a cut end with one.
    let changed = early + 2;
    tamper(place, &format!("UPDATE events SET aggregate_id = 'o-evil' WHERE position = {changed}"));
    assert!(refused(place, &["verify"]).contains(&format!("position {changed}: the event was changed")));
    tamper(
        place,
        &format!(
            "DELETE FROM events WHERE position > {early}; DELETE FROM fs_seals WHERE size > {early}; \
             DELETE FROM fs_seal_salts WHERE size > {early}"
        ),
    );
    assert!(well(place, &["verify"]).contains("no checkpoint from elsewhere was given"));
    let verification = json(&refused(place, &[&both[..], &["--json"]].concat()));
    assert_eq!(verification["findings"][0]["finding"], "cut");
    assert_eq!(verification["findings"][0]["position"], early + 1);
    assert_eq!(verification["checkpoints"][0]["matches"], true);
}

#[test]
fn on_sqlite_a_changed_event_a_cut_end_and_a_forged_checkpoint_are_found() {
    a_changed_event_a_cut_end_and_a_forged_checkpoint_are_found(&Place::new(Pair::SqliteEmbedded));
}

#[test]
fn on_postgres_a_changed_event_a_cut_end_and_a_forged_checkpoint_are_found() {
    a_changed_event_a_cut_end_and_a_forged_checkpoint_are_found(&Place::new(Pair::PostgresEmbedded));
}
