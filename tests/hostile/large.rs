//! Bodies, headers and addresses without end, and JSON nested without end: answered shortly or hung up on, with bounded
//! memory, while others are served.

use factstream_tests::client::Client;
use factstream_tests::pair::{Pair, Place};
use factstream_tests::{eventually, ledger};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const MEGABYTE: usize = 1_000_000;
/// What is sent of one thing.
const ENDLESS: usize = 100 * MEGABYTE;
/// What the server may need at any time.
const MEMORY_MEGABYTES_MAX: u64 = 150;
/// The most of a problem document.
const PROBLEM_BYTES_MAX: usize = 4_000;
/// Clients that send at the same time.
const AT_ONCE: usize = 8;
const PATHS: [&str; 4] = ["/orders", "/inventory", "/orders/o-1/ship", "/nothing"];

/// What is sent: a beginning, then a filling again and again up to so many bytes, then an end.
#[derive(Clone)]
struct Sent {
    what: String,
    begin: String,
    filling: &'static str,
    bytes: usize,
    end: &'static str,
    is_chunked: bool,
}

impl Sent {
    fn request(what: &str, begin: String, filling: &'static str, bytes: usize, end: &'static str) -> Self {
        Self { what: what.to_owned(), begin, filling, bytes, end, is_chunked: false }
    }

    /// A body with its length said before, or in chunks.
    fn body(
        path: &str,
        parts: (&'static str, &'static str, &'static str),
        bytes: usize,
        is_chunked: bool,
    ) -> Self {
        let (begin, filling, end) = parts;
        let times = bytes / filling.len();
        let length = begin.len() + times * filling.len() + end.len();
        let size = if is_chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {length}")
        };
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{size}\r\n\r\n");
        let begin = if is_chunked { head + &chunk(begin) } else { head + begin };
        let what = format!("{bytes} bytes of {filling:?} to {path}, chunked: {is_chunked}");
        Self { what, begin, filling, bytes, end, is_chunked }
    }

    /// Sends it as far as it is taken; what is answered.
    fn send(&self, address: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let piece = self.filling.repeat((64 * 1024 / self.filling.len()).max(1));
        let times = self.bytes / self.filling.len();
        let in_piece = piece.len() / self.filling.len();
        let written = |stream: &mut TcpStream| -> std::io::Result<()> {
            stream.write_all(self.begin.as_bytes())?;
            let mut left = times;
            while left > 0 {
                let now = left.min(in_piece);
                let piece = &piece[..now * self.filling.len()];
                match self.is_chunked {
                    true => stream.write_all(chunk(piece).as_bytes())?,
                    false => stream.write_all(piece.as_bytes())?,
                }
                left -= now;
            }
            match self.is_chunked {
                true => stream.write_all(format!("{}0\r\n\r\n", chunk(self.end)).as_bytes()),
                false => stream.write_all(self.end.as_bytes()),
            }
        };
        let _ = written(&mut stream); // it may be hung up on
        let mut answer = Vec::new();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.take(MEGABYTE as u64).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn chunk(text: &str) -> String {
    match text.len() {
        0 => String::new(), // one of no bytes would be the end
        bytes => format!("{bytes:x}\r\n{text}\r\n"),
    }
}

/// Bodies of each kind to each path.
fn bodies() -> Vec<Sent> {
    let fillings = [
        ("{\"customer_id\":\"", "ä", "\",\"items\":[]}"),
        ("", "[", ""),
        ("{", "\"k\":1,", "\"k\":1}"),
        ("{\"sku\":\"SKU-1\",\"quantity\":", "9", "}"),
        ("{\"tracking_number\":\"", "\\u0041", "\"}"),
    ];
    let mut all = Vec::new();
    for (at, path) in PATHS.into_iter().enumerate() {
        for (n, filling) in fillings.into_iter().enumerate() {
            // All as large as fits, too: that is read and parsed.
            for is_chunked in [true, false] {
                all.push(Sent::body(path, filling, MEGABYTE, is_chunked));
            }
            if n % PATHS.len() == at || n == 0 {
                all.push(Sent::body(path, filling, ENDLESS, true));
                all.push(Sent::body(path, filling, ENDLESS, false));
            }
        }
    }
    all
}

/// Everything that stands before a body.
fn heads() -> Vec<Sent> {
    let end = "\r\n\r\n";
    let with = |begin: &str| begin.to_owned();
    let mut all = Vec::new();
    for bytes in [60_000, MEGABYTE, ENDLESS] {
        all.extend([
            Sent::request("a path", with("GET /orders/"), "x", bytes, " HTTP/1.1\r\nhost: a\r\n\r\n"),
            Sent::request("many parts of a path", with("GET "), "/x", bytes, " HTTP/1.1\r\nhost: a\r\n\r\n"),
            Sent::request("a query", with("GET /orders?cursor="), "x", bytes, " HTTP/1.1\r\nhost: a\r\n\r\n"),
            Sent::request(
                "parts of a query",
                with("GET /orders?a=1"),
                "&a=1",
                bytes,
                " HTTP/1.1\r\nhost: a\r\n\r\n",
            ),
            Sent::request("a method", String::new(), "X", bytes, " /orders HTTP/1.1\r\nhost: a\r\n\r\n"),
            Sent::request(
                "a header",
                with("GET /none HTTP/1.1\r\nhost: a\r\nidempotency-key: "),
                "x",
                bytes,
                end,
            ),
            Sent::request("headers", with("GET /none HTTP/1.1\r\nhost: a\r\n"), "a: b\r\n", bytes, "\r\n"),
            Sent::request(
                "a header's name",
                with("GET /none HTTP/1.1\r\nhost: a\r\n"),
                "x",
                bytes,
                ": 1\r\n\r\n",
            ),
        ]);
    }
    let chunked = "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    all.push(Sent::request("an extension of a chunk", format!("{chunked}1;"), "x", ENDLESS, "\r\n"));
    all.push(Sent::request("a chunk's length", with(chunked), "0", ENDLESS, "\r\n"));
    all.push(Sent::request("trailers", format!("{chunked}1\r\n{{\r\n0\r\n"), "a: b\r\n", ENDLESS, "\r\n"));
    all
}

/// Refused in few words, or hung up on.
fn is_refused(sent: &Sent, answer: &str) {
    let what = &sent.what;
    assert!(answer.len() < PROBLEM_BYTES_MAX, "{what}: {} bytes: {:.300}", answer.len(), answer);
    let status = answer.split_whitespace().nth(1);
    assert!(status.is_none_or(|status| status.starts_with('4')), "{what}: {answer}");
}

#[test]
fn what_has_no_end_is_refused_in_few_words_while_others_are_served() {
    let place = Place::new(Pair::SqliteEmbedded);
    let server = place.serve(&[]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 1_000_000);
    let address = server.url.trim_start_matches("http://");
    let all = [bodies(), heads()].concat();
    let (next, is_over, placed) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(0));
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                *placed.lock().unwrap() += client.place("SKU-1", 1).len();
            }
        });
        let senders = [(); AT_ONCE].map(|()| {
            scope.spawn(|| {
                while let Some(sent) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    is_refused(sent, &sent.send(address));
                }
            })
        });
        let ended = senders.map(thread::ScopedJoinHandle::join);
        is_over.store(true, Ordering::Relaxed);
        served.join().unwrap();
        assert!(ended.iter().all(Result::is_ok), "one was not refused");
    });
    let placed = *placed.lock().unwrap();
    assert!(placed >= 10, "only {placed} orders got through");
    is_bounded(server.pid(), "VmHWM");
    eventually("it settles", || client.is_settled());
    assert!(server.stop().success());
    ledger::check(&place.store);
    let created = ledger::of_type(&ledger::events(&place.store), "OrderCreated").len();
    assert_eq!(created, placed, "what was stored is what the others ordered");
}

/// Many that begin and do not end: each within its limits, all together more than there may be.
fn many_that_never_end(begin: &str, bytes: usize, clients: usize) {
    let place = Place::new(Pair::SqliteEmbedded);
    let server = place.serve(&[]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 1_000_000);
    let address = server.url.trim_start_matches("http://");
    let filling = "x".repeat(bytes);
    let held: Vec<TcpStream> = (0..clients)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            let _ = stream.write_all(begin.as_bytes()).and_then(|()| stream.write_all(filling.as_bytes()));
            stream
        })
        .collect();
    client.place("SKU-1", 20);
    is_bounded(server.pid(), "VmHWM");
    drop(held);
    eventually("it settles", || client.is_settled());
    assert!(server.stop().success());
    ledger::check(&place.store);
    assert_eq!(ledger::of_type(&ledger::events(&place.store), "OrderCreated").len(), 20);
}

#[test]
fn many_bodies_that_never_end_need_little_memory_and_others_are_served() {
    let begin = "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
    many_that_never_end(begin, MEGABYTE - 10, 900);
}

#[test]
fn many_headers_that_never_end_need_little_memory_and_others_are_served() {
    let begin = "GET /orders HTTP/1.1\r\nhost: a\r\nidempotency-key: ";
    many_that_never_end(begin, 390_000, 800);
    many_that_never_end(begin, 15_000, 1_000);
}

/// `VmRSS` is what it needs, `VmHWM` the most that it ever did.
fn is_bounded(pid: u32, which: &str) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes <= MEMORY_MEGABYTES_MAX * 1_000, "the server needs too much memory: {line}");
}
