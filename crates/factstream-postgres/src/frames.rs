//! Where messages begin in the bytes of PostgreSQL's protocol, and of what kind they are. Their contents are skipped.

/// The code that asks for TLS, where other first messages have the protocol's version.
const TLS_CODE: u32 = 80_877_103;

/// One direction of a connection, cut anywhere.
pub(crate) struct Frames {
    /// What the next bytes are.
    next: Next,
    header: [u8; 8],
    read: usize,
    /// Bytes that belong to the message at hand.
    skip: usize,
    tls_asked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A first message: length and code, no kind.
    First,
    /// The answer to the question for TLS.
    OneByte,
    Message,
}

impl Frames {
    /// What a first message is told as.
    pub(crate) const STARTUP: u8 = 0;

    pub(crate) fn of_client() -> Self {
        Self { next: Next::First, header: [0; 8], read: 0, skip: 0, tls_asked: false }
    }

    pub(crate) fn of_server() -> Self {
        Self { next: Next::Message, ..Self::of_client() }
    }

    /// Whether TLS has been asked for since this was asked.
    pub(crate) fn has_asked_for_tls(&mut self) -> bool {
        std::mem::take(&mut self.tls_asked)
    }

    /// The next byte is no message.
    pub(crate) fn expect_one_byte(&mut self) {
        self.next = Next::OneByte;
    }

    /// Takes the bytes that follow, and tells the kind of each message that begins there.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut begins: impl FnMut(u8)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let length = match self.next {
                Next::OneByte => {
                    self.next = Next::Message;
                    bytes = &bytes[1..];
                    continue;
                }
                Next::First => 8,
                Next::Message => 5,
            };
            let taken = (length - self.read).min(bytes.len());
            self.header[self.read..self.read + taken].copy_from_slice(&bytes[..taken]);
            self.read += taken;
            bytes = &bytes[taken..];
            if self.read == length {
                self.read = 0;
                self.begin(&mut begins);
            }
        }
    }

    fn begin(&mut self, begins: &mut impl FnMut(u8)) {
        let number = |at: usize| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|byte| self.header[at + byte]);
            u32::from_be_bytes([a, b, c, d])
        };
        // A length counts itself.
        if self.next == Next::Message {
            self.skip = (number(1) as usize).saturating_sub(4);
            begins(self.header[0]);
            return;
        }
        let (length, code) = (number(0) as usize, number(4));
        self.skip = length.saturating_sub(8);
        if code == TLS_CODE {
            self.tls_asked = true;
        } else {
            self.next = Next::Message;
            begins(Self::STARTUP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_the_bytes_are_cut() {
        let tls = [0, 0, 0, 8, 4, 210, 22, 47];
        let startup = [0, 0, 0, 10, 0, 3, 0, 0, 1, 0];
        let query = [b'Q', 0, 0, 0, 7, b'Z', b'Z', 0];
        let sync = [b'S', 0, 0, 0, 4];
        let sent = [&tls[..], &startup, &query, &sync, &query].concat();
        let answer = [&b"N"[..], &[b'R', 0, 0, 0, 8, 0, 0, 0, 0], &[b'Z', 0, 0, 0, 5, b'I']].concat();
        for cut in 1..sent.len() {
            let (mut asked, mut answered) = (Frames::of_client(), Frames::of_server());
            let (mut kinds, mut answers) = (Vec::new(), Vec::new());
            for part in sent.chunks(cut) {
                asked.feed(part, |kind| kinds.push(kind));
            }
            assert!(asked.has_asked_for_tls());
            answered.expect_one_byte();
            for part in answer.chunks(cut) {
                answered.feed(part, |kind| answers.push(kind));
            }
            assert_eq!(
                (kinds.as_slice(), answers.as_slice()),
                (&[Frames::STARTUP, b'Q', b'S', b'Q'][..], &b"RZ"[..])
            );
        }
    }
}
