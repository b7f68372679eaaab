//! Modbus TCP devices that answer, refuse, hang or are not there: each is booked, and none disturbs another.

use std::{
    future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use protocol::LossReason;
use tokio::net::TcpListener;
use tokio_modbus::{
    ExceptionCode, Request, Response,
    server::{
        Service,
        tcp::{Server, accept_tcp_connection},
    },
};

use crate::fixture::{Fixture, QUICK, drained, eventually, source};

/// Serves registers 0..16 (value = address * 10, register 0 counts reads); anything beyond is refused as illegal.
#[derive(Clone)]
struct Device {
    reads: Arc<AtomicU32>,
    last: u16,
}

impl Service for Device {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        future::ready(match request {
            Request::ReadInputRegisters(address, count) if address + count <= self.last => {
                self.reads.fetch_add(1, Ordering::SeqCst);
                Ok(Response::ReadInputRegisters((address..address + count).map(|a| a * 10).collect()))
            }
            Request::ReadInputRegisters(..) => Err(ExceptionCode::IllegalDataAddress),
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

async fn serve(last: u16) -> (SocketAddr, Device) {
    let device = Device { reads: Arc::default(), last };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = device.clone();
    tokio::spawn(async move {
        let on_connected = |stream, peer| {
            let service = service.clone();
            async move { accept_tcp_connection(stream, peer, move |_| Ok(Some(service.clone()))) }
        };
        Server::new(listener).serve(&on_connected, |error| eprintln!("modbus server: {error}")).await
    });
    (address, device)
}

fn device(name: &str, address: SocketAddr, registers: &[(&str, u16)]) -> String {
    let mut text = format!(
        "[[modbus]]\nname = \"{name}\"\naddress = \"{address}\"\nunit_id = 1\nasset = \"plant1/press-shop/line2/{name}\"\n\
         interval = \"100ms\"\ntimeout = \"300ms\"\ntable = \"input\"\n"
    );
    for (signal, register) in registers {
        text.push_str(&format!("[[modbus.register]]\nsignal = \"{signal}\"\naddress = {register}\ntype = \"uint16\"\nunit = \"kW\"\n"));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn registers_become_readings_with_their_values() {
    let fixture = Fixture::with_collector().await;
    let (address, served) = serve(16).await;
    let app = fixture.start(&format!("{}{QUICK}", device("press-7", address, &[("power", 3), ("speed", 5)]))).await;
    eventually("ten polls", || served.reads.load(Ordering::SeqCst) >= 10).await;
    let collector = fixture.collector();
    eventually("summaries of both signals", || collector.taken().windows().any(|w| w.signal.as_str() == "speed")).await;
    {
        let taken = collector.taken();
        let means = |signal: &str| taken.windows().filter(|w| w.signal.as_str() == signal).map(|w| w.mean).collect::<Vec<_>>();
        assert!(means("power").iter().all(|mean| *mean == 30.0) && means("speed").iter().all(|mean| *mean == 50.0));
        assert_eq!(taken.losses().count(), 0, "{:?}", taken.losses().collect::<Vec<_>>());
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_illegal_address_costs_only_its_own_signal() {
    let fixture = Fixture::with_collector().await;
    let (address, _served) = serve(6).await;
    let app = fixture.start(&format!("{}{QUICK}", device("press-7", address, &[("power", 3), ("speed", 5), ("ghost", 7)]))).await;
    let collector = fixture.collector();
    eventually("the good signals are stored, the bad one is booked", || {
        let taken = collector.taken();
        let has = |signal: &str| taken.windows().any(|w| w.signal.as_str() == signal);
        has("power") && has("speed") && taken.lost(LossReason::DeviceError) > 0
    })
    .await;
    {
        let taken = collector.taken();
        assert!(!taken.windows().any(|w| w.signal.as_str() == "ghost"));
        let only_ghost = taken.losses().all(|loss| loss.signal.as_ref().is_some_and(|signal| signal.as_str() == "ghost"));
        assert!(only_ghost, "{:?}", taken.losses().collect::<Vec<_>>());
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_and_a_silent_device_are_seen_and_the_others_keep_their_cadence() {
    let fixture = Fixture::with_collector().await;
    let (good, served) = serve(16).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let holder = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let dead: SocketAddr = ([127, 0, 0, 1], crate::fixture::free_port()).into();
    let config = format!(
        "{}{}{}{QUICK}",
        device("good", good, &[("power", 3)]),
        device("silent", silent_address, &[("power", 3)]),
        device("dead", dead, &[("power", 3)])
    );
    let app = fixture.start(&config).await;
    let before = served.reads.load(Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    eventually("thirty polls of the good device", || served.reads.load(Ordering::SeqCst) >= before + 30).await;
    let board = app.board.clone();
    eventually("both bad ones are shown with their error", || {
        let view = board.view();
        ["silent", "dead"].iter().all(|name| !source(&view, name).connected && !source(&view, name).error.is_empty())
    })
    .await;
    // Not a timed promise of ours: 30 polls of 100 ms that waited for the silent one (300 ms each) would take at least 9 s more.
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(source(&board.view(), "good").connected);
    app.stop().await.unwrap();
    holder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_back_is_read_again() {
    let fixture = Fixture::with_collector().await;
    let address: SocketAddr = ([127, 0, 0, 1], crate::fixture::free_port()).into();
    let app = fixture.start(&format!("{}{QUICK}", device("press-7", address, &[("power", 3)]))).await;
    let board = app.board.clone();
    eventually("it is shown as not connected", || !source(&board.view(), "press-7").error.is_empty()).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let service = Device { reads: Arc::default(), last: 16 };
    let served = service.clone();
    tokio::spawn(async move {
        let on_connected = |stream, peer| {
            let service = service.clone();
            async move { accept_tcp_connection(stream, peer, move |_| Ok(Some(service.clone()))) }
        };
        Server::new(listener).serve(&on_connected, |_| {}).await
    });
    eventually("it is polled", || served.reads.load(Ordering::SeqCst) >= 3).await;
    eventually("it is shown as connected", || source(&board.view(), "press-7").connected).await;
    eventually("its readings arrive", || fixture.collector().taken().readings() > 0).await;
    app.stop().await.unwrap();
    let _ = drained;
}
