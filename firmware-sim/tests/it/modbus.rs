//! What a poller gets, and what counts as read.

use std::{net::SocketAddr, time::Duration};

use firmware_sim::{app::Plant, config::PlantConfig};
use tokio_modbus::{
    ExceptionCode, Slave,
    client::{Context, Reader, tcp},
};

use crate::{until, within};

async fn plant(folder: &tempfile::TempDir) -> (Plant, SocketAddr) {
    let config = PlantConfig::parse(
        "[plant]\npace = 10.0\ndrain = \"5s\"\n[[machine]]\nasset = \"plant1/press-shop/line1/press-7\"\nlink = \"modbus\"\n\
         listen = \"127.0.0.1:0\"\nideal_cycle_time = \"100ms\"\n",
    )
    .unwrap();
    let plant = Plant::start(&config, 42, &folder.path().join("truth.jsonl")).await.unwrap();
    let address = plant.listening[0].unwrap();
    (plant, address)
}

async fn connect(address: SocketAddr) -> Context {
    tcp::connect_slave(address, Slave(1)).await.unwrap()
}

async fn read_all(client: &mut Context) -> Vec<u16> {
    within("an answer", client.read_input_registers(0, 14)).await.unwrap().unwrap()
}

fn u32_at(words: &[u16], address: usize) -> u32 {
    (u32::from(words[address]) << 16) | u32::from(words[address + 1])
}

#[tokio::test]
async fn the_first_read_is_number_one_and_starts_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, address) = plant(&folder).await;
    let mut client = connect(address).await;
    let first = read_all(&mut client).await;
    assert_eq!((u32_at(&first, 0), first[3], first[6], first[7]), (1, 4, 0, 0), "it stands, and has made nothing");
    let second = read_all(&mut client).await;
    assert_eq!((u32_at(&second, 0), second[2]), (2, first[2]));
    assert_ne!(second[3], 4, "now it works");
    let mut parts = 0;
    within("parts", async {
        while parts == 0 {
            parts = read_all(&mut client).await[6];
        }
    })
    .await;
    let power = f64::from(read_all(&mut client).await[12].cast_signed()) / 100.0;
    assert!((0.0..20.0).contains(&power), "{power} kW");
    drop(plant);
}

#[tokio::test]
async fn what_does_not_exist_is_refused_with_the_right_exception_and_is_no_read() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, address) = plant(&folder).await;
    let mut client = connect(address).await;
    assert_eq!(client.read_input_registers(14, 1).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(client.read_input_registers(10, 5).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(client.read_input_registers(u16::MAX, 2).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(client.read_holding_registers(0, 1).await.unwrap(), Err(ExceptionCode::IllegalFunction));
    assert_eq!(client.read_coils(0, 1).await.unwrap(), Err(ExceptionCode::IllegalFunction));
    let mut other = tcp::connect_slave(address, Slave(9)).await.unwrap();
    assert_eq!(other.read_input_registers(0, 14).await.unwrap(), Err(ExceptionCode::GatewayTargetDevice));
    // Reads that leave out address 0 are answered, but not numbered.
    assert_eq!(client.read_input_registers(3, 1).await.unwrap(), Ok(vec![4]));
    assert_eq!(u32_at(&read_all(&mut client).await, 0), 1);
    drop(plant);
}

#[tokio::test]
async fn what_counts_as_read_is_what_the_poller_got() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, address) = plant(&folder).await;
    let poller = tokio::spawn(async move {
        let mut client = connect(address).await;
        let mut answers = Vec::new();
        while let Ok(Ok(words)) = client.read_input_registers(0, 14).await {
            answers.push(words);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answers
    });
    until("some parts", || {
        let truth = std::fs::read_to_string(folder.path().join("truth.jsonl")).unwrap();
        truth.matches("\"part\"").count() >= 10
    })
    .await;
    let outcome = within("the end", plant.finish()).await.unwrap();
    let answers = within("the poller's end", poller).await.unwrap();
    let numbers: Vec<_> = answers.iter().map(|words| u32_at(words, 0)).collect();
    assert_eq!(numbers, (1..=answers.len() as u32).collect::<Vec<_>>());
    let summary = &outcome.machines[0];
    assert_eq!((summary.messages, summary.readings), (answers.len() as u64, 3 * answers.len() as u64));
    assert_eq!(summary.unacknowledged, 0);
    let last = answers.last().unwrap();
    assert_eq!((u64::from(last[6]), u64::from(last[7]), last[3]), (summary.balance.produced, summary.balance.rejected, 4));
}

#[tokio::test]
async fn one_answer_is_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, address) = plant(&folder).await;
    let mut client = connect(address).await;
    read_all(&mut client).await;
    let mut before = read_all(&mut client).await;
    // Over some changes of state: the time in a state begins anew exactly when the state does.
    let mut changes = 0;
    within("changes of state", async {
        while changes < 3 {
            let now = read_all(&mut client).await;
            if now[3] == before[3] {
                assert!(u32_at(&now, 4) >= u32_at(&before, 4));
            } else {
                assert!(u32_at(&now, 4) < u32_at(&before, 4));
                changes += 1;
            }
            assert!(now[6] >= before[6] && now[7] >= before[7] && now[7] <= now[6]);
            before = now;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    drop(plant);
}

#[tokio::test]
async fn too_many_pollers_are_turned_away_and_the_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, address) = plant(&folder).await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = connect(address).await;
        read_all(&mut client).await;
        clients.push(client);
    }
    let mut surplus = connect(address).await;
    assert!(within("the refusal", surplus.read_input_registers(0, 14)).await.is_err());
    drop(clients.pop());
    until("a free place", || std::net::TcpStream::connect(address).is_ok()).await;
    read_all(&mut clients[0]).await;
    drop(plant);
}

#[tokio::test]
async fn a_machine_that_nobody_polls_makes_nothing_and_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, _) = plant(&folder).await;
    let outcome = within("the end", plant.finish()).await.unwrap();
    assert_eq!((outcome.readings, outcome.parts), (0, 0));
    assert_eq!(outcome.machines[0].unacknowledged, 0);
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let text = format!("[[machine]]\nasset = \"a/b/c/d\"\nlink = \"modbus\"\nlisten = \"{address}\"\n");
    let folder = tempfile::tempdir().unwrap();
    let error = Plant::start(&PlantConfig::parse(&text).unwrap(), 1, &folder.path().join("t")).await.err().unwrap().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("a/b/c/d"), "{error}");
}
