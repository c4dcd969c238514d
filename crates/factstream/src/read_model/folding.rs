//! A fold over a batch: load the touched rows, fold in memory, write each touched row once.

use super::fill::Fill;
use super::fold::FoldRows;
use super::keys::Keys;
use super::rows::{ModelRows, order_of};
use crate::handler::filling::Filling;
use crate::handler::reaction::{BatchFailure, Decoded, Reaction, Ready, typed};
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::Envelope;
use factstream_core::event::{EventSet, EventType};
use std::collections::HashSet;
use std::marker::PhantomData;

/// The reaction of a read model.
pub(crate) struct Folding<R> {
    decoder: Decoder,
    types: HashSet<&'static str>,
    row: PhantomData<fn() -> R>,
}

impl<R: FoldRows> Folding<R> {
    pub(crate) fn new(decoder: Decoder) -> Self {
        let types = R::Events::event_types().into_iter().flat_map(EventType::names).collect();
        Self { decoder, types, row: PhantomData }
    }
}

#[async_trait]
impl<R: FoldRows> Reaction for Folding<R> {
    fn event_types(&self) -> Vec<&'static EventType> {
        R::Events::event_types()
    }

    fn handles(&self, event_type: &str) -> bool {
        self.types.contains(event_type)
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let event: R::Events = self.decoder.decode_envelope(&envelope, json)?;
        Ok(Box::new(envelope.with(event)))
    }

    /// Events of one row wait for each other, whatever their aggregates (G7).
    fn order_key(&self, event: &Decoded) -> Option<String> {
        match ModelRows::<R>::keys_of(typed(event)).ok()? {
            Keys::One((key, _)) => Some(order_of(&key)),
            Keys::None | Keys::Several(_) => None,
        }
    }

    /// Where events touch several rows, all of them wait for each other.
    fn one_order(&self) -> Option<&'static str> {
        R::SEVERAL.then_some(R::TABLE)
    }

    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure> {
        if batch.is_empty() {
            return Ok(());
        }
        let whole = BatchFailure::somewhere;
        let mut keys = Vec::with_capacity(batch.len());
        for (at, ready) in batch.iter().enumerate() {
            keys.push(
                ModelRows::<R>::keys_of(typed(ready.event))
                    .map_err(|failure| BatchFailure::at(at, failure))?,
            );
        }
        let touched = keys.iter().flat_map(Keys::as_slice).map(|(row_key, _)| row_key.clone()).collect();
        let mut rows = ModelRows::<R>::load(&touched, tx).await.map_err(whole)?.rows;
        for (at, (ready, keys)) in batch.iter().zip(keys).enumerate() {
            for (row_key, key) in keys.as_slice() {
                let Some(row) = rows.get_mut(row_key) else { continue };
                let folded = ModelRows::<R>::fold(row.take(), key, typed(ready.event));
                *row = folded.map_err(|failure| BatchFailure::at(at, failure))?;
            }
        }
        ModelRows::<R>::write(rows, tx).await.map_err(whole)
    }

    fn filling(&self) -> Option<Box<dyn Filling>> {
        Some(Box::new(Fill::<R>::new(self.decoder.clone())))
    }
}
