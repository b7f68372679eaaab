//! A collector that keeps what it is given in memory, over real mutual TLS, and can be told to answer badly.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use protocol::{
    Ack, Batch, BatchAck, Loss, LossReason, Record, StreamId, Timestamp, WindowSummary,
    codec::{self, Limits},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// An answer out of the ordinary, used once.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16, Option<u64>),
    /// Says that it misses the entry of this number, or the batch's own first one.
    Gap(Option<u64>),
    /// Takes the batch and answers as if the connection had broken.
    TakenButLost,
    Garbage,
    /// Takes the batch and sends half of the answer.
    Half,
    /// Answers nothing for so long.
    Hang(std::time::Duration),
    /// Acknowledges another stream, or more than was sent.
    OtherStream,
    Beyond,
}

#[derive(Default)]
pub struct Taken {
    /// Highest sequence by stream.
    high: BTreeMap<StreamId, u64>,
    pub records: Vec<Record>,
    pub batches: u64,
    pub heartbeats: u64,
    /// Records that came again and were left out.
    pub repeated: u64,
    pub requests: Vec<Instant>,
    pub last_batch: Option<Batch>,
    pub hold_ms: u32,
    pub catch_up_hold_ms: u32,
    /// Ranges in order of arrival, and whether each was said to be of a backlog.
    pub ranges: Vec<(StreamId, u64, u64, bool)>,
    pub script: VecDeque<Answer>,
    /// Batches that hold a record of this machine are refused with 400.
    pub poison_machine: Option<String>,
    pub content_types: Vec<String>,
    /// What its clock showed, and when that was; without, it has no clock.
    pub clock: Option<(Timestamp, Instant)>,
    /// Every request is answered with 400.
    refuse_all: Arc<AtomicBool>,
}

impl Taken {
    fn now(&self) -> Timestamp {
        self.clock.map_or(Timestamp::from_micros(0), |(at, then)| at.plus_micros(i64::try_from(then.elapsed().as_micros()).unwrap()))
    }

    pub fn windows(&self) -> impl Iterator<Item = &WindowSummary> {
        self.records.iter().filter_map(|record| match record {
            Record::Window(window) => Some(window),
            _ => None,
        })
    }

    pub fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.records.iter().filter_map(|record| match record {
            Record::Loss(loss) => Some(loss),
            _ => None,
        })
    }

    /// Readings in summaries.
    pub fn readings(&self) -> u64 {
        self.windows().map(|window| window.count).sum()
    }

    pub fn lost(&self, reason: LossReason) -> u64 {
        self.losses().filter(|loss| loss.reason == reason).map(|loss| loss.count).sum()
    }

    pub fn lost_total(&self) -> u64 {
        self.losses().map(|loss| loss.count).sum()
    }
}

/// The certificates of a test.
pub struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// First and last day (year, month, day) of server certificates.
    validity: Option<[(i32, u8, u8); 2]>,
}

impl Pki {
    /// One whose servers' certificates are good from the first day to the last.
    pub fn with_servers_valid(from: (i32, u8, u8), to: (i32, u8, u8)) -> Self {
        Self { validity: Some([from, to]), ..Self::new() }
    }

    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Millrace test CA");
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Self { ca_pem, issuer: Issuer::new(params, key), validity: None }
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub fn ca_der(&self) -> Vec<u8> {
        rustls::pki_types::CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap().to_vec()
    }

    pub fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// PEM of a certificate for `name` on 127.0.0.1, and its key.
    pub fn leaf(&self, name: &str) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some([from, to]) = self.validity.filter(|_| name == SERVER) {
            params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        }
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key)
    }

    /// Chain and key of a server on 127.0.0.1, with the CA at its end.
    pub fn server(&self) -> (Vec<rustls::pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (pem, key) = self.leaf(SERVER);
        let chain = [pem.as_bytes(), self.ca_pem.as_bytes()].map(|pem| rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap());
        (chain.into(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// Files of an enrolled gateway.
    pub fn enroll(&self, data_dir: &Path, gateway: &str) {
        let folder = data_dir.join("pki");
        std::fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = self.leaf(gateway);
        std::fs::write(folder.join("ca.crt"), &self.ca_pem).unwrap();
        std::fs::write(folder.join("gateway.crt"), certificate).unwrap();
        std::fs::write(folder.join("gateway.key"), key.serialize_pem()).unwrap();
    }
}

const SERVER: &str = "collector";

pub struct FakeCollector {
    address: SocketAddr,
    pki: Mutex<Arc<Pki>>,
    state: Arc<Mutex<Taken>>,
    handle: Mutex<Handle<SocketAddr>>,
}

impl FakeCollector {
    /// Starts it and enrolls the gateway whose data folder is given.
    pub async fn start(data_dir: &Path) -> Self {
        Self::start_with(Pki::new(), data_dir).await
    }

    pub async fn start_with(pki: Pki, data_dir: &Path) -> Self {
        pki.enroll(data_dir, "press-gw1");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Taken::default()));
        let handle = serve(listener, &pki, Arc::clone(&state));
        Self { address, pki: Mutex::new(Arc::new(pki)), state, handle: Mutex::new(handle) }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn taken(&self) -> MutexGuard<'_, Taken> {
        self.state.lock().unwrap()
    }

    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.taken().script.extend(answers);
    }

    /// Answers every request with 400, as long as the flag is set.
    pub fn refuse_all(&self) -> Arc<AtomicBool> {
        let flag = Arc::clone(&self.taken().refuse_all);
        flag.store(true, Ordering::SeqCst);
        flag
    }

    pub fn pki(&self) -> Arc<Pki> {
        Arc::clone(&self.pki.lock().unwrap())
    }

    /// Another CA, from the next start on.
    pub fn renew_ca(&self) -> Arc<Pki> {
        let renewed = Arc::new(Pki::new());
        *self.pki.lock().unwrap() = Arc::clone(&renewed);
        renewed
    }

    /// Closes the listener and all connections.
    pub fn go_down(&self) {
        self.handle.lock().unwrap().shutdown();
    }

    /// Listens again on the same port, with what it had.
    pub async fn come_up(&self) {
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        *self.handle.lock().unwrap() = serve(listener, &self.pki(), Arc::clone(&self.state));
    }
}

fn serve(listener: TcpListener, pki: &Pki, state: Arc<Mutex<Taken>>) -> Handle<SocketAddr> {
    listener.set_nonblocking(true).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca_der().into()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let (chain, key) = pki.server();
    let mut config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let app = Router::new().route("/v1/batches", post(take)).layer(DefaultBodyLimit::max(2 << 20)).with_state(state);
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config))).unwrap().handle(handle.clone());
    tokio::spawn(server.serve(app.into_make_service()));
    handle
}

async fn take(State(state): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) -> Response {
    let hang = match state.lock().unwrap().script.front() {
        Some(Answer::Hang(time)) => *time,
        _ => std::time::Duration::ZERO,
    };
    if !hang.is_zero() {
        state.lock().unwrap().script.pop_front();
        tokio::time::sleep(hang).await;
    }
    let mut taken = state.lock().unwrap();
    taken.requests.push(Instant::now());
    taken.content_types.push(headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default());
    if taken.refuse_all.load(Ordering::SeqCst) {
        return problem(400, "unknown version");
    }
    let Ok(batch) = codec::decode_batch(&body, &Limits::default()) else { return problem(400, "not a batch") };
    let scripted = if batch.range.is_some() { taken.script.pop_front() } else { None };
    let poison = taken.poison_machine.clone();
    if poison.is_some_and(|machine| batch.records.iter().any(|stamped| machine_of(&stamped.record) == Some(machine.as_str()))) {
        return problem(400, "poison");
    }
    match scripted {
        Some(Answer::Status(status, after)) => {
            let mut response = problem(status, "as the script says");
            if let Some(after) = after {
                response.headers_mut().insert(header::RETRY_AFTER, after.to_string().parse().unwrap());
            }
            return response;
        }
        Some(Answer::Gap(expected)) => {
            let expected = expected.or(batch.range.map(|range| range.first)).unwrap_or(1);
            return answer(&taken, &batch, Ack::Gap { expected }, None);
        }
        Some(Answer::OtherStream) => {
            let other = Batch { stream: StreamId(batch.stream.0 ^ 0x100), ..batch };
            return answer(&taken, &other, Ack::Stored, other.range.map(|range| range.last));
        }
        Some(Answer::Beyond) => {
            let (ack, _) = ledger(&mut taken, batch.clone());
            return answer(&taken, &batch, ack, Some(u64::MAX));
        }
        Some(Answer::Half) => {
            let (ack, through) = ledger(&mut taken, batch.clone());
            let whole = encoded(&taken, &batch, ack, through);
            return (StatusCode::OK, whole[..whole.len() / 2].to_vec()).into_response();
        }
        Some(Answer::Hang(_)) => {}
        Some(Answer::Garbage) => return (StatusCode::OK, "<html>").into_response(),
        Some(Answer::TakenButLost) => {
            ledger(&mut taken, batch);
            return problem(500, "the answer got lost");
        }
        None => {}
    }
    let (ack, through) = ledger(&mut taken, batch.clone());
    answer(&taken, &batch, ack, through)
}

/// Exactly once: rows at or below the stream's high-water mark are not taken again.
fn ledger(taken: &mut Taken, batch: Batch) -> (Ack, Option<u64>) {
    taken.last_batch = Some(batch.clone());
    let Some(range) = batch.range else {
        taken.heartbeats += 1;
        return (Ack::Heartbeat, taken.high.get(&batch.stream).copied());
    };
    taken.ranges.push((batch.stream, range.first, range.last, batch.catch_up));
    let high = taken.high.get(&batch.stream).copied().unwrap_or(0);
    if range.last <= high {
        taken.repeated += batch.records.len() as u64;
        return (Ack::Duplicate, Some(high));
    }
    assert!(range.first <= high + 1 || batch.floor_seq >= range.first, "a hole that the gateway could fill: {range:?} after {high}");
    taken.batches += 1;
    let (again, fresh): (Vec<_>, Vec<_>) = batch.records.into_iter().partition(|stamped| stamped.seq <= high);
    taken.repeated += again.len() as u64;
    taken.records.extend(fresh.into_iter().map(|stamped| stamped.record));
    taken.high.insert(batch.stream, range.last);
    (Ack::Stored, Some(range.last))
}

fn answer(taken: &Taken, batch: &Batch, ack: Ack, acked_through: Option<u64>) -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.millrace.ack")], encoded(taken, batch, ack, acked_through)).into_response()
}

fn encoded(taken: &Taken, batch: &Batch, ack: Ack, acked_through: Option<u64>) -> Vec<u8> {
    let ack = BatchAck {
        stream: batch.stream,
        ack,
        acked_through,
        received_at: taken.now(),
        hold_ms: taken.hold_ms,
        catch_up_hold_ms: taken.catch_up_hold_ms,
        wants: Vec::new(),
    };
    codec::encode_ack(&ack).unwrap()
}

fn problem(status: u16, detail: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), serde_json::json!({ "title": "refused", "detail": detail }).to_string()).into_response()
}

fn machine_of(record: &Record) -> Option<&str> {
    match record {
        Record::Window(window) => Some(window.asset.machine()),
        _ => None,
    }
}
