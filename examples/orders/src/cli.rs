//! The command line: what `orders` can be asked to do. Parsed here, done in the module of the same name.

use crate::app::Service;
use clap::{Args, Parser, Subcommand};

/// The store that every command uses unless told otherwise.
pub const STORE: &str = "sqlite://orders.db";

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
    /// See and mend what could not be handled
    #[command(name = "deadletters")]
    DeadLetters(DeadLetters),
    /// See and rebuild the projections
    Projections(Projections),
    /// Compare the registry of topics with a Kafka cluster, and bring the cluster to it
    Topics(Topics),
}

/// `orders serve`
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the events are kept
    #[arg(long, default_value = STORE, value_name = "URL")]
    pub store: String,
    /// Where the topics are kept: `embedded` keeps them in the store; or kafka://HOST:9092
    #[arg(long, default_value = "embedded", value_name = "URL")]
    pub broker: String,
    /// Run one service only; start the others beside it, each as often as you like
    #[arg(long, value_enum, value_name = "SERVICE")]
    pub service: Option<Service>,
    /// The address of the HTTP API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub listen: String,
    /// Ship an order by itself when it is paid and its stock reserved
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub auto_ship: bool,
    /// Publish dead letters to TOPIC-dlt, too, with the header names of Spring Kafka
    #[arg(long)]
    pub mirror_dead_letters: bool,
    /// How often the simulated payment gateway fails, from 0.0 to 1.0
    #[arg(long, default_value_t = 0.0, value_parser = rate, value_name = "RATE")]
    pub gateway_failure_rate: f64,
}

/// `orders demo`
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// How many orders to place
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub orders: u32,
    /// Where the events are kept; a new file in the temporary folder unless said
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Where the topics are kept: `embedded` keeps them in the store; or kafka://HOST:9092
    #[arg(long, default_value = "embedded", value_name = "URL")]
    pub broker: String,
    /// How often the simulated payment gateway fails, from 0.0 to 1.0
    #[arg(long, default_value_t = 0.05, value_parser = rate, value_name = "RATE")]
    pub gateway_failure_rate: f64,
}

/// `orders deadletters`
#[derive(Debug, Clone, Args)]
pub struct DeadLetters {
    /// What to do with them.
    #[command(subcommand)]
    pub action: DeadLettersAction,
    /// The store to look into
    #[arg(long, global = true, default_value = STORE, value_name = "URL")]
    pub store: String,
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
        /// Also the events that wait for another attempt
        #[arg(long)]
        retrying: bool,
    },
    /// All that is known of one letter: every attempt, the raw bytes, what is parked behind it
    Show {
        /// The letter
        id: u64,
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
}

/// `orders projections`
#[derive(Debug, Clone, Args)]
pub struct Projections {
    /// What to do with them.
    #[command(subcommand)]
    pub action: ProjectionsAction,
    /// The store to look into
    #[arg(long, global = true, default_value = STORE, value_name = "URL")]
    pub store: String,
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
    /// The cluster
    #[arg(long, global = true, default_value = "kafka://127.0.0.1:9092", value_name = "URL")]
    pub broker: String,
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
            assert!(letters.json && letters.store == "sqlite://x.db", "{line}");
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
