//! `kafka://host:9092,host:9092?linger.ms=5` to settings of librdkafka, each by its own name.

use factstream_core::broker::BrokerError;
use rdkafka::ClientConfig;

/// The settings that a URL says: the brokers, and any setting of librdkafka.
pub(crate) fn of_url(url: &str) -> Result<ClientConfig, BrokerError> {
    // Settings and what stands before an @ may hold secrets: never shown.
    let refuse = |reason: &str| {
        let shown = url.split('?').next().filter(|shown| !shown.contains('@'));
        Err(BrokerError::Url { url: shown.unwrap_or("kafka://***").to_owned(), reason: reason.to_owned() })
    };
    let Some(rest) = url.strip_prefix("kafka://") else {
        return refuse("it does not begin with kafka://; write kafka://HOST:9092");
    };
    let (brokers, settings) = rest.split_once('?').unwrap_or((rest, ""));
    if brokers.is_empty() {
        return refuse("it names no broker; write kafka://HOST:9092");
    }
    if brokers.contains('@') {
        return refuse("credentials are settings: write kafka://HOST:9092?sasl.username=..&sasl.password=..");
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("client.id", "factstream");
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        let Some((name, value)) = setting.split_once('=') else {
            return refuse("a setting is written name=value, for example linger.ms=5");
        };
        config.set(name, value);
    }
    Ok(config)
}

/// Our own settings for producers. What the user says wins, but for what order and durability stand on.
pub(crate) fn producer(user: &ClientConfig) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("linger.ms", "2").set("partitioner", "murmur2_random");
    overlay(&mut config, user);
    // A message that timed out while its successors went through would be published behind them.
    config.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", "0");
    config
}

/// Our own settings for consumers.
pub(crate) fn consumer(user: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.wait.max.ms", "100");
    overlay(&mut config, user);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    config
}

fn overlay(config: &mut ClientConfig, user: &ClientConfig) {
    for (name, value) in user.config_map() {
        config.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_through_by_their_own_names_and_what_order_stands_on_stays() {
        let user = of_url("kafka://a:1,b:2?linger.ms=7&enable.idempotence=false").unwrap();
        assert_eq!(user.get("bootstrap.servers"), Some("a:1,b:2"));
        let producer = producer(&user);
        assert_eq!(
            (producer.get("linger.ms"), producer.get("enable.idempotence")),
            (Some("7"), Some("true"))
        );
        assert_eq!(consumer(&user, "g").get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn an_address_that_makes_no_sense_says_what_to_write_and_never_a_password() {
        for url in ["", "localhost:9092", "kafka://", "kafka://u:s3cret@h:9092", "kafka://h:9092?linger.ms"] {
            let error = of_url(url).unwrap_err().to_string();
            assert!(error.contains("kafka://") && !error.contains("s3cret"), "{url}: {error}");
        }
    }
}
