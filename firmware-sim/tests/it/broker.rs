//! A broker that does to its client what the test wants: acknowledges, keeps silent, or hangs up. Just enough of MQTT 3.1.1 for a publisher.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What to do about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Acknowledge,
    KeepSilent,
    /// Closes the connection without an acknowledgement.
    HangUp,
    /// Acknowledges and closes the connection in the same breath.
    AcknowledgeAndHangUp,
}

/// What the broker has seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub connections: usize,
    /// Topic and payload of every message, repeated ones too.
    pub messages: Vec<(String, Value)>,
    /// Sequence numbers that were acknowledged, in order.
    pub acknowledged: Vec<u64>,
}

impl Seen {
    pub fn seqs(&self) -> Vec<u64> {
        self.messages.iter().map(|(_, message)| message["seq"].as_u64().expect("a sequence number")).collect()
    }
}

pub struct Broker {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Broker {
    /// `answer` is asked for every message, with the number of messages before it.
    pub async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    pub fn on(listener: TcpListener, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let answer = Arc::new(answer);
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.lock().connections += 1;
                let (seen, answer) = (shared.clone(), answer.clone());
                // Whatever breaks a connection is what a test is about.
                tokio::spawn(async move { drop(serve(stream, &seen, &*answer).await) });
            }
        });
        Self { address, seen, task }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, answer: &(dyn Fn(usize) -> Answer + Send + Sync)) -> std::io::Result<()> {
    loop {
        let head = stream.read_u8().await?;
        let body = body(&mut stream).await?;
        match head >> 4 {
            1 => stream.write_all(&[0x20, 2, 0, 0]).await?,
            3 => {
                assert_eq!(head & 0x06, 0x02, "published at QoS 1");
                let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8(body[2..topic_end].to_vec()).unwrap();
                let message: Value = serde_json::from_slice(&body[topic_end + 2..]).unwrap();
                let ack = [0x40, 2, body[topic_end], body[topic_end + 1]];
                let what = {
                    let mut seen = seen.lock();
                    let what = answer(seen.messages.len());
                    if matches!(what, Answer::Acknowledge | Answer::AcknowledgeAndHangUp) {
                        seen.acknowledged.push(message["seq"].as_u64().unwrap());
                    }
                    seen.messages.push((topic, message));
                    what
                };
                match what {
                    Answer::Acknowledge => stream.write_all(&ack).await?,
                    Answer::KeepSilent => {}
                    Answer::HangUp => return hang_up(stream).await,
                    Answer::AcknowledgeAndHangUp => {
                        stream.write_all(&ack).await?;
                        return hang_up(stream).await;
                    }
                }
            }
            12 => stream.write_all(&[0xD0, 0]).await?,
            14 => return Ok(()),
            other => panic!("a publisher sends no packet of type {other}"),
        }
    }
}

/// Says goodbye and waits for the other side to go: closing at once would reset the connection and take acknowledgements with it that are
/// still on their way, and the test could not tell which.
async fn hang_up(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn body(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
