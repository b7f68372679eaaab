//! The Modbus link of one machine: a TCP server on a port of its own, that passes reads on to the machine's task and answers what it says.
//!
//! Invariant: an answer is made by the machine itself, for one moment; whatever else is asked for is refused with the exception that
//! Modbus has for it.

use std::{future::Future, io, net::SocketAddr, ops::Range, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};
use tokio_modbus::{
    ExceptionCode, Request, Response, SlaveRequest,
    server::{Service, tcp::Server},
};

use crate::registers::COUNT;

/// Pollers of one machine at a time.
const MAX_CONNECTIONS: usize = 16;
/// Reads that may wait for the machine's task.
const QUEUE: usize = 32;
/// Most registers in one read, by the Modbus specification.
const MAX_QUANTITY: u16 = 125;
/// How long to rest when accepting fails, as when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Someone reads the registers `range`. No answer means that the machine has said its last word.
#[derive(Debug)]
pub struct Read {
    pub range: Range<usize>,
    pub reply: oneshot::Sender<Vec<u16>>,
}

/// The server of one machine.
#[derive(Debug)]
pub struct ModbusLink {
    listener: TcpListener,
    unit_id: u8,
    reads: mpsc::Sender<Read>,
}

impl ModbusLink {
    /// Binds the port; what is read arrives at the receiver.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn bind(listen: SocketAddr, unit_id: u8) -> io::Result<(Self, mpsc::Receiver<Read>)> {
        let listener = TcpListener::bind(listen).await?;
        let (reads, receiver) = mpsc::channel(QUEUE);
        Ok((Self { listener, unit_id, reads }, receiver))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped; then all connections are closed.
    pub async fn run(self) {
        let server = Server::new(self.listener);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (unit_id, reads) = (self.unit_id, self.reads);
        let accept = |stream: TcpStream, peer: SocketAddr| {
            let place = places.clone().try_acquire_owned();
            let reads = reads.clone();
            async move {
                let Ok(place) = place else {
                    tracing::warn!(%peer, "refused: too many connections");
                    return Ok(None);
                };
                stream.set_nodelay(true)?;
                Ok(Some((Registers { unit_id, reads, _place: place }, stream)))
            }
        };
        loop {
            let result = server.serve(&accept, |error| tracing::debug!(%error, "connection ended")).await;
            if let Err(error) = result {
                tracing::warn!(%error, "cannot accept connections");
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// What one connection is served by.
struct Registers {
    unit_id: u8,
    reads: mpsc::Sender<Read>,
    _place: OwnedSemaphorePermit,
}

impl Registers {
    fn range(&self, request: &SlaveRequest<'_>) -> Result<Range<usize>, ExceptionCode> {
        if request.slave != self.unit_id {
            return Err(ExceptionCode::GatewayTargetDevice);
        }
        match request.request {
            Request::ReadInputRegisters(_, 0) => Err(ExceptionCode::IllegalDataValue),
            Request::ReadInputRegisters(_, quantity) if quantity > MAX_QUANTITY => Err(ExceptionCode::IllegalDataValue),
            Request::ReadInputRegisters(address, quantity) => {
                let range = usize::from(address)..usize::from(address) + usize::from(quantity);
                if range.end <= COUNT { Ok(range) } else { Err(ExceptionCode::IllegalDataAddress) }
            }
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

impl Service for Registers {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Exception>> + Send>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let range = self.range(&request);
        let reads = self.reads.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            if reads.send(Read { range: range?, reply }).await.is_err() {
                return Ok(None);
            }
            Ok(answer.await.ok().map(Response::ReadInputRegisters))
        })
    }
}
