//! The reference system of factstream: order, payment and inventory services, in one process or each in its own.
//!
//! The modules stand in the order of the data: a request becomes a command, the command an event; consumers of the
//! other services react to it, and the order service's process ships what is paid and reserved, and cancels what is not in time.
//!
//! | service | aggregate | reacts to |
//! |---|---|---|
//! | order | [`order`], [`report`] | payments and stock: [`facts`]; what is known of an order, and time: [`fulfilment`]; orders and their payments: [`analytics`] |
//! | inventory | [`inventory`], [`reservation`] | orders that are created or cancelled |
//! | payment | [`payment`] | the same; asks the [`gateway`] |
//!
//! Services know each other by events only: each declares the part of another's events that it reads.

pub mod cli;
pub mod urls;
pub mod http;
pub mod order;
pub mod inventory;
pub mod reservation;
pub mod gateway;
pub mod amount;
pub mod payment;
pub mod facts;
pub mod fulfilment;
pub mod projection;
pub mod report;
pub mod analytics;
pub mod registry;
pub mod app;
pub mod phase;
pub mod serve;
pub mod output;
pub mod topics;
pub mod deadletters;
pub mod projections;
pub mod status;
pub mod schema;
pub mod seal;
pub mod demo;

/// What a command of the command line may fail with: its text says what happened and what to do.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;
