//! A TCP proxy that stands in an uplink and does to its bytes what networks do: cut, delay, trickle, truncate, reset, swallow.
//!
//! One thread for each direction of a connection; how the wire is can change at any time and holds for open connections, too.
//!
//! Invariant: a byte that is passed is passed once and in order. A black hole holds bytes back and loses none, as TCP does when a network is
//! away and comes back.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};

use super::fault::Wire;

/// How long a thread waits before it looks at the wire again.
const LOOK: Duration = Duration::from_millis(20);
const PIECE: usize = 16 * 1024;
/// A connection that has carried this much from the client has its TLS handshake behind it, so that a cut hits requests and answers.
const HANDSHAKE: u64 = 2_500;
const CONNECT: Duration = Duration::from_secs(2);
/// More connections than this at a time are refused: there is one client.
const MAX_CONNECTIONS: u64 = 64;

/// A listening proxy. Ends with its value, and all connections with it.
pub struct Proxy {
    listen: SocketAddr,
    wire: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    now: Mutex<Option<Now>>,
    ended: AtomicBool,
    open: AtomicU64,
    broken: AtomicU64,
    accepted: AtomicU64,
}

/// The wire, and how often it has changed: a connection notes how far it was when it changed last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Now {
    wire: Wire,
    change: u64,
}

impl Proxy {
    /// Begins to listen on any free port of this machine.
    pub fn listen() -> Result<(TcpListener, u16)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("the proxy can't listen")?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    }

    /// Passes everything that comes to `listener` on to `target`.
    pub fn start(listener: TcpListener, target: SocketAddr) -> Result<Self> {
        let listen = listener.local_addr()?;
        let wire = Arc::new(State::default());
        wire.set(Wire::Pass);
        let state = Arc::clone(&wire);
        let accepting = std::thread::spawn(move || accept(&listener, target, &state));
        Ok(Self { listen, wire, accepting: Some(accepting) })
    }

    pub fn set(&self, wire: Wire) {
        self.wire.set(wire);
    }

    /// Connections taken, and those of them that were broken on purpose.
    pub fn counts(&self) -> (u64, u64) {
        (self.wire.accepted.load(Ordering::Relaxed), self.wire.broken.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect_timeout(&self.listen, CONNECT);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn set(&self, wire: Wire) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Some(Now { wire, change: now.map_or(0, |n| n.change + 1) });
    }

    fn now(&self) -> Now {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(Now { wire: Wire::Pass, change: 0 })
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn broke(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, state: &Arc<State>) {
    for client in listener.incoming() {
        if state.ended() {
            return;
        }
        let Ok(client) = client else { continue };
        state.accepted.fetch_add(1, Ordering::Relaxed);
        if state.now().wire == Wire::Cut || state.open.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            state.broke();
            continue;
        }
        state.open.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(state);
        std::thread::spawn(move || {
            // A server that is away looks like a connection that is closed at once.
            if let Ok(server) = TcpStream::connect_timeout(&target, CONNECT) {
                let _ = carry(client, server, &state);
            }
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Both directions of one connection.
#[derive(Default)]
struct Flow {
    /// Bytes that the client has sent.
    sent: AtomicU64,
    /// Bytes of the answer since the client sent something last.
    answered: AtomicU64,
    over: AtomicBool,
    /// To be closed without a farewell.
    reset: AtomicBool,
}

fn carry(client: TcpStream, server: TcpStream, state: &Arc<State>) -> std::io::Result<()> {
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        // A peer that takes nothing must not hold a thread for ever.
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    }
    let flow = Arc::new(Flow::default());
    let back = {
        let (from, to, flow, state) = (server.try_clone()?, client.try_clone()?, Arc::clone(&flow), Arc::clone(state));
        std::thread::spawn(move || pump(from, to, Direction::Answer, &flow, &state))
    };
    pump(client, server, Direction::Request, &flow, state);
    let _ = back.join();
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

/// What a direction of a connection is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// At most so many bytes, after a wait.
    Pass(u64, Duration),
    Hold,
    Close,
    /// As soon as there is something that could be passed.
    CloseInstead,
    /// The same, without a farewell.
    ResetInstead,
}

/// `from` is where requests begin to count in what the client sends: behind the handshake, or where the connection stood when the wire changed.
fn act(wire: Wire, direction: Direction, from: u64, sent: u64, answered: u64) -> Act {
    let all = Act::Pass(PIECE as u64, Duration::ZERO);
    match (wire, direction) {
        (Wire::Cut, _) => Act::Close,
        (Wire::BlackHole, _) => Act::Hold,
        (Wire::Slow { ms }, _) => Act::Pass(PIECE as u64, Duration::from_millis(ms)),
        (Wire::Trickle { bytes_per_s }, _) => Act::Pass((bytes_per_s * LOOK.as_millis() as u64 / 1000).max(1), LOOK),
        (Wire::Reset, Direction::Request) if sent >= from => Act::ResetInstead,
        (Wire::Reset, Direction::Request) => Act::Pass(from - sent, Duration::ZERO),
        (Wire::HalfRequest { bytes }, Direction::Request) if sent >= from + bytes => Act::Close,
        (Wire::HalfRequest { bytes }, Direction::Request) => Act::Pass(from + bytes - sent, Duration::ZERO),
        (Wire::HalfAnswer { bytes }, Direction::Answer) if sent > from && answered >= bytes => Act::CloseInstead,
        (Wire::HalfAnswer { bytes }, Direction::Answer) if sent > from => Act::Pass(bytes - answered, Duration::ZERO),
        (Wire::Pass | Wire::Reset | Wire::HalfRequest { .. } | Wire::HalfAnswer { .. }, _) => all,
    }
}

/// Passes bytes on until one side ends, or the wire breaks the connection.
fn pump(mut from: TcpStream, mut to: TcpStream, direction: Direction, flow: &Flow, state: &State) {
    let mut buffer = vec![0; PIECE];
    let mut known = state.now();
    let mut counts_from = HANDSHAKE;
    while !flow.over.load(Ordering::SeqCst) && !state.ended() {
        let now = state.now();
        if now != known {
            known = now;
            counts_from = flow.sent.load(Ordering::SeqCst);
        }
        let next = act(now.wire, direction, counts_from, flow.sent.load(Ordering::SeqCst), flow.answered.load(Ordering::SeqCst));
        let (limit, wait) = match next {
            Act::Pass(limit, wait) => (usize::try_from(limit).unwrap_or(PIECE).min(PIECE), wait),
            Act::Hold => {
                std::thread::sleep(LOOK);
                continue;
            }
            Act::Close => {
                state.broke();
                break;
            }
            Act::CloseInstead | Act::ResetInstead => {
                match from.peek(&mut buffer[..1]) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if is_nothing_yet(&error) => continue,
                    Err(_) => break,
                }
                // Closing a socket with bytes in it that nobody read makes the kernel send a reset.
                flow.reset.store(next == Act::ResetInstead, Ordering::SeqCst);
                state.broke();
                break;
            }
        };
        let count = match from.read(&mut buffer[..limit]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if is_nothing_yet(&error) => continue,
            Err(_) => break,
        };
        std::thread::sleep(wait);
        if direction == Direction::Request {
            flow.sent.fetch_add(count as u64, Ordering::SeqCst);
            flow.answered.store(0, Ordering::SeqCst);
        } else {
            flow.answered.fetch_add(count as u64, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if !flow.reset.load(Ordering::SeqCst) {
        // What was passed arrives; then both sides see the end.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
    flow.over.store(true, Ordering::SeqCst);
}

fn is_nothing_yet(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A server that answers every line with `ok` and the line, and remembers what came.
    struct Server {
        address: SocketAddr,
        came: Arc<Mutex<Vec<u8>>>,
    }

    impl Server {
        fn start() -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let (address, came) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
            let keep = Arc::clone(&came);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (mut stream, keep) = (stream.unwrap(), Arc::clone(&keep));
                    std::thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        let mut line = Vec::new();
                        while let Ok(count @ 1..) = stream.read(&mut buffer) {
                            keep.lock().unwrap().extend(&buffer[..count]);
                            line.extend(&buffer[..count]);
                            if line.ends_with(b"\n") {
                                let answer = [b"ok ".as_slice(), &line].concat();
                                line.clear();
                                if stream.write_all(&answer).is_err() {
                                    return;
                                }
                            }
                        }
                    });
                }
            });
            Self { address, came }
        }

        fn came(&self) -> String {
            String::from_utf8(self.came.lock().unwrap().clone()).unwrap()
        }
    }

    struct Bench {
        server: Server,
        proxy: Proxy,
    }

    impl Bench {
        fn start() -> Self {
            let server = Server::start();
            let (listener, _) = Proxy::listen().unwrap();
            let proxy = Proxy::start(listener, server.address).unwrap();
            Self { server, proxy }
        }

        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.proxy.listen).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream
        }
    }

    /// Sends a line and gives what comes back, up to a line's end or the connection's.
    fn ask(stream: &mut TcpStream, line: &str) -> std::io::Result<String> {
        stream.write_all(line.as_bytes())?;
        stream.write_all(b"\n")?;
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\n") && stream.read(&mut byte)? == 1 {
            answer.push(byte[0]);
        }
        Ok(String::from_utf8(answer).unwrap())
    }

    #[test]
    fn a_wire_that_passes_is_not_there() {
        let bench = Bench::start();
        let mut stream = bench.connect();
        let long = "x".repeat(100_000);
        assert_eq!(ask(&mut stream, "hello").unwrap(), "ok hello\n");
        assert_eq!(ask(&mut stream, &long).unwrap().len(), long.len() + 4);
        assert_eq!(bench.proxy.counts(), (1, 0));
    }

    #[test]
    fn a_cut_closes_what_is_open_and_refuses_what_is_new() {
        let bench = Bench::start();
        let mut stream = bench.connect();
        ask(&mut stream, "before").unwrap();
        bench.proxy.set(Wire::Cut);
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
        assert_eq!(ask(&mut bench.connect(), "during").unwrap_or_default(), "");
        assert_eq!(bench.server.came(), "before\n");
        bench.proxy.set(Wire::Pass);
        assert_eq!(ask(&mut bench.connect(), "after").unwrap(), "ok after\n");
    }

    #[test]
    fn a_reset_is_told_as_a_reset_and_the_request_does_not_arrive() {
        let bench = Bench::start();
        let mut stream = bench.connect();
        ask(&mut stream, "before").unwrap();
        bench.proxy.set(Wire::Reset);
        std::thread::sleep(3 * LOOK);
        let error = ask(&mut stream, "during").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
        assert_eq!(bench.server.came(), "before\n");
    }

    #[test]
    fn a_slow_wire_passes_everything_later() {
        let bench = Bench::start();
        bench.proxy.set(Wire::Slow { ms: 150 });
        let begun = Instant::now();
        assert_eq!(ask(&mut bench.connect(), "hello").unwrap(), "ok hello\n");
        assert!(begun.elapsed() >= Duration::from_millis(300), "both ways");
    }

    #[test]
    fn a_trickle_passes_everything_in_pieces() {
        let bench = Bench::start();
        bench.proxy.set(Wire::Trickle { bytes_per_s: 2_000 });
        let (begun, long) = (Instant::now(), "x".repeat(800));
        assert_eq!(ask(&mut bench.connect(), &long).unwrap(), format!("ok {long}\n"));
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[test]
    fn half_a_request_arrives_and_no_answer_comes_back() {
        let bench = Bench::start();
        let mut stream = bench.connect();
        ask(&mut stream, "before").unwrap();
        bench.proxy.set(Wire::HalfRequest { bytes: 4 });
        std::thread::sleep(3 * LOOK);
        assert_eq!(ask(&mut stream, "abcdefgh").unwrap_or_default(), "");
        std::thread::sleep(3 * LOOK);
        assert_eq!(bench.server.came(), "before\nabcd");
    }

    #[test]
    fn half_an_answer_comes_back_although_the_request_arrived() {
        for (bytes, answer) in [(0, ""), (5, "ok ab")] {
            let bench = Bench::start();
            let mut stream = bench.connect();
            ask(&mut stream, "before").unwrap();
            bench.proxy.set(Wire::HalfAnswer { bytes });
            std::thread::sleep(3 * LOOK);
            assert_eq!(ask(&mut stream, "abcdefgh").unwrap_or_default(), answer);
            assert_eq!(bench.server.came(), "before\nabcdefgh\n");
            assert_eq!(bench.proxy.counts(), (1, 1));
        }
    }

    #[test]
    fn a_new_connection_gets_through_its_handshake_before_it_is_broken() {
        for wire in [Wire::Reset, Wire::HalfRequest { bytes: 100 }, Wire::HalfAnswer { bytes: 3 }] {
            let bench = Bench::start();
            bench.proxy.set(wire);
            let mut stream = bench.connect();
            assert_eq!(ask(&mut stream, "hello").unwrap(), "ok hello\n", "{wire:?}");
            let long = "x".repeat(2 * HANDSHAKE as usize);
            assert!(ask(&mut stream, &long).unwrap_or_default().len() < long.len(), "{wire:?}");
        }
    }

    #[test]
    fn a_black_hole_keeps_what_it_took_for_when_it_ends() {
        let bench = Bench::start();
        let mut stream = bench.connect();
        ask(&mut stream, "before").unwrap();
        bench.proxy.set(Wire::BlackHole);
        std::thread::sleep(3 * LOOK);
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(is_nothing_yet(&ask(&mut stream, "during").unwrap_err()));
        assert_eq!(bench.server.came(), "before\n");
        bench.proxy.set(Wire::Pass);
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ok during\n");
    }

    #[test]
    fn a_server_that_is_away_closes_the_connection_and_the_proxy_goes_on() {
        let (listener, _) = Proxy::listen().unwrap();
        let away = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let proxy = Proxy::start(listener, away).unwrap();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(proxy.listen).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            assert_eq!(ask(&mut stream, "hello").unwrap_or_default(), "");
        }
    }
}
