//! Checkpoints as signed notes (C2SP `signed-note`, Ed25519), so that nobody can slip in a checkpoint of his own where they are kept.
//!
//! Forms: <https://c2sp.org/signed-note>; keys as Go's `golang.org/x/mod/sumdb/note` writes them, so that its tools can check ours.

use super::checkpoint::{Checkpoint, InvalidCheckpoint};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The kind of signature, as it stands in keys and their ids.
const ED25519: u8 = 1;
const SECRET: &str = "PRIVATE+KEY+";
/// What a line of a signature begins with.
const DASH: &str = "\u{2014} ";
const ID_BYTES: usize = 4;

/// Why a text is no key, or a name none of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no key for checkpoints: {0}")]
pub struct InvalidKey(&'static str);

/// Signs checkpoints. Keep it where whoever writes the store cannot read it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::seals::{Checkpoint, SigningKey};
///
/// # let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
/// # let checkpoint: Checkpoint = format!("factstream/01936f3e-7b2a-7c11-8f00-0123456789ab\n0\n{root}\n").parse()?;
/// let key = SigningKey::generate(checkpoint.origin())?; // once; its secret_text() goes into a file
/// let note = key.sign(&checkpoint);
/// // .. a year later, by whoever has the public key
/// assert_eq!(key.verifying_key().open(&note)?, checkpoint);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks who signed a checkpoint. It is public; its text is `name+id+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    key: ed25519_dalek::VerifyingKey,
}

impl SigningKey {
    /// A new key, from the system's random numbers. Its name is that of the log: [`Seals::origin`](super::Seals::origin).
    ///
    /// # Errors
    /// When the name is empty, or has a space or a plus sign.
    pub fn generate(name: &str) -> Result<Self, InvalidKey> {
        let seed: [u8; 32] = rand::random();
        Ok(Self { name: checked(name)?, key: ed25519_dalek::SigningKey::from_bytes(&seed) })
    }

    /// The key that checks what this one signs.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The secret, as [`FromStr`] reads it: `PRIVATE+KEY+name+id+secret`.
    pub fn secret_text(&self) -> String {
        let id = hex(self.verifying_key().id());
        format!("{SECRET}{}+{id}+{}", self.name, encoded(self.key.as_bytes()))
    }

    /// The checkpoint as a note with this key's signature.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        self.sign_text(&checkpoint.to_string())
    }

    fn sign_text(&self, text: &str) -> String {
        let mut signature = self.verifying_key().id().to_vec();
        signature.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n{DASH}{} {}\n", self.name, STANDARD.encode(signature))
    }
}

impl VerifyingKey {
    /// The first bytes of a hash over name and key: by it a signature names its key.
    fn id(&self) -> [u8; ID_BYTES] {
        let mut hash = Sha256::new();
        hash.update(&self.name);
        hash.update([b'\n', ED25519]);
        hash.update(self.key.as_bytes());
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&hash.finalize()[..ID_BYTES]);
        id
    }

    /// The checkpoint in a note, once the signature of this key is found good. Those of others are not looked at.
    ///
    /// # Errors
    /// When it is no note, has no signature of this key, or another text than was signed.
    pub fn open(&self, note: &str) -> Result<Checkpoint, InvalidCheckpoint> {
        self.signed_text(note)?.parse()
    }

    fn signed_text<'a>(&self, note: &'a str) -> Result<&'a str, InvalidCheckpoint> {
        let end = note.rfind("\n\n").ok_or_else(|| InvalidCheckpoint::because("it has no signature"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let of_this_key = signatures.lines().filter_map(|line| self.signature_in(line));
        let mut found = false;
        for signature in of_this_key {
            found = true;
            if self.key.verify_strict(text.as_bytes(), &signature).is_ok() {
                return Ok(text);
            }
        }
        Err(InvalidCheckpoint::because(match found {
            true => "it is not what was signed: the signature does not fit the text".to_owned(),
            false => format!("it has no signature of the key {self}"),
        }))
    }

    /// The signature in a line, if it names this key.
    fn signature_in(&self, line: &str) -> Option<Signature> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (id, signature) = signature.split_at_checked(ID_BYTES)?;
        (name == self.name && id == self.id()).then(|| Signature::from_slice(signature).ok()).flatten()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, hex(self.id()), encoded(self.key.as_bytes()))
    }
}

impl FromStr for VerifyingKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        if text.starts_with(SECRET) {
            return Err(InvalidKey("it is the secret one; give the public one that belongs to it"));
        }
        let (name, id, key) = parts(text)?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| InvalidKey("its bytes are no key"))?;
        let key = Self { name: checked(name)?, key };
        if hex(key.id()) == id { Ok(key) } else { Err(DAMAGED) }
    }
}

impl FromStr for SigningKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let text = text
            .strip_prefix(SECRET)
            .ok_or(InvalidKey("it is not a secret one: those begin with PRIVATE+KEY+"))?;
        let (name, id, seed) = parts(text)?;
        let key = Self { name: checked(name)?, key: ed25519_dalek::SigningKey::from_bytes(&seed) };
        if hex(key.verifying_key().id()) == id { Ok(key) } else { Err(DAMAGED) }
    }
}

const DAMAGED: InvalidKey = InvalidKey("its id does not fit its name and its bytes; it was damaged or cut");

/// Name, id and bytes of a key.
fn parts(text: &str) -> Result<(&str, &str, [u8; 32]), InvalidKey> {
    let mut parts = text.splitn(3, '+'); // base64 has plus signs, too
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(InvalidKey("it has not three parts with plus signs between them"));
    };
    let bytes = STANDARD.decode(key).map_err(|_| InvalidKey("its last part is not base64"))?;
    match bytes.split_first() {
        Some((&ED25519, key)) => {
            Ok((name, id, key.try_into().map_err(|_| InvalidKey("it has not 32 bytes"))?))
        }
        _ => Err(InvalidKey("it is not of Ed25519")),
    }
}

fn checked(name: &str) -> Result<String, InvalidKey> {
    match name.is_empty() || name.contains(|sign: char| sign.is_whitespace() || sign == '+') {
        true => Err(InvalidKey("a name has at least one letter, no space and no plus sign")),
        false => Ok(name.to_owned()),
    }
}

fn encoded(key: &[u8; 32]) -> String {
    STANDARD.encode([&[ED25519], &key[..]].concat())
}

fn hex(id: [u8; ID_BYTES]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's package note.
    const GO_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const GO_SIGNATURE: &str = "\u{2014} PeterNeumann \
         x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn keys_and_signatures_are_those_of_other_tools() {
        let key: SigningKey = GO_SECRET.parse().unwrap();
        assert_eq!(
            (key.secret_text().as_str(), key.verifying_key().to_string().as_str()),
            (GO_SECRET, GO_PUBLIC)
        );
        let note = key.sign_text(GO_TEXT);
        assert_eq!(note, format!("{GO_TEXT}\n{GO_SIGNATURE}"));
        let public: VerifyingKey = GO_PUBLIC.parse().unwrap();
        assert_eq!(public.signed_text(&note).unwrap(), GO_TEXT);
        assert!(!format!("{key:?}").contains("AYEK"));
    }

    #[test]
    fn a_note_with_any_byte_flipped_is_refused() {
        let key: SigningKey = GO_SECRET.parse().unwrap();
        let public = key.verifying_key();
        let note = key.sign_text("factstream/x\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
        assert_eq!(public.open(&note).unwrap().size(), 1);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(flipped) = String::from_utf8(bytes) {
                let opened = public.signed_text(&flipped);
                assert!(opened.is_err(), "byte {at}: {flipped}");
            }
        }
        let reason = |note: &str| public.open(note).unwrap_err().reason;
        assert!(reason(note.split("\n\n").next().unwrap()).contains("no signature"));
        let other = SigningKey::generate("other").unwrap();
        assert!(
            other.verifying_key().open(&note).unwrap_err().reason.contains("no signature of the key other+")
        );
        assert!(reason(&note.replacen("\n1\n", "\n2\n", 1)).contains("does not fit"));
        // A second signature, of a witness, takes nothing away.
        let (_, witness) = note.split_once("\n\n").unwrap();
        assert!(public.open(&format!("{note}{}", witness.replace("PeterNeumann", "witness"))).is_ok());
    }

    #[test]
    fn what_is_no_key_says_why() {
        let refused = |text: &str| text.parse::<VerifyingKey>().unwrap_err().to_string();
        assert!(refused(GO_SECRET).contains("secret one"));
        assert!(refused("a+b").contains("three parts"));
        assert!(refused("a+b+!").contains("base64"));
        assert!(refused("a+b+AAAA").contains("Ed25519"));
        assert!(refused("a+b+AQAA").contains("32 bytes"));
        assert!(refused(&GO_PUBLIC.replace("Peter", "Pater")).contains("damaged"));
        assert!(GO_PUBLIC.parse::<SigningKey>().unwrap_err().to_string().contains("PRIVATE+KEY+"));
        assert!(GO_SECRET.replace("c74f", "c75f").parse::<SigningKey>().is_err());
        for name in ["", "a b", "a+b"] {
            assert!(SigningKey::generate(name).is_err(), "{name:?}");
        }
    }
}
