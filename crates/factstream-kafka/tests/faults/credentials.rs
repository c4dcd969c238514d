//! TLS and SASL/SCRAM against a broker that demands them, and clear errors where something is wrong with an address.

use crate::support::{DEADLINE, POLL, declared, join, message, number_of, open, read_until, relay, unique};
use factstream_core::broker::{Broker, BrokerError, Subscription, Topic};
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka::{Kafka, PASSWORD, PASSWORD_IN_URL, USER};
use factstream_tests::kafka_tools::run;
use std::time::{Duration, Instant};

/// What the engine gives the cluster to answer, and some.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// The error of every verb at this URL, which must come in time; all must say `wanted` and the brokers' address.
async fn errors(url: &str, wanted: &str) {
    let broker = open(url);
    let host = url.trim_start_matches("kafka://").split('?').next().expect("an address");
    let topics = ["orders.events".to_owned()];
    let begun = Instant::now();
    let errors: [BrokerError; 6] = tokio::join!(
        async {
            broker.publish(vec![message("orders.events", "key", "1")]).await.expect_err("no publish").source
        },
        async { broker.subscribe("group", &topics, &[]).await.err().expect("no subscription") },
        async { broker.declare(&[Topic::new("orders.events", 1)]).await.expect_err("no declare") },
        async { broker.lag("group", &topics).await.expect_err("no lag") },
        async { broker.members("group").await.expect_err("no members") },
        async { broker.plan_topics(&[Topic::new("orders.events", 1)]).await.expect_err("no plan") },
    )
    .into();
    assert!(begun.elapsed() < ANSWERED_WITHIN, "it took {:?}", begun.elapsed());
    for error in errors {
        let error = error.to_string();
        println!("{:?}: {error}", begun.elapsed());
        assert!(error.contains(wanted) && error.contains(host), "{error}");
        for secret in [PASSWORD, PASSWORD_IN_URL, "wr0ng-s3cret"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_demands_tls_and_scram_is_used_with_the_right_credentials_and_refuses_others() {
    let kafka = Kafka::start_own_with_credentials();
    let broker = open(&kafka.url());
    let topic = declared(&broker, 2).await;
    relay(&broker, (0..10).map(|number| message(&topic, "key", number.to_string())).collect()).await;
    let mut member = join(&broker, &unique("group"), &topic).await;
    read_until(member.as_mut(), |read| read.len() == 10).await;

    errors(&kafka.url_as(USER, "wr0ng-s3cret"), "authentication failed").await;
    errors(&kafka.url_as("nobody", PASSWORD_IN_URL), "authentication failed").await;
    let trusting_nobody = kafka.url().split("&ssl.ca.location").next().expect("a URL").to_owned();
    errors(&trusting_nobody, "TLS failed").await;
    errors(&kafka.plain_url(), "demands TLS").await;
    // Those who were refused stop nobody else.
    relay(&broker, (10..20).map(|number| message(&topic, "key", number.to_string())).collect()).await;
    read_until(member.as_mut(), |read| read.len() == 10).await;
}

/// A broker that demands credentials, and a member that has read the first message with them.
async fn begun() -> (Kafka, KafkaBroker, String, Box<dyn Subscription>) {
    let kafka = Kafka::start_own_with_credentials();
    let broker = open(&kafka.url());
    let topic = declared(&broker, 1).await;
    let mut member = join(&broker, &unique("group"), &topic).await;
    relay(&broker, vec![message(&topic, "key", "0")]).await;
    read_until(member.as_mut(), |read| read.len() == 1).await;
    (kafka, broker, topic, member)
}

/// Changes something and kills the broker; it is there again.
async fn restarted(mut kafka: Kafka, change: impl FnOnce(&Kafka) + Send + 'static) -> Kafka {
    let restarting = tokio::task::spawn_blocking(move || {
        change(&kafka);
        kafka.kill();
        kafka.start();
        kafka
    });
    restarting.await.expect("the broker is there again")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_used_with_its_credentials_through_a_restart() {
    let (kafka, broker, topic, mut member) = begun().await;
    let kafka = restarted(kafka, |_| ()).await;
    let published = relay(&broker, vec![message(&topic, "key", "1")]);
    tokio::time::timeout(DEADLINE, published).await.expect("publishing goes on");
    // The first was not committed, so it may come again when the group has waited for the broker for too long.
    read_until(member.as_mut(), |read| read.iter().any(|record| number_of(record) == 1)).await;
    drop(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_is_told_by_whoever_runs_with_the_old_one() {
    let (kafka, broker, topic, mut member) = begun().await;
    // Connections that were made before the change live on, but for the restart.
    let kafka = restarted(kafka, |kafka| {
        let new = ["--alter", "--entity-type", "users", "--entity-name", USER];
        let new = [new.as_slice(), &["--add-config", "SCRAM-SHA-512=[password=another]"]].concat();
        run("kafka.admin.ConfigCommand", &kafka.internal_url(), &new);
    })
    .await;
    let told = |error: BrokerError| {
        let error = error.to_string();
        assert!(error.contains("authentication failed") && !error.contains(PASSWORD), "{error}");
    };
    let publishing = broker.publish(vec![message(&topic, "key", "1")]);
    let published =
        tokio::time::timeout(DEADLINE, publishing).await.expect("publishing does not wait for ever");
    told(published.expect_err("the password is another").source);
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "polling never tells");
        if let Err(error) = member.poll(1, POLL).await {
            break told(error);
        }
    }
    // The message that was given up is not published behind the caller's back.
    let new = open(&kafka.url_as(USER, "another"));
    relay(&new, vec![message(&topic, "key", "2")]).await;
    let mut member = join(&new, &unique("group"), &topic).await;
    let records = read_until(member.as_mut(), |read| read.len() >= 2).await;
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), [0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_and_a_broker_that_is_not_there_are_told() {
    tokio::join!(
        errors("kafka://no-such-host.invalid:9092", "a host is unknown"),
        errors("kafka://127.0.0.1:1", "it cannot be reached"),
    );
}
