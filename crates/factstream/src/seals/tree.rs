//! The tree over all leaves: a Merkle tree as in RFC 6962 (2.1), which grows to the right. Its root at a size stands for everything
//! up to there, and any size has one.
//!
//! Invariant: what is kept of it are its peaks, the roots of the perfect trees that a size is made of, the largest first: as many as the
//! size has ones in binary. So a tree of any size is carried on from at most 64 hashes.

use super::leaf::{HASH_BYTES, Hash};
use sha2::{Digest, Sha256};

/// RFC 6962, 2.1.
const NODE: u8 = 1;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree of this size whose peaks these are; `None` when a size has other peaks than so many bytes.
    pub(crate) fn of(size: u64, peaks: &[u8]) -> Option<Self> {
        let (hashes, rest) = peaks.as_chunks::<HASH_BYTES>();
        let fits = rest.is_empty() && hashes.len() == size.count_ones() as usize;
        fits.then(|| Self { size, peaks: hashes.to_vec() })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, as they are stored.
    pub(crate) fn peaks(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// Adds the next leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let perfect = self.size.trailing_ones() as usize; // trees as large as the new one, one after the other
        let node =
            self.peaks.drain(self.peaks.len() - perfect..).rfold(leaf, |right, left| node(&left, &right));
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root.
    pub(crate) fn root(&self) -> Hash {
        let peaks = self.peaks.iter().copied();
        peaks.rev().reduce(|right, left| node(&left, &right)).unwrap_or_else(|| Sha256::digest([]).into())
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([NODE]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::leaf::hex;
    use super::*;

    fn leaf(data: &[u8]) -> Hash {
        Sha256::digest([&[0], data].concat()).into()
    }

    /// The definition in RFC 6962, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            more => {
                let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
                node(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn a_root_is_what_rfc_6962_defines_at_every_size() {
        let leaves: Vec<Hash> = (0..300_u32).map(|n| leaf(&n.to_be_bytes())).collect();
        let mut tree = Tree::default();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), defined(&leaves[..size]), "of size {size}");
            tree.push(*leaf);
        }
        assert_eq!(tree.root(), defined(&leaves));
    }

    /// The roots that implementations of Certificate Transparency test with.
    #[test]
    fn roots_are_those_of_other_implementations() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (size, root) in roots {
            let mut tree = Tree::default();
            leaves[..size].iter().for_each(|data| tree.push(leaf(data)));
            assert_eq!(hex(tree.root()), root);
        }
    }

    #[test]
    fn a_tree_is_carried_on_from_its_peaks_and_from_nothing_else() {
        let mut tree = Tree::default();
        for n in 0..100_u32 {
            let mut carried_on = Tree::of(u64::from(n), &tree.peaks()).unwrap();
            assert_eq!(carried_on, tree);
            carried_on.push(leaf(&n.to_be_bytes()));
            tree.push(leaf(&n.to_be_bytes()));
            assert_eq!(carried_on.root(), tree.root());
        }
        let peaks = tree.peaks();
        assert_eq!(Tree::of(101, &peaks), None);
        assert_eq!(Tree::of(100, &peaks[1..]), None);
    }
}
