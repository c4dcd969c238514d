//! A member whose process is killed: how soon another reads its partitions.

use crate::support::{DEADLINE, POLL, declared, join, message, open, poll, relay, unique};
use factstream_core::broker::Broker;
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WANTED: Duration = Duration::from_secs(7);
/// Says to the child process which cluster, group and topic it reads.
const READS: &str = "FACTSTREAM_TEST_READS";

/// Not a test: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_is_killed() {
    let Ok(reads) = std::env::var(READS) else { return };
    let [url, group, topic] = reads.split(' ').collect::<Vec<_>>()[..] else { panic!("{reads}") };
    let mut member = join(&open(url), group, topic).await;
    let ends = Instant::now() + DEADLINE;
    while Instant::now() < ends {
        poll(member.as_mut()).await;
    }
}

async fn members_with_partitions(broker: &KafkaBroker, group: &str) -> usize {
    let members = broker.members(group).await.expect("members can be told");
    members.iter().filter(|member| !member.partitions.is_empty()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_killed_process_are_read_by_another_within_seven_seconds() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = (declared(&broker, 2).await, unique("group"));
    let mut child = Command::new(std::env::current_exe().expect("this program's file"))
        .args(["--exact", "takeover::the_process_that_is_killed"])
        .env(READS, format!("{url} {group} {topic}"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts");
    let mut member = join(&broker, &group, &topic).await;
    let deadline = Instant::now() + DEADLINE;
    while members_with_partitions(&broker, &group).await < 2 {
        assert!(Instant::now() < deadline, "the two never share the partitions");
        poll(member.as_mut()).await;
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    let killed = Instant::now();
    relay(&broker, (0..20).map(|key| message(&topic, &format!("key-{key}"), "0")).collect()).await;
    let mut read = BTreeSet::new();
    while read.len() < 2 {
        assert!(Instant::now() < deadline, "its partition is never read");
        let records = member.poll(500, POLL).await.expect("polling goes on");
        read.extend(records.iter().map(|record| record.partition.partition));
    }
    println!("read after {:?}", killed.elapsed());
    assert!(killed.elapsed() <= WANTED, "it took {:?}", killed.elapsed());
}
