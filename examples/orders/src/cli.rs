//! The command line: what `orders` can be asked to do. Parsed here, done in the module of the same name.

use crate::app::Service;
use crate::urls::{BrokerUrl, StoreUrl};
use clap::{Args, Parser, Subcommand};
use factstream::ResetTo;
use factstream::broker::Partition;
use std::num::NonZeroU32;

/// Orders, payments and stock, event-sourced on factstream.
#[derive(Debug, Parser)]
#[command(name = "orders", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `orders` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the three services and their HTTP API
    Serve(Serve),
    /// Run it all with generated orders, check the outcome, and print a summary
    Demo(Demo),
    /// Show how far everything is, as the store and the broker say
    Status(Status),
    /// See the handlers and who runs them
    Handlers(Handlers),
    /// See and mend what could not be handled
    #[command(name = "deadletters")]
    DeadLetters(DeadLetters),
    /// See and rebuild the projections
    Projections(Projections),
    /// Compare the registry of topics with a Kafka cluster, and bring the cluster to it
    Topics(Topics),
    /// Check that this build reads every event that was ever stored
    Schema(crate::schema::Schema),
    /// Check that no event was changed, and make checkpoints to keep elsewhere
    Seal(crate::seal::Seal),
}

/// `orders serve`
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the events are kept.
    #[command(flatten)]
    pub store: StoreUrl,
    /// Where the topics are kept.
    #[command(flatten)]
    pub broker: BrokerUrl,
    /// What stands before every topic and group, so that several systems share a cluster: eu. makes eu.orders.events. What the
    /// store says unless given
    #[arg(long, env = "FACTSTREAM_NAMESPACE", value_name = "PREFIX")]
    pub namespace: Option<String>,
    /// Run one service only; start the others beside it, each as often as you like
    #[arg(long, value_enum, value_name = "SERVICE")]
    pub service: Option<Service>,
    /// The address of the HTTP API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub listen: String,
    /// After SIGTERM: how many seconds requests are still taken, while /readyz already answers 503
    #[arg(long, env = "FACTSTREAM_STOP_GRACE", default_value_t = 5, value_name = "SECONDS")]
    pub stop_grace: u16,
    /// Ship an order by itself when it is paid and its stock reserved
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub auto_ship: bool,
    /// Cancel an order that is not paid and reserved within so many seconds after it was placed; an order keeps what it was placed under
    #[arg(long, default_value_t = crate::fulfilment::DUE_SECONDS, value_parser = clap::value_parser!(u32).range(1..), value_name = "SECONDS")]
    pub due_within: u32,
    /// Publish dead letters to TOPIC-dlt, too, with the header names of Spring Kafka
    #[arg(long)]
    pub mirror_dead_letters: bool,
    /// Seal the log: every event within so many seconds after it was appended [default: not sealed]
    #[arg(long, value_name = "SECONDS")]
    pub seal_within: Option<u32>,
    /// Let the order service also keep order_revenue: what each order brought in, joined from the topics of orders and payments
    #[arg(long)]
    pub analytics: bool,
    /// How often the simulated payment gateway fails, from 0.0 to 1.0
    #[arg(long, default_value_t = 0.0, value_parser = rate, value_name = "RATE")]
    pub gateway_failure_rate: f64,
    /// How many calls a second the simulated payment gateway allows; to more it says when to ask again. The payment service makes no more,
    /// in all of its processes together [default: any number]
    #[arg(long, value_name = "CALLS_PER_SECOND")]
    pub gateway_calls: Option<NonZeroU32>,
}

/// `orders demo`
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// How many orders to place
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub orders: u32,
    /// Where the events are kept: a new file in the temporary folder, unless an option names another. The environment's
    /// store is left alone, for it may be a real one.
    #[command(flatten)]
    pub store: StoreUrl,
    /// Where the topics are kept: with the events, unless an option names a cluster.
    #[command(flatten)]
    pub broker: BrokerUrl,
    /// How often the simulated payment gateway fails, from 0.0 to 1.0
    #[arg(long, default_value_t = 0.05, value_parser = rate, value_name = "RATE")]
    pub gateway_failure_rate: f64,
}

/// `orders status`
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// The store to look into.
    #[command(flatten)]
    pub store: StoreUrl,
    /// The broker to ask.
    #[command(flatten)]
    pub broker: BrokerUrl,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// `orders handlers`
#[derive(Debug, Clone, Args)]
pub struct Handlers {
    /// What to do with them.
    #[command(subcommand)]
    pub action: HandlersAction,
    /// The store to look into.
    #[command(flatten)]
    pub store: StoreUrl,
    /// The broker to ask.
    #[command(flatten)]
    pub broker: BrokerUrl,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with handlers.
#[derive(Debug, Clone, Subcommand)]
pub enum HandlersAction {
    /// Every handler, who runs it, and how far it is
    List,
    /// Set where a handler goes on; shows what that would do, unless told to do it
    Reset {
        /// The handler
        name: String,
        /// Where to: `beginning`, `now` (behind what is there), a position of the log, or of a consumer the next offset in some
        /// partitions, joined with commas: orders.events/3=1200. Partitions that are not named stay where they are
        #[arg(long, value_parser = reset_to, value_name = "beginning|now|POSITION|TOPIC/PARTITION=OFFSET")]
        to: ResetTo,
        /// Do it; on Kafka, once the group's processes are stopped
        #[arg(long)]
        execute: bool,
        /// Have effects again that were had before
        #[arg(long)]
        again: bool,
    },
}

/// `orders deadletters`
#[derive(Debug, Clone, Args)]
pub struct DeadLetters {
    /// What to do with them.
    #[command(subcommand)]
    pub action: DeadLettersAction,
    /// The store to look into.
    #[command(flatten)]
    pub store: StoreUrl,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub enum DeadLettersAction {
    /// The letters that wait for a person
    List {
        /// Of this handler only
        #[arg(long, value_name = "NAME")]
        handler: Option<String>,
        /// Also the events that wait for another attempt or for a cause
        #[arg(long)]
        retrying: bool,
        /// Those behind this letter: up to 1,000 are shown at once
        #[arg(long, default_value_t = 0, value_name = "ID")]
        after: u64,
    },
    /// All that is known of one letter: its latest attempts, the raw bytes, what is parked behind it
    Show {
        /// The letter
        id: u64,
        /// What happened before this entry of its history: up to 100 are shown at once
        #[arg(long, value_name = "ENTRY")]
        before: Option<u64>,
    },
    /// Have one handled again, and then what is parked behind it
    Redrive {
        /// The letter
        id: u64,
    },
    /// Have all of them handled again
    RedriveAll {
        /// Of this handler only
        #[arg(long, value_name = "NAME")]
        handler: Option<String>,
    },
    /// Replace the event's data and have it handled again; the data before is kept on record
    Edit {
        /// The letter
        id: u64,
        /// The new data: one JSON object
        #[arg(long, value_name = "JSON")]
        data: String,
    },
    /// Give one up: what is parked behind it goes on without it
    Discard {
        /// The letter
        id: u64,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// The events of a projection that were discarded or edited: every rebuild keeps to that
    Amendments {
        /// The projection
        handler: String,
        /// Those behind this position: up to 1,000 are shown at once
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        after: u64,
    },
    /// Take such a decision back: the next rebuild is given the event as it lies in the log
    Withdraw {
        /// The projection
        handler: String,
        /// The event's position
        position: u64,
    },
}

/// `orders projections`
#[derive(Debug, Clone, Args)]
pub struct Projections {
    /// What to do with them.
    #[command(subcommand)]
    pub action: ProjectionsAction,
    /// The store to look into.
    #[command(flatten)]
    pub store: StoreUrl,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with projections.
#[derive(Debug, Clone, Subcommand)]
pub enum ProjectionsAction {
    /// Every projection, and how far it is
    List,
    /// Fold the rows anew beside the live table, then switch
    Rebuild {
        /// The projection
        name: String,
    },
}

/// `orders topics`
#[derive(Debug, Clone, Args)]
pub struct Topics {
    /// What to do with them.
    #[command(subcommand)]
    pub action: TopicsAction,
    /// The cluster; kafka://127.0.0.1:9092 unless one is named.
    #[command(flatten)]
    pub broker: BrokerUrl,
    /// What stands before every topic
    #[arg(long, global = true, env = "FACTSTREAM_NAMESPACE", default_value = "", value_name = "PREFIX")]
    pub namespace: String,
    /// On how many brokers each partition is to be kept; not compared unless said
    #[arg(long, global = true, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub replication: Option<u16>,
}

/// What can be done with topics.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum TopicsAction {
    /// Show what differs; change nothing
    Plan,
    /// Make what is missing and set what differs; never shrink or delete
    Apply {
        /// Also add partitions; keys move, so wait until every group has read what is there
        #[arg(long)]
        add_partitions: bool,
    },
    /// Exit with an error if anything differs
    Check,
}

fn reset_to(text: &str) -> Result<ResetTo, String> {
    match (text, text.parse()) {
        ("beginning", _) => Ok(ResetTo::Beginning),
        ("now", _) => Ok(ResetTo::End),
        (_, Ok(position)) => Ok(ResetTo::Position(position)),
        _ => text.split(',').map(place).collect::<Option<_>>().map(ResetTo::Offsets).ok_or_else(|| {
            "write beginning, now, a position of the log, or TOPIC/PARTITION=OFFSET, several with commas"
                .to_owned()
        }),
    }
}

/// `orders.events/3=1200`
fn place(text: &str) -> Option<(Partition, i64)> {
    let (partition, offset) = text.split_once('=')?;
    let (topic, partition) = partition.rsplit_once('/')?;
    let partition = Partition { topic: topic.to_owned(), partition: partition.parse().ok()? };
    Some((partition, offset.parse().ok()?))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("write a number from 0.0 (never) to 1.0 (always)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn store_and_json_may_stand_before_or_after_the_action() {
        for line in [
            "orders deadletters --json --store sqlite://x.db list",
            "orders deadletters list --json --store sqlite://x.db",
        ] {
            let Command::DeadLetters(letters) = Cli::parse_from(line.split(' ')).command else {
                panic!("{line}")
            };
            assert!(letters.json && letters.store.store.as_deref() == Some("sqlite://x.db"), "{line}");
        }
    }

    #[test]
    fn a_handler_is_set_to_a_place_in_the_log_or_in_partitions() {
        let at = |topic: &str, partition| Partition { topic: topic.to_owned(), partition };
        assert_eq!(reset_to("now"), Ok(ResetTo::End));
        assert_eq!(reset_to("12"), Ok(ResetTo::Position(12)));
        let two = vec![(at("a.b", 3), 7), (at("c/d", 0), 0)];
        assert_eq!(reset_to("a.b/3=7,c/d/0=0"), Ok(ResetTo::Offsets(two)));
        for wrong in ["", "a=1", "a/x=1", "a/1=", "a/1=1,", "-1"] {
            assert!(reset_to(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_lies_between_none_and_all() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["-0.1", "1.1", "NaN", "inf", "half", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
