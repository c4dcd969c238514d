//! The rows of `fs_seals` and `fs_seal_salts`: made of events by the sealer, read back by whoever verifies.

use super::leaf::{self, FORM, HASH_BYTES, Hash, NO_SALT, SALT_BYTES, Salt};
use super::tree::Tree;
use crate::error::Error;
use crate::statements as sql;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::params;
use factstream_core::sql::{Params, Row, now};
use factstream_core::store::Store;
use jiff::Timestamp;

/// How many positions one row seals at most.
pub(super) const LEAVES_MAX: u64 = 1_024;

/// A row to be written.
pub(super) struct NewSeal {
    pub(super) size: Position,
    leaves: Vec<u8>,
    peaks: Vec<u8>,
    root: Hash,
    salts: Vec<u8>,
}

impl NewSeal {
    /// Seals the positions behind the tree up to this one, and grows the tree by them. `events` are those behind the tree, in
    /// order; a position that has none was deleted before.
    pub(super) fn grow<'a>(
        tree: &mut Tree,
        events: &mut std::iter::Peekable<impl Iterator<Item = &'a RecordedEvent>>,
        size: Position,
    ) -> Self {
        let (mut leaves, mut salts) = (Vec::new(), Vec::new());
        for position in tree.size() + 1..=size {
            let (leaf, salt) = match events.next_if(|event| event.position == position) {
                Some(event) => {
                    let salt: Salt = rand::random();
                    (leaf::of_event(event, &salt), salt)
                }
                None => (leaf::of_nothing(position), NO_SALT),
            };
            tree.push(leaf);
            leaves.extend(leaf);
            salts.extend(salt);
        }
        Self { size, leaves, peaks: tree.peaks(), root: tree.root(), salts }
    }

    /// The parameters of `insert_seal.sql` and of `insert_salts.sql`.
    pub(super) fn into_params(self) -> (Params, Params) {
        let Self { size, leaves, peaks, root, salts } = self;
        (params![size, FORM, leaves, peaks, &root[..], now()], params![size, salts])
    }
}

/// A row that stands.
pub(super) struct Seal {
    pub(super) size: Position,
    pub(super) leaves: Vec<Hash>,
    pub(super) root: Vec<u8>,
    pub(super) peaks: Vec<u8>,
    /// `None` where they are gone, or are not as many as the leaves.
    pub(super) salts: Option<Vec<Salt>>,
}

impl Seal {
    fn of_row(row: &Row) -> Result<Self, Error> {
        refuse_other_form(row)?;
        let leaves = row.get::<Vec<u8>>("leaves")?.as_chunks::<HASH_BYTES>().0.to_vec();
        let salts: Option<Vec<u8>> = row.get("salts")?;
        let salts = salts.map(|bytes| bytes.as_chunks::<SALT_BYTES>().0.to_vec());
        Ok(Self {
            size: row.get("size")?,
            salts: salts.filter(|salts| salts.len() == leaves.len()),
            leaves,
            root: row.get("root")?,
            peaks: row.get("peaks")?,
        })
    }

    /// The first position that it seals.
    pub(super) fn first(&self) -> Position {
        (self.size + 1).saturating_sub(self.leaves.len() as u64)
    }
}

/// Some seals beyond a size, in order.
pub(super) async fn beyond(store: &dyn Store, size: Position, at_most: u64) -> Result<Vec<Seal>, Error> {
    let rows = store.query(sql::SELECT_SEALS, params![size, at_most]).await?;
    rows.iter().map(Seal::of_row).collect()
}

/// The end of what is sealed.
pub(super) struct Newest {
    pub(super) tree: Tree,
    pub(super) sealed_at: Timestamp,
}

/// The newest seal; `None` when nothing is sealed.
///
/// # Errors
/// When its peaks are not those of its size and root: nothing can be sealed behind it.
pub(super) async fn newest(store: &dyn Store) -> Result<Option<Newest>, Error> {
    let rows = store.query(sql::SELECT_NEWEST_SEAL, params![]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    refuse_other_form(row)?;
    let (size, peaks, root) = (row.get("size")?, row.get::<Vec<u8>>("peaks")?, row.get::<Vec<u8>>("root")?);
    let tree = Tree::of(size, &peaks).filter(|tree| tree.root()[..] == root);
    let tree = tree.ok_or_else(|| {
        Error::Seals(format!(
            "the newest seal (up to position {size}) was changed: its root is not that of its peaks. Nothing is sealed behind it; \
             verify the log, with the newest checkpoint that you keep elsewhere, and restore fs_seals"
        ))
    })?;
    Ok(Some(Newest { tree, sealed_at: row.get("sealed_at")? }))
}

fn refuse_other_form(row: &Row) -> Result<(), Error> {
    let (size, form): (Position, u32) = (row.get("size")?, row.get("form")?);
    match form {
        FORM => Ok(()),
        _ => Err(Error::Seals(format!(
            "those up to position {size} are of form {form}, and this build knows form {FORM}; use a newer release"
        ))),
    }
}
