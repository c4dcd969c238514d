//! `kafka://host:9092,host:9092?linger.ms=5` to settings of librdkafka, each by its own name.
//!
//! Invariant: what order, durability and "nothing skipped" stand on is not the user's to change; all else is.

mod passing;
pub(crate) mod reason;

use factstream_core::broker::BrokerError;
pub(crate) use passing::{is_passing, is_passing_code};
use percent_encoding::percent_decode_str;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
pub(crate) use reason::Reasons;
use std::time::Duration;

/// How long the cluster may take to answer what is not publishing or polling.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// How long at most a broker that is back has to wait for us.
const RECONNECT_MS_MAX: &str = "1000";
/// The most that a message may have, as brokers have it by default. librdkafka's own default is less.
const MESSAGE_BYTES_MAX: &str = "1048588";

/// How long messages for a topic that was there and is not any more are held, before that is told.
const TOPIC_GONE_MS: &str = "5000";

/// How old the knowledge of topics may be. A partition that was added is unread, and gets no messages, for that long.
const METADATA_MS_MAX: &str = "10000";

/// The longest list of brokers.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// The settings that a URL says: the brokers, and any setting of librdkafka.
pub(crate) fn of_url(url: &str, client: &str) -> Result<ClientConfig, BrokerError> {
    // Settings, and whatever is no host, may hold secrets: never shown.
    let refuse = |reason: &str| {
        let shown = url.split('?').next().filter(|shown| is_address(shown));
        Err(BrokerError::Url { url: shown.unwrap_or("kafka://***").to_owned(), reason: reason.to_owned() })
    };
    let Some(rest) = url.strip_prefix("kafka://") else {
        return refuse("it does not begin with kafka://; write kafka://HOST:9092");
    };
    let (brokers, settings) = rest.split_once('?').unwrap_or((rest, ""));
    if brokers.is_empty() {
        return refuse("it names no broker; write kafka://HOST:9092");
    }
    if url.contains('\0') {
        return refuse("it holds a NUL; write kafka://HOST:9092");
    }
    if brokers.contains('@') {
        return refuse("credentials are settings: write kafka://HOST:9092?sasl.username=..&sasl.password=..");
    }
    // Brokers are told in errors: a setting among them would be told, too.
    if !is_address(url.split('?').next().unwrap_or_default()) {
        return refuse(
            "settings begin with a ?, and more than one are joined with &: write kafka://HOST:9092?linger.ms=5&acks=all",
        );
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", client)
        .set("reconnect.backoff.max.ms", RECONNECT_MS_MAX)
        .set("topic.metadata.refresh.interval.ms", METADATA_MS_MAX);
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        let Some((name, value)) = setting.split_once('=') else {
            return refuse("a setting is written name=value, for example linger.ms=5");
        };
        // As in any URL: a password with & or % in it is written %26 and %25.
        let Ok(value) = percent_decode_str(value).decode_utf8() else {
            return refuse("a setting's value is not UTF-8 once its %XX are decoded");
        };
        config.set(name, value);
    }
    Ok(config)
}

/// Checks a URL without asking the cluster; gives the brokers.
///
/// # Errors
/// [`BrokerError::Url`]
pub fn check_url(url: &str) -> Result<String, BrokerError> {
    of_url(url, "factstream").map(|config| config.get("bootstrap.servers").unwrap_or_default().to_owned())
}

/// Whether it is of hosts and ports alone, so that it may be shown.
fn is_address(place: &str) -> bool {
    let Some(brokers) = place.strip_prefix("kafka://") else { return false };
    let is_plain = |sign: char| sign.is_alphanumeric() || "-._:,[]/".contains(sign);
    place.len() <= ADDRESS_BYTES_MAX && brokers.chars().all(is_plain)
}

/// Other names of what is fixed: of two names of one setting, librdkafka takes the one that it is told last, and our
/// settings have no order.
const OTHER_NAMES: [&str; 3] = ["max.in.flight", "request.required.acks", "delivery.timeout.ms"];

/// Whoever asks about a topic makes it, on a cluster with `auto.create.topics.enable`, with one partition and no settings:
/// unless the question says not to. Producers say so as consumers do.
fn make_no_topics(config: &mut ClientConfig) {
    config.set("allow.auto.create.topics", "false");
}

/// Our own settings for clients that ask and order, and neither publish nor read.
pub(crate) fn admin(user: &ClientConfig) -> ClientConfig {
    let mut config = ClientConfig::new();
    overlay(&mut config, user);
    make_no_topics(&mut config);
    config
}

/// Our own settings for producers. What the user says wins, but for what order and durability stand on.
pub(crate) fn producer(user: &ClientConfig) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("linger.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", MESSAGE_BYTES_MAX)
        .set("topic.metadata.propagation.max.ms", TOPIC_GONE_MS);
    overlay(&mut config, user);
    for name in OTHER_NAMES {
        config.remove(name);
    }
    // A message that timed out, or was refused, while its successors went through would be published behind them. One
    // request at a time: the broker takes any first number of a producer that it does not know, so that a second request
    // went through where the first was refused, and librdkafka then took the first for delivered (decision 0015).
    config
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "1")
        .set("message.timeout.ms", "0");
    make_no_topics(&mut config);
    config
}

/// Our own settings for members of a group.
pub(crate) fn consumer(user: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = reader(user, group);
    config
        // A member that stops looks there whether it is in the middle of joining.
        .set("statistics.interval.ms", "200")
        // Only there it is said that a topic was recreated (`made_again.rs`).
        .set("debug", "metadata")
        .set_log_level(RDKafkaLogLevel::Debug);
    config
}

/// What members and onlookers have in common.
fn reader(user: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    if !has_groups_kept_by_the_brokers(user) {
        // The brokers take a member for dead after the shortest time that they allow by default, and the others hear of it
        // with their next heartbeat.
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500");
    }
    config
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.wait.max.ms", "100");
    overlay(&mut config, user);
    config
        .set("group.id", group)
        // Where a group starts is said explicitly; an offset that is gone is an error, never a jump.
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed");
    make_no_topics(&mut config);
    config
}

/// Our own settings for those who ask about a group and never join it. They ask in the way that every group answers.
pub(crate) fn onlooker(user: &ClientConfig, group: &str) -> ClientConfig {
    let mut user = user.clone();
    if has_groups_kept_by_the_brokers(&user) {
        user.remove("group.remote.assignor");
        user.set("group.protocol", "classic");
    }
    let mut config = reader(&user, group);
    config.set("statistics.interval.ms", "0");
    // It looks at single records: nothing is to be fetched behind them.
    config
        .set("fetch.message.max.bytes", "1")
        .set("queued.min.messages", "1")
        .set("fetch.wait.max.ms", "10")
        .set("enable.partition.eof", "true");
    config
}

/// Whether members speak the protocol of KIP-848. The brokers then say how partitions are assigned and when a member is taken
/// for dead, and librdkafka refuses such settings.
fn has_groups_kept_by_the_brokers(user: &ClientConfig) -> bool {
    user.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
}

/// Why a client cannot be made. Values are never shown, for one may be a secret.
pub(crate) fn refused(error: &KafkaError) -> BrokerError {
    let text = match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            let reason =
                if value.is_empty() { reason.clone() } else { reason.replace(value.as_str(), "***") };
            format!("Kafka: the setting {name} is refused: {reason}; see librdkafka's CONFIGURATION.md")
        }
        other => format!("Kafka: a client cannot be made: {other}"),
    };
    let hint = if cfg!(feature = "tls") { "" } else { " (built without factstream-kafka's feature tls)" };
    BrokerError::Engine(text + hint)
}

fn overlay(config: &mut ClientConfig, user: &ClientConfig) {
    config.set_log_level(RDKafkaLogLevel::Info); // our clients tell `tracing`, and learn reasons from it
    // The map shows a placeholder in the place of a password: names are taken from it, values are not.
    for name in user.config_map().into_keys() {
        if let Some(value) = user.get(name) {
            config.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_url(url: &str) -> Result<ClientConfig, BrokerError> {
        super::of_url(url, "test")
    }

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
    fn no_name_of_a_setting_takes_order_or_durability_away() {
        let url = "kafka://a:1?acks=1&request.required.acks=1&delivery.timeout.ms=9&message.timeout.ms=9\
                   &max.in.flight=5&max.in.flight.requests.per.connection=5";
        let producer = producer(&of_url(url).unwrap()).create_native_config().unwrap();
        for (name, value) in [
            ("acks", "-1"), // librdkafka's word for all
            ("message.timeout.ms", "0"),
            ("max.in.flight", "1"),
        ] {
            assert_eq!(producer.get(name).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn no_client_makes_topics_whatever_the_url_says() {
        let user = of_url("kafka://a:1?allow.auto.create.topics=true").unwrap();
        for config in [admin(&user), producer(&user), consumer(&user, "g"), onlooker(&user, "g")] {
            assert_eq!(config.get("allow.auto.create.topics"), Some("false"));
        }
    }

    #[test]
    fn members_of_groups_that_the_brokers_keep_are_given_no_setting_that_those_forbid() {
        let user = of_url("kafka://a:1?group.protocol=consumer&group.remote.assignor=range").unwrap();
        let member = consumer(&user, "g");
        for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            assert_eq!(member.get(name), None, "{name}");
            assert!(onlooker(&user, "g").get(name).is_some(), "{name}");
        }
        assert_eq!(onlooker(&user, "g").get("group.remote.assignor"), None);
    }

    #[test]
    fn a_group_never_jumps_whatever_the_url_says() {
        let user = of_url("kafka://a:1?auto.offset.reset=latest&enable.auto.commit=true").unwrap();
        let consumer = consumer(&user, "g");
        assert_eq!(consumer.get("auto.offset.reset"), Some("error"));
        assert_eq!(consumer.get("enable.auto.commit"), Some("false"));
    }

    #[test]
    fn a_password_with_any_character_can_be_written_in_the_url() {
        let user = of_url("kafka://a:1?sasl.password=a%26b%25c%3D+d=e").unwrap();
        assert_eq!(user.get("sasl.password"), Some("a&b%c=+d=e"));
        assert_eq!(producer(&user).get("sasl.password"), Some("a&b%c=+d=e"));
        assert_eq!(consumer(&user, "g").get("sasl.password"), Some("a&b%c=+d=e"));
        assert!(of_url("kafka://a:1?sasl.password=%ff").is_err());
    }

    #[test]
    fn a_setting_that_is_refused_is_named_without_its_value() {
        for (setting, name) in [
            ("sasl.jaas.config=x password=s3cret", "sasl.jaas.config"),
            ("no.such.setting=s3cret", "no.such.setting"),
            ("acks=s3cret", "acks"),
            ("debug=s3cret", "debug"),
        ] {
            let user = of_url(&format!("kafka://a:1?{setting}")).unwrap();
            let error = user.create_native_config().map(|_| ()).unwrap_err();
            let error = refused(&error).to_string();
            assert!(error.contains(name) && !error.contains("s3cret"), "{error}");
            let of_member = consumer(&user, "g").create_native_config().map(|_| ());
            let of_member = of_member.map_err(|error| refused(&error).to_string());
            assert!(!of_member.is_err_and(|error| error.contains("s3cret")));
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_says_what_to_write_and_never_a_password() {
        for url in [
            "",
            "localhost:9092",
            "kafka://",
            "kafka://u:s3cret@h:9092",
            "kafka://h:9092?linger.ms",
            "kafka://h:9092&sasl.password=s3cret",
            "kafka://h:9092;sasl.password=s3cret",
            "kafka://h:9092#s3cret",
            "kafka:sasl.password=s3cret",
            "kafka://h:9092?sasl.password:s3cret",
        ] {
            let error = of_url(url).unwrap_err().to_string();
            assert!(error.contains("kafka://") && !error.contains("s3cret"), "{url}: {error}");
        }
    }
}
