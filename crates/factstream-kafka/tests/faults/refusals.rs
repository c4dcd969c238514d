//! The broker refuses one request, as it does while it takes over a partition or a group: nothing is lost of it, and nothing
//! that was sent behind it is taken before it (G5).
//!
//! A proxy before the real broker gives the refusal, when the client has sent its next request, if it has one to send.

use crate::support::{
    after, assert_whole_and_in_order, declared, gather, join, lag_becomes, mixed, open, read_until, unique,
};
use factstream_core::broker::Broker;
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka::Kafka;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

const MESSAGES: usize = 10;
/// How long a client that has more to send may take to do so.
const NEXT_REQUEST: Duration = Duration::from_millis(500);

/// A broker takes any first number of a producer that it does not know, and librdkafka takes a message for delivered when one
/// behind it is: with two requests on their way, the refused one would be lost and called published.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_first_request_is_sent_again_before_any_other() {
    let refusing = Refusing::start(Refusal::Produce).await;
    // A request for each message.
    let broker = refusing.open("linger.ms=0&batch.num.messages=1");
    broker.publish(mixed(&refusing.topic, 1, 0, MESSAGES)).await.expect("the broker takes them in the end");
    refusing.assert_it_did();
    let mut member = join(&broker, &unique("group"), &refusing.topic).await;
    let read = read_until(member.as_mut(), |read| read.len() >= MESSAGES).await;
    assert_whole_and_in_order(&read, 1, MESSAGES);
}

/// Progress is sent without waiting for the answer. One that is refused is sent again, though nothing new comes.
#[tokio::test(flavor = "multi_thread")]
async fn progress_that_was_refused_is_sent_again_by_an_idle_member() {
    let refusing = Refusing::start(Refusal::Commit).await;
    let broker = refusing.open("linger.ms=0");
    broker.publish(mixed(&refusing.topic, 1, 0, MESSAGES)).await.expect("the broker takes them");
    let group = unique("group");
    let mut member = join(&broker, &group, &refusing.topic).await;
    let read = gather(member.as_mut(), MESSAGES).await;
    member.commit(&after(&read)).await.expect("progress is sent");
    tokio::select! {
        () = lag_becomes(&broker, &group, &refusing.topic, 0) => {}
        again = gather(member.as_mut(), 1) => panic!("records come again: {again:?}"),
    }
    refusing.assert_it_did();
}

/// Which request is refused, the first of its kind.
#[derive(Clone, Copy)]
enum Refusal {
    Produce,
    Commit,
}

impl Refusal {
    /// Kafka's number of the request.
    fn request(self) -> i16 {
        match self {
            Self::Produce => 0,
            Self::Commit => 8,
        }
    }

    /// The answer for partition 0 of a topic, in the versions that librdkafka speaks. Lists and texts tell their length + 1.
    fn answer(self, request: &[u8], topic: &str) -> Vec<u8> {
        const NOT_LEADER: i16 = 6;
        const REBALANCE_IN_PROGRESS: i16 = 27;
        const NO_THROTTLING: &[u8] = &[0; 4];
        // No offset, no time, no oldest offset; no record is at fault, and no text.
        let nothing_stored = [[0xff; 24].as_slice(), &[1, 0]].concat();
        let (known, before, error, details, behind): (_, &[u8], i16, &[u8], &[u8]) = match self {
            Self::Produce => (9..=12, &[], NOT_LEADER, &nothing_stored, NO_THROTTLING),
            Self::Commit => (8..=9, NO_THROTTLING, REBALANCE_IN_PROGRESS, &[], &[]),
        };
        let version = i16::from_be_bytes([request[6], request[7]]);
        assert!(known.contains(&version), "the proxy does not know version {version} of this request");
        let name_length = [u8::try_from(topic.len() + 1).expect("a short name")];
        let whose = &request[8..12];
        // No tags, one topic, one partition, and no tags of the partition, the topic and the whole.
        let answer = [
            whose,
            &[0],
            before,
            &[2],
            &name_length,
            topic.as_bytes(),
            &[2],
            &[0; 4], // partition 0
            &error.to_be_bytes(),
            details,
            &[0, 0],
            behind,
            &[0],
        ]
        .concat();
        let length = u32::try_from(answer.len()).expect("a short answer");
        [length.to_be_bytes().to_vec(), answer].concat()
    }
}

/// A broker behind a proxy that refuses one request.
struct Refusing {
    url: String,
    topic: String,
    has_refused: Arc<AtomicBool>,
    _kafka: Kafka,
}

impl Refusing {
    async fn start(refusal: Refusal) -> Self {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port for the proxy");
        let port = proxy.local_addr().expect("the proxy's port").port();
        let started = tokio::task::spawn_blocking(move || Kafka::start_own_behind(port));
        let kafka = started.await.expect("Kafka starts");
        let topic = declared(&open(&kafka.internal_url()), 1).await;
        let has_refused = Arc::new(AtomicBool::new(false));
        let link = Link { refusal, topic: topic.clone(), has_refused: Arc::clone(&has_refused) };
        tokio::spawn(serve(proxy, kafka.port(), link));
        Self { url: format!("kafka://127.0.0.1:{port}"), topic, has_refused, _kafka: kafka }
    }

    fn open(&self, settings: &str) -> KafkaBroker {
        open(&format!("{}?{settings}", self.url))
    }

    fn assert_it_did(&self) {
        assert!(self.has_refused.load(Ordering::Relaxed), "nothing was refused: this test tests nothing");
    }
}

#[derive(Clone)]
struct Link {
    refusal: Refusal,
    topic: String,
    has_refused: Arc<AtomicBool>,
}

async fn serve(proxy: TcpListener, server: u16, link: Link) {
    while let Ok((client, _)) = proxy.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return }; // it has ended
        let (requests, to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        let to_client = Arc::new(Mutex::new(to_client));
        tokio::spawn(link.clone().pass_requests(requests, to_server, Arc::clone(&to_client)));
        tokio::spawn(async move {
            while let Some(answer) = read_frame(&mut from_server).await {
                if to_client.lock().await.write_all(&answer).await.is_err() {
                    return;
                }
            }
            let _ = to_client.lock().await.shutdown().await;
        });
    }
}

impl Link {
    async fn pass_requests(
        self,
        mut requests: OwnedReadHalf,
        mut server: OwnedWriteHalf,
        client: Arc<Mutex<OwnedWriteHalf>>,
    ) {
        while let Some(request) = read_frame(&mut requests).await {
            let is_of_the_kind = request[4..6] == self.refusal.request().to_be_bytes();
            if !is_of_the_kind || self.has_refused.swap(true, Ordering::Relaxed) {
                if server.write_all(&request).await.is_err() {
                    return;
                }
                continue;
            }
            let _ = tokio::time::timeout(NEXT_REQUEST, requests.peek(&mut [0])).await;
            let answer = self.refusal.answer(&request, &self.topic);
            if client.lock().await.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// A frame of Kafka's protocol, its length included; `None` when the connection has ended.
async fn read_frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).await.ok()?;
    let length = u32::from_be_bytes(frame[..4].try_into().expect("four bytes"));
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}
