//! The aggregate Reservation: what the inventory service holds for one order, so that it can give back just that.
//!
//! Invariant: an order's lines are held once and released at most once. The stream has two events at most.

use factstream::{Aggregate, Command, Event, Shape};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// How many of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Line {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: u64,
}

/// What happened to a reservation. Stays home: the stock's events tell the world.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(private)]
pub enum ReservationEvent {
    /// Goods are held.
    #[event(name = "ReservationHeld", version = 1)]
    Held {
        /// Which ones, each SKU once.
        lines: Vec<Line>,
    },
    /// They were given back.
    #[event(name = "ReservationReleased", version = 1)]
    Released,
}

/// What is held for an order; the aggregate's id is the order's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reservation {
    /// Nothing was reserved yet.
    #[default]
    None,
    /// These goods are held, or were shipped.
    Held {
        /// Which ones.
        lines: Vec<Line>,
    },
    /// The goods were given back.
    Released,
}

impl Aggregate for Reservation {
    const TYPE: &'static str = "reservation";
    type Event = ReservationEvent;

    fn apply(&mut self, event: &ReservationEvent) {
        *self = match event {
            ReservationEvent::Held { lines } => Self::Held { lines: lines.clone() },
            ReservationEvent::Released => Self::Released,
        }
    }
}

/// Holds goods for an order. One that holds goods, or held them, stays as it is.
#[derive(Debug, Clone)]
pub struct HoldLines {
    /// Which ones, each SKU once.
    pub lines: Vec<Line>,
}

impl Command<Reservation> for HoldLines {
    type Error = Infallible;

    fn decide(&self, reservation: &Reservation) -> Result<Vec<ReservationEvent>, Infallible> {
        Ok(match reservation {
            Reservation::None => vec![ReservationEvent::Held { lines: self.lines.clone() }],
            Reservation::Held { .. } | Reservation::Released => vec![],
        })
    }
}

/// Gives the goods back. Where none are held, nothing happens.
#[derive(Debug, Clone)]
pub struct Release;

impl Command<Reservation> for Release {
    type Error = Infallible;

    fn decide(&self, reservation: &Reservation) -> Result<Vec<ReservationEvent>, Infallible> {
        Ok(match reservation {
            Reservation::Held { .. } => vec![ReservationEvent::Released],
            Reservation::None | Reservation::Released => vec![],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factstream::testing::given;

    fn lines() -> Vec<Line> {
        vec![Line { sku: "SKU-1".into(), quantity: 2 }]
    }

    fn held() -> ReservationEvent {
        ReservationEvent::Held { lines: lines() }
    }

    #[test]
    fn goods_are_held_once() {
        given::<Reservation>([]).when(HoldLines { lines: lines() }).then([held()]);
        given::<Reservation>([held()]).when(HoldLines { lines: lines() }).then([]);
        given::<Reservation>([held(), ReservationEvent::Released])
            .when(HoldLines { lines: lines() })
            .then([]);
    }

    #[test]
    fn held_goods_are_released_once() {
        given::<Reservation>([held()]).when(Release).then([ReservationEvent::Released]);
        given::<Reservation>([]).when(Release).then([]);
        given::<Reservation>([held(), ReservationEvent::Released]).when(Release).then([]);
    }
}
