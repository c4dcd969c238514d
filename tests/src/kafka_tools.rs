//! Kafka's own command-line tools on a test's cluster: another view than that of the client under test.

use crate::kafka_jars::jars;
use std::process::{Command, Stdio};

/// Runs one of Kafka's tools on a cluster to its end; what it printed on standard output.
///
/// # Panics
/// When it cannot be started.
pub fn run(class: &str, broker: &str, args: &[&str]) -> String {
    let classpath = format!("{}/*", jars().display());
    let output = Command::new("java")
        .args(["-Xmx256m", "-cp", &classpath, class])
        .args(["--bootstrap-server", broker.trim_start_matches("kafka://")])
        .args(args)
        .stderr(Stdio::null())
        .output()
        .expect("Java is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const BETWEEN_RECORDS: &str = "<end of record>";

/// `kafka-topics`, `kafka-configs` and `kafka-console-consumer`.
#[derive(Debug)]
pub struct Tools {
    broker: String,
}

impl Tools {
    /// The tools on a cluster.
    pub fn new(broker: &str) -> Self {
        Self { broker: broker.to_owned() }
    }

    fn topics(&self, args: &[&str]) -> String {
        run("org.apache.kafka.tools.TopicCommand", &self.broker, args)
    }

    fn configs(&self, topic: &str, args: &[&str]) -> String {
        let mut all = vec!["--entity-type", "topics", "--entity-name", topic];
        all.extend(args);
        run("kafka.admin.ConfigCommand", &self.broker, &all)
    }

    /// Makes a topic.
    pub fn make(&self, topic: &str, partitions: u32) {
        self.topics(&["--create", "--topic", topic, "--partitions", &partitions.to_string()]);
    }

    /// Adds partitions until there are so many.
    pub fn add_partitions(&self, topic: &str, partitions: u32) {
        self.topics(&["--alter", "--topic", topic, "--partitions", &partitions.to_string()]);
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> usize {
        self.topics(&["--describe", "--topic", topic]).matches("Partition: ").count()
    }

    /// Sets settings of a topic, `name=value,name=value`.
    pub fn set(&self, topic: &str, settings: &str) {
        self.configs(topic, &["--alter", "--add-config", settings]);
    }

    /// The settings that a topic has of its own, as the tool prints them.
    pub fn settings(&self, topic: &str) -> String {
        self.configs(topic, &["--describe"])
    }

    /// What Kafka's console consumer prints of a topic from its beginning, until nothing comes for some seconds: headers,
    /// key and value of each record, `headers TAB key TAB value`. A binary header may hold any byte, an end of line too.
    pub fn consume(&self, topic: &str) -> Vec<String> {
        let args = ["--topic", topic, "--from-beginning", "--timeout-ms", "8000"];
        let more = ["--isolation-level", "read_committed", "--property", "print.headers=true"];
        let separator = format!("line.separator={BETWEEN_RECORDS}");
        let last = ["--property", "print.key=true", "--property", &separator];
        let all = [args.as_slice(), &more, &last].concat();
        let printed = run("org.apache.kafka.tools.consumer.ConsoleConsumer", &self.broker, &all);
        printed.split_terminator(BETWEEN_RECORDS).map(str::to_owned).collect()
    }
}
