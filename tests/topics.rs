//! Topics as code: `orders topics` against a real cluster.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::kafka;
use factstream_tests::kafka_tools::Tools;
use factstream_tests::process::run;

fn topics(broker: &str, args: &[&str]) -> (bool, String) {
    let mut all = vec!["topics"];
    all.extend(args);
    all.extend(["--broker", broker]);
    let output = run(&all);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_cluster_is_brought_to_the_registry_and_never_shrunk() {
    let broker = kafka::fresh();
    let (ok, told) = topics(&broker, &["check"]);
    assert!(!ok && told.contains("missing") && told.contains("payments.events"), "{told}");
    let (ok, told) = topics(&broker, &["plan"]);
    assert!(ok && told.contains("Nothing was changed"), "{told}");
    assert!(!topics(&broker, &["check"]).0, "a plan changes nothing");
    let (ok, told) = topics(&broker, &["apply"]);
    assert!(ok && told.matches("done").count() == 3, "{told}");
    let (ok, told) = topics(&broker, &["check"]);
    assert!(ok && told.contains("as declared"), "{told}");

    // Somebody changes a setting, adds one that is not declared, and makes a topic with other partitions.
    let tools = Tools::new(&broker);
    tools.set("orders.events", "retention.ms=1000,segment.ms=123456789");
    tools.make("other.events", 2);
    let (ok, told) = topics(&broker, &["check"]);
    assert!(!ok && told.contains("retention.ms=1000, declared is 604800000"), "{told}");
    assert!(topics(&broker, &["apply"]).0);
    let settings = tools.settings("orders.events");
    assert!(settings.contains("retention.ms=604800000"), "{settings}");
    assert!(settings.contains("segment.ms=123456789"), "what is not declared is left as it is: {settings}");
    assert!(tools.partitions("other.events") == 2, "what is not in the registry is left alone");

    // More partitions than declared stay, and are told; on more brokers than there are is refused by the cluster's own words.
    tools.add_partitions("payments.events", 9);
    let (ok, told) = topics(&broker, &["apply"]);
    assert!(!ok && told.contains("left alone") && told.contains("never taken away"), "{told}");
    assert_eq!(tools.partitions("payments.events"), 9);
    let (ok, told) = topics(&broker, &["check", "--replication", "3"]);
    assert!(!ok && told.contains("kafka-reassign-partitions"), "{told}");
}

#[test]
fn partitions_are_added_only_when_asked_for() {
    let broker = kafka::fresh();
    let tools = Tools::new(&broker);
    tools.make("orders.events", 2);
    let (ok, told) = topics(&broker, &["apply"]);
    assert!(!ok && told.contains("2 partitions, declared are 6") && told.contains("left alone"), "{told}");
    assert_eq!(tools.partitions("orders.events"), 2);
    let (ok, told) = topics(&broker, &["apply", "--add-partitions"]);
    assert!(ok, "{told}");
    assert_eq!(tools.partitions("orders.events"), 6);
    assert!(topics(&broker, &["check"]).0);
}

#[test]
fn a_cluster_that_cannot_be_reached_or_has_too_few_brokers_is_told() {
    let (ok, told) = topics("kafka://127.0.0.1:1", &["plan"]);
    assert!(!ok && told.contains("Kafka"), "{told}");
    let broker = kafka::fresh();
    let (ok, told) = topics(&broker, &["apply", "--replication", "3"]);
    assert!(!ok && told.contains("declare fewer"), "{told}");
    assert!(!topics(&broker, &["check"]).0, "nothing was made");
}
