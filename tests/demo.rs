//! What a newcomer runs first.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::process::run;

#[test]
fn the_demo_checks_itself_prints_its_summary_and_can_run_again_on_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", dir.path().join("orders.db").display());
    for round in 0..2 {
        let output = run(&["demo", "--orders", "300", "--store", &store]);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "round {round}: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for words in [
            "300, 30 of them twice with one key",
            "p99",
            "Everything is consistent",
            "orders deadletters list",
            &store,
        ] {
            assert!(printed.contains(words), "round {round}: {words:?} is missing in {printed}");
        }
        assert!(!printed.contains('✗'), "{printed}");
    }
}

#[test]
fn the_same_system_runs_on_a_postgresql_server_when_its_url_says_so() {
    let store = factstream_tests::postgres::server().database();
    let output = run(&["demo", "--orders", "200", "--store", &store]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("Everything is consistent") && !printed.contains('✗'), "{printed}");
    let rebuilt = run(&["projections", "rebuild", "order_projections", "--store", &store]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
}

#[test]
fn the_same_system_runs_on_postgresql_and_apache_kafka_when_two_urls_say_so() {
    let store = factstream_tests::postgres::server().database();
    let broker = factstream_tests::kafka::server();
    let output = run(&["demo", "--orders", "200", "--store", &store, "--broker", &broker]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("Everything is consistent") && !printed.contains('✗'), "{printed}");
}

#[test]
fn a_demo_that_is_asked_for_nonsense_says_so() {
    for args in
        [vec!["demo", "--orders", "0"], vec!["demo", "--orders", "many"], vec!["demo", "--store", "nowhere"]]
    {
        let output = run(&args);
        assert!(!output.status.success() && !output.stderr.is_empty(), "{args:?}");
    }
}
