//! The broker refuses a producer's first request for a partition, as it does while it takes over a topic that was just
//! made: nothing behind that request may be taken before it is sent again (G5).
//!
//! Kafka takes any first number of a producer that it does not know, and librdkafka takes a message for delivered when one
//! behind it is: with two requests on their way, the refused one would be lost and called published.

use crate::support::{assert_whole_and_in_order, declared, join, mixed, open, read_until, unique};
use factstream_core::broker::Broker;
use factstream_tests::kafka::Kafka;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

const MESSAGES: usize = 10;
/// Kafka's number of a produce request, and of the refusal `NOT_LEADER_OR_FOLLOWER`.
const PRODUCE: [u8; 2] = [0, 0];
const NOT_LEADER: i16 = 6;
/// How long a producer that has more to send may take to do so.
const SECOND_REQUEST: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_first_request_is_sent_again_before_any_other() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port for the proxy");
    let port = proxy.local_addr().expect("the proxy's port").port();
    let kafka =
        tokio::task::spawn_blocking(move || Kafka::start_own_behind(port)).await.expect("Kafka starts");
    let declaring = open(&kafka.internal_url());
    let topic = declared(&declaring, 1).await;
    let has_refused = Arc::new(AtomicBool::new(false));
    tokio::spawn(serve(proxy, kafka.port(), topic.clone(), Arc::clone(&has_refused)));

    // A request for each message.
    let broker = open(&format!("kafka://127.0.0.1:{port}?linger.ms=0&batch.num.messages=1"));
    broker.publish(mixed(&topic, 1, 0, MESSAGES)).await.expect("the broker takes them in the end");
    assert!(has_refused.load(Ordering::Relaxed), "nothing was refused: this test tests nothing");
    let mut member = join(&broker, &unique("group"), &topic).await;
    let read = read_until(member.as_mut(), |read| read.len() >= MESSAGES).await;
    assert_whole_and_in_order(&read, 1, MESSAGES);
}

/// Passes everything on, but refuses the first produce request of all.
async fn serve(proxy: TcpListener, server: u16, topic: String, has_refused: Arc<AtomicBool>) {
    while let Ok((client, _)) = proxy.accept().await {
        let server = TcpStream::connect(("127.0.0.1", server)).await.expect("Kafka listens");
        let (requests, answers) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        let answers = Arc::new(Mutex::new(answers));
        tokio::spawn(pass_requests(
            requests,
            to_server,
            Arc::clone(&answers),
            topic.clone(),
            Arc::clone(&has_refused),
        ));
        tokio::spawn(async move {
            while let Some(answer) = read_frame(&mut from_server).await {
                if answers.lock().await.write_all(&answer).await.is_err() {
                    return;
                }
            }
            let _ = answers.lock().await.shutdown().await;
        });
    }
}

async fn pass_requests(
    mut requests: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    answers: Arc<Mutex<OwnedWriteHalf>>,
    topic: String,
    has_refused: Arc<AtomicBool>,
) {
    while let Some(request) = read_frame(&mut requests).await {
        let refuses = request[4..6] == PRODUCE && !has_refused.swap(true, Ordering::Relaxed);
        if !refuses {
            if server.write_all(&request).await.is_err() {
                return;
            }
            continue;
        }
        // The refusal is on its way while the next request is, if the producer sends one.
        let next = tokio::time::timeout(SECOND_REQUEST, requests.peek(&mut [0])).await;
        drop(next);
        if answers.lock().await.write_all(&refusal(&request, &topic)).await.is_err() {
            return;
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

/// The answer to a produce request of versions 9 to 12, for partition 0 of a topic.
fn refusal(request: &[u8], topic: &str) -> Vec<u8> {
    let version = i16::from_be_bytes([request[6], request[7]]);
    assert!((9..=12).contains(&version), "the proxy does not know version {version} of a produce request");
    let mut answer = request[8..12].to_vec(); // whose answer it is
    answer.extend([0, 2, u8::try_from(topic.len() + 1).expect("a short name")]); // lists and texts tell their length + 1
    answer.extend(topic.as_bytes());
    answer.extend([2, 0, 0, 0, 0]); // partition 0
    answer.extend(NOT_LEADER.to_be_bytes());
    answer.extend([0xff; 24]); // no offset, no time, no oldest offset
    answer.extend([1, 0, 0]); // no record is at fault, no text, no tags
    answer.extend([0, 0, 0, 0, 0, 0]); // no more of the topic, no throttling, no tags
    let length = u32::try_from(answer.len()).expect("a short answer");
    [length.to_be_bytes().to_vec(), answer].concat()
}
