//! What a client says when it goes wrong: librdkafka's calls report a bare code, and tell the reason to a callback.
//!
//! Invariant: no credentials are in any text that leaves here.

use super::ANSWER;
use super::passing::{code_of, is_away, is_passing};
use factstream_core::broker::BrokerError;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first piece in which an answer is waited for; one that was too short is followed by one twice as long.
const FIRST_PIECE: Duration = Duration::from_secs(1);
/// The pause before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A client's context that remembers what went wrong last. Cheap to clone; clones share the memory.
#[derive(Clone)]
pub(crate) struct Reasons {
    last: Arc<Mutex<Last>>,
    brokers: Arc<str>,
    secrets: Arc<[String]>,
}

#[derive(Default)]
struct Last {
    error: Option<(RDKafkaErrorCode, String)>,
    /// The last connection that ended; some of that is logged and is no error.
    ended: Option<String>,
}

impl Reasons {
    pub(crate) fn of(config: &ClientConfig) -> Self {
        let is_secret = |name: &str| {
            ["pass", "secret", "key.pem", "jaas", "oauthbearer.config"].iter().any(|part| name.contains(part))
        };
        // The map shows a placeholder in the place of a password.
        let secrets = config.config_map().into_keys().filter(|name| is_secret(name));
        let secrets = secrets.filter_map(|name| config.get(name)).filter(|value| !value.is_empty());
        Self {
            last: Arc::default(),
            brokers: config.get("bootstrap.servers").unwrap_or_default().into(),
            secrets: secrets.map(str::to_owned).collect(),
        }
    }

    /// Asks the cluster, piece by piece until [`ANSWER`]; credentials that are refused end it at once.
    pub(crate) fn ask<T>(&self, ask: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, BrokerError> {
        self.ask_within(ANSWER, ask)
    }

    /// As [`Reasons::ask`], with less patience.
    pub(crate) fn ask_within<T>(
        &self,
        patience: Duration,
        ask: impl Fn(Duration) -> KafkaResult<T>,
    ) -> Result<T, BrokerError> {
        let deadline = Instant::now() + patience;
        let mut piece = FIRST_PIECE;
        loop {
            let asked = Instant::now();
            match ask(piece.min(deadline.saturating_duration_since(asked))) {
                Ok(answer) => {
                    self.forget();
                    return Ok(answer);
                }
                Err(error) => {
                    let is_over = Instant::now() + ASK_AGAIN >= deadline;
                    if is_over || !is_passing(&error) || self.refusal().is_some() {
                        return Err(self.explain(&error));
                    }
                }
            }
            if asked.elapsed() >= piece {
                piece *= 2;
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    /// All is well: what went wrong before is over.
    pub(crate) fn forget(&self) {
        *self.last() = Last::default();
    }

    /// The error, when the cluster refuses who we are or we refuse who it is: waiting does not help.
    pub(crate) fn refusal(&self) -> Option<BrokerError> {
        let last = self.last().error.clone();
        last.filter(|(code, reason)| is_refusal(meant(*code, reason)))
            .map(|(code, reason)| self.told(code, &reason))
    }

    /// The error of a call, with the reason that librdkafka told.
    pub(crate) fn explain(&self, error: &KafkaError) -> BrokerError {
        let (last, ended) = {
            let last = self.last();
            (last.error.clone(), last.ended.clone())
        };
        match (last, code_of(error)) {
            (Some((code, reason)), _)
                if code != RDKafkaErrorCode::AllBrokersDown && code_of(error).is_some_and(is_away) =>
            {
                self.told(code, &reason)
            }
            (_, Some(code)) if code_of(error).is_some_and(is_away) => {
                self.told(code, &ended.unwrap_or_else(|| error.to_string()))
            }
            (Some((code, reason)), now) if Some(code) == now => self.told(code, &reason),
            _ => BrokerError::Engine(self.without_secrets(&format!("Kafka at {}: {error}", self.brokers))),
        }
    }

    fn told(&self, code: RDKafkaErrorCode, reason: &str) -> BrokerError {
        use RDKafkaErrorCode::{Authentication, Resolve, SSL, SaslAuthenticationFailed};
        let (what, advice) = match meant(code, reason) {
            Authentication | SaslAuthenticationFailed => (
                "authentication failed",
                "check sasl.username, sasl.password, sasl.mechanism and security.protocol in the broker's URL",
            ),
            SSL => (
                "TLS failed",
                "check ssl.ca.location and that the broker's certificate names the host in the URL",
            ),
            Resolve => ("a host is unknown", "check the hosts in the broker's URL"),
            // The first thing that is said on a connection.
            code if is_away(code) && reason.contains("APIVERSION_QUERY") => (
                "it hangs up",
                "a broker that demands TLS does so when it is spoken to without: check security.protocol in its URL",
            ),
            code if is_away(code) => (
                "it cannot be reached",
                "check that it runs, that the URL has its host and port, and security.protocol",
            ),
            _ => {
                return BrokerError::Engine(
                    self.without_secrets(&format!("Kafka at {}: {reason}", self.brokers)),
                );
            }
        };
        let text = format!("Kafka at {}: {what}: {reason}; {advice}", self.brokers);
        BrokerError::Engine(self.without_secrets(&text))
    }

    fn without_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reasons {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let text = self.without_secrets(text);
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{text}");
            }
            // Errors of a connection, which it makes again by itself.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, "{text}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{text}");
            }
        }
        if facility == "FAIL" {
            // Behind the name of librdkafka's thread, "[thrd:..]: ".
            let reason = text.split_once("]: ").map_or(text.as_str(), |(_, reason)| reason);
            self.last().ended = Some(reason.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.last();
        // "All brokers are down" follows the reason why, and says less.
        if code != RDKafkaErrorCode::AllBrokersDown || last.error.is_none() {
            last.error = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Reasons {}

/// Another time in a row, librdkafka tells of a certificate that it refuses as of a connection that ended.
fn meant(code: RDKafkaErrorCode, reason: &str) -> RDKafkaErrorCode {
    let refuses = is_away(code) && reason.contains("certificate verify failed");
    if refuses { RDKafkaErrorCode::SSL } else { code }
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Authentication, SSL, SaslAuthenticationFailed};
    matches!(code, Authentication | SaslAuthenticationFailed | SSL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_with_brokers_and_advice_and_never_with_a_password() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "broker:9092").set("sasl.password", "s3cret");
        let reasons = Reasons::of(&config);
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        assert!(reasons.explain(&timed_out).to_string().contains("broker:9092"));
        reasons.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "user u with s3cret is refused");
        reasons.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let told = reasons.refusal().expect("it is a refusal").to_string();
        assert_eq!(told, reasons.explain(&timed_out).to_string());
        assert!(told.contains("authentication") && told.contains("broker:9092"), "{told}");
        assert!(told.contains("user u with *** is refused") && !told.contains("s3cret"), "{told}");
        reasons.forget();
        assert!(reasons.refusal().is_none());
    }
}
