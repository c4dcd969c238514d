//! A deadline on every answer: the stream that a connection runs over counts questions and answers, and fails when the server is
//! silent for too long while an answer is due.
//!
//! A proxy or firewall that has forgotten a connection lets what is sent vanish, without an end: no error ever comes by itself.
//! Watching the stream covers every exchange there is, also those of a user's own on the native connection, and costs no timer for
//! each of them. Invariants: nothing is due on an idle connection, however long; silence counts only while the connection is
//! read, so a slow reader is not taken for a silent server.

use crate::frames::Frames;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// A stream to a server that must answer within a time.
pub(crate) struct Timed<S> {
    stream: S,
    silence_max: Duration,
    asked: Frames,
    answered: Frames,
    /// Answers that are due.
    due: u64,
    /// Since when nothing has come although an answer is due.
    silent_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    pub(crate) fn new(stream: S, silence_max: Duration) -> Self {
        let (asked, answered, timer) =
            (Frames::of_client(), Frames::of_server(), Box::pin(sleep(silence_max)));
        Self { stream, silence_max, asked, answered, due: 0, silent_since: None, timer }
    }

    fn sent(&mut self, bytes: &[u8]) {
        let due = &mut self.due;
        self.asked.feed(bytes, |tag| {
            // A statement as text; the end of an extended query; the first message of all.
            if matches!(tag, b'Q' | b'S' | Frames::STARTUP) {
                *due += 1;
            }
        });
        if self.asked.has_asked_for_tls() {
            self.answered.expect_one_byte();
        }
        if self.due > 0 {
            self.silent_since = Some(Instant::now());
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let due = &mut self.due;
        self.answered.feed(bytes, |tag| {
            if tag == b'Z' {
                *due = due.saturating_sub(1); // ready for the next question
            }
        });
        self.silent_since = None;
    }

    /// Ready when an answer is overdue; else this task is woken when it may be.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.due == 0 {
            return Poll::Pending;
        }
        let overdue_at = *self.silent_since.get_or_insert_with(Instant::now) + self.silence_max;
        while self.timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= overdue_at {
                let text = format!("the server has not answered for {:?}", self.silence_max);
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.timer.as_mut().reset(overdue_at);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.poll_overdue(context).map(Err),
            done @ Poll::Ready(_) => {
                self.received(&buffer.filled()[before..]);
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = written {
            self.sent(&bytes[..length]);
            // Its reading half may already wait, without a timer.
            if let Poll::Ready(error) = self.poll_overdue(context) {
                return Poll::Ready(Err(error));
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connector whose encrypted stream is the timed one: below the encryption there is nothing to count.
pub(crate) struct TimedTls<T>(pub(crate) T);

impl<S, T> TlsConnect<Timed<S>> for TimedTls<T>
where
    S: Send + 'static,
    T: TlsConnect<S> + Send + 'static,
    T::Future: Send,
    T::Stream: Send,
{
    type Stream = Timed<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, timed: Timed<S>) -> Self::Future {
        Box::pin(async move {
            let encrypted = self.0.connect(timed.stream).await?;
            Ok(Timed::new(encrypted, timed.silence_max))
        })
    }
}

impl<S: TlsStream + Unpin> TlsStream for Timed<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    const SILENCE_MAX: Duration = Duration::from_secs(10);
    const STARTUP: &[u8] = &[0, 0, 0, 9, 0, 3, 0, 0, 0];
    const READY: &[u8] = &[b'Z', 0, 0, 0, 5, b'I'];
    const QUERY: &[u8] = &[b'Q', 0, 0, 0, 5, 0];

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_silent_while_an_answer_is_due_is_given_up_and_an_idle_one_is_not() {
        let (client, mut server) = duplex(1_024);
        let mut client = Timed::new(client, SILENCE_MAX);
        let mut byte = [0];
        client.write_all(STARTUP).await.unwrap();
        server.write_all(READY).await.unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
        assert!(timeout(SILENCE_MAX * 10, client.read(&mut byte)).await.is_err(), "nothing is due");

        // Two questions at once, one answer: the other is still due.
        client.write_all(&[QUERY, QUERY].concat()).await.unwrap();
        server.write_all(READY).await.unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
        let began = Instant::now();
        let error = client.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= SILENCE_MAX && began.elapsed() < SILENCE_MAX * 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_bit_by_bit_is_waited_for() {
        let (client, mut server) = duplex(1_024);
        let mut client = Timed::new(client, SILENCE_MAX);
        client.write_all(STARTUP).await.unwrap();
        let answering = tokio::spawn(async move {
            for byte in READY {
                tokio::time::sleep(SILENCE_MAX / 2).await;
                server.write_all(&[*byte]).await.unwrap();
            }
            server
        });
        client.read_exact(&mut [0; 6]).await.unwrap();
        let mut server = answering.await.unwrap();
        client.write_all(QUERY).await.unwrap();
        tokio::time::sleep(SILENCE_MAX * 5).await; // nobody reads meanwhile
        server.write_all(READY).await.unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
    }
}
