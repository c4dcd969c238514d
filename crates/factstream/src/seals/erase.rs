//! Destroying salts. Invariant: leaves are never touched, so the tree stands as it was.

use super::leaf::{NO_SALT, SALT_BYTES};
use crate::error::Error;
use crate::statements as sql;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::store::Store;
use std::collections::BTreeSet;

/// Destroys the salts of these positions in one transaction; how many there were.
pub(super) async fn destroy_salts(store: &dyn Store, positions: &[Position]) -> Result<u64, Error> {
    let mut positions: BTreeSet<Position> =
        positions.iter().copied().filter(|position| *position > 0).collect();
    let mut destroyed = 0;
    let mut tx = store.begin().await?;
    while let Some(first) = positions.first().copied() {
        let rows = tx.query(sql::SELECT_SALTS, params![first]).await?;
        let Some(row) = rows.first() else { break };
        let (size, mut salts): (Position, Vec<u8>) = (row.get("size")?, row.get("salts")?);
        let rest = positions.split_off(&(size + 1));
        let before = size.saturating_sub((salts.len() / SALT_BYTES) as u64);
        for position in std::mem::replace(&mut positions, rest) {
            let Some(at) = position.checked_sub(before + 1) else { continue };
            let salt = &mut salts[at as usize * SALT_BYTES..][..SALT_BYTES];
            if *salt != NO_SALT {
                salt.copy_from_slice(&NO_SALT);
                destroyed += 1;
            }
        }
        tx.execute("UPDATE fs_seal_salts SET salts = $2 WHERE size = $1", params![size, salts]).await?;
    }
    tx.commit(Vec::new()).await?;
    Ok(destroyed)
}
