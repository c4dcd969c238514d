//! A process whose clock is far behind, on topics whose records have the time of whoever publishes.

use factstream::{App, Topic};
use factstream_tests::client::Client;
use factstream_tests::process::{self, Server};
use factstream_tests::{eventually, kafka, ledger};
use std::path::Path;
use std::process::Command;

const HOUR_MILLIS: u64 = 3_600 * 1_000;
const DAYS_BEHIND: i64 = 30;

/// A library that puts a process's clock off; as the storm uses it.
fn clock(folder: &Path) -> String {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, include_str!("../storm/clock.c")).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(built.is_ok_and(|status| status.success()), "cc builds the library");
    library.display().to_string()
}

#[test]
fn a_process_whose_clock_is_a_month_behind_publishes_and_its_records_are_not_a_month_old() {
    let broker = kafka::fresh();
    let folder = tempfile::tempdir().unwrap();
    let topics = ["orders.events", "payments.events", "inventory.events"].map(|name| {
        let topic = Topic::new(name, 2).setting("message.timestamp.type", "CreateTime");
        topic.setting("message.timestamp.before.max.ms", HOUR_MILLIS)
    });
    // Another team has made them.
    let other = format!("sqlite://{}", folder.path().join("other.db").display());
    let builder = topics.into_iter().fold(App::builder(other).broker(&broker), factstream::Builder::topic);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    drop(runtime.block_on(builder.open()).unwrap());

    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let mut command = Command::new(process::binary());
    command.args(["serve", "--store", &store, "--broker", &broker, "--listen", "127.0.0.1:0"]);
    let seconds = DAYS_BEHIND * 24 * 3_600;
    command.env("LD_PRELOAD", clock(folder.path())).env("CLOCK_OFF_SECONDS", format!("-{seconds}"));
    let server = Server::spawn(&mut command).unwrap();
    let client = Client::new(&server.url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", 5);
    eventually("all has settled", || client.is_settled());
    assert!(server.stop().success());
    ledger::check(&store);
    // Retention counts from a record's time: none is from last month.
    let printed = factstream_tests::kafka_tools::run(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &broker,
        &[
            "--topic",
            "orders.events",
            "--from-beginning",
            "--timeout-ms",
            "8000",
            "--property",
            "print.timestamp=true",
        ],
    );
    let times: Vec<&str> = printed.lines().filter_map(|line| line.split('\t').next()).collect();
    assert!(times.len() >= 5, "{printed}");
    let is_recent = |time: &&str| *time == "NO_TIMESTAMP" || *time == "CreateTime:-1";
    assert!(times.iter().all(is_recent), "{times:?}");
}
