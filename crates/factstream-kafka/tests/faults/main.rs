//! The Kafka engine when things go wrong, on real brokers: killed and started again, with records deleted, members that
//! come, go and sleep, credentials that are refused, messages that are too large, requests that are refused.
#![allow(missing_docs)]

mod support;
mod refusals;
mod restart;
mod one_of_three;
mod offset_gone;
mod made_again;
mod made_again_relay;
mod other_system;
mod rebalances;
mod takeover;
mod leaving;
mod partitions_added;
mod topics_are_not_made;
mod credentials;
mod rights;
mod too_large;
mod times;
