//! K2 by Spring Kafka with an inbox over JDBC: `bench/spring`, where [`crate::contest::Entry::takes_part`] finds it built.

use super::consumer::{check, group};
use super::consumer_raw::open;
use crate::Failed;
use crate::contest::{Place, SPRING_JAR};
use crate::figures::{Figures, memory_bytes};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// As much as the broker has.
const HEAP: &str = "-Xmx512m";

/// A process that is ended with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn run(place: Place) -> Result<Figures, Failed> {
    drop(open(&place).await?);
    let jar = std::env::var_os(SPRING_JAR).ok_or("the jar of bench/spring is not named")?;
    let server = place.database.trim_start_matches("postgres://");
    let (user, rest) = server.split_once('@').ok_or("a database's URL names its user")?;
    let mut java = Command::new("java");
    java.arg(HEAP).arg("-jar").arg(jar).args([
        format!("--spring.kafka.bootstrap-servers={}", place.kafka.trim_start_matches("kafka://")),
        format!("--spring.datasource.url=jdbc:postgresql://{rest}"),
        format!("--spring.datasource.username={user}"),
        format!("--bench.group={}", group()),
        format!("--bench.size={}", place.size),
    ]);
    let mut child = Ended(java.stdout(Stdio::piped()).spawn()?);
    let nanoseconds = told(child.0.stdout.take().ok_or("its output is piped")?)?;
    let peak_memory_bytes = memory_bytes(&format!("/proc/{}/status", child.0.id()), "VmHWM:")?;
    drop(child);
    check(&place.database, place.size, "inbox").await?;
    Ok(Figures { per_second: place.size as f64 * 1e9 / nanoseconds, latency: None, peak_memory_bytes })
}

/// How long it says that it took.
fn told(output: ChildStdout) -> Result<f64, Failed> {
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.strip_prefix("nanoseconds ") {
            Some(nanoseconds) => return Ok(nanoseconds.trim().parse()?),
            None => eprintln!("{line}"),
        }
    }
    Err("it ended before all was handled".into())
}
