//! Kafka's own jars, as Maven Central has them.

use crate::target_folder;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The version of Kafka that is tested with; `FACTSTREAM_TEST_KAFKA` names another than the usual one.
fn version() -> String {
    std::env::var("FACTSTREAM_TEST_KAFKA").unwrap_or_else(|_| "4.1.0".into())
}

/// The folder with Kafka's jars, fetched once into the target folder.
pub(crate) fn jars() -> PathBuf {
    let folder = target_folder().join(format!("kafka-{}", version()));
    if folder.join("complete").exists() {
        return folder;
    }
    let pom = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka-pom.xml");
    let output = format!("-DoutputDirectory={}", folder.display());
    let version = format!("-Dkafka.version={}", version());
    let args = ["-q", "-B", "-f", pom, "dependency:copy-dependencies", &output, &version];
    let fetched = Command::new("mvn").args(args).stdout(Stdio::null()).status();
    assert!(
        fetched.is_ok_and(|status| status.success()),
        "Kafka's jars cannot be fetched; install Maven and Java 17"
    );
    std::fs::write(folder.join("complete"), "").expect("the folder can be written");
    folder
}
