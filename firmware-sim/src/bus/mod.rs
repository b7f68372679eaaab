//! A simulated I2C bus with register-level models of sensor chips, for driver crates that do not know that it is one.
//!
//! Stands between [`crate::model`], whose values the chips feel, and [`crate::device`], which reads them through `embedded-hal`. The bus has
//! its own time, in nanoseconds: transfers at 400 kHz take some, and [`SimDelay`] takes what it is asked for, so that conversion times and
//! sampling rates are those of the chips without anybody waiting.
//!
//! Invariant: an address that nothing answers to, or a bus that is held low, is an error to the driver, never a panic.

pub mod ads1115;
pub mod bme280;
pub mod ina219;
pub mod lis2dh12;

use std::{collections::BTreeSet, sync::Arc};

use embedded_hal::{
    delay::DelayNs,
    i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress},
};
use parking_lot::Mutex;

pub use ads1115::Ads1115Model;
pub use bme280::Bme280Model;
pub use ina219::Ina219Model;
pub use lis2dh12::Lis2dh12Model;

/// Nine clocks a byte at 400 kHz.
const BYTE_NS: u64 = 22_500;

/// A chip on the bus. `now_ns` is the bus's time.
pub trait Chip: Send {
    /// Takes what the controller wrote; `false` refuses it (no acknowledge of a data byte).
    fn write(&mut self, now_ns: u64, bytes: &[u8]) -> bool;

    /// Fills `buffer` with what the controller reads.
    fn read(&mut self, now_ns: u64, buffer: &mut [u8]);
}

/// What goes wrong on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    #[error("no device answers at address {address:#04x}")]
    NoDevice { address: u8 },
    #[error("the device at address {address:#04x} refused the data")]
    Refused { address: u8 },
    #[error("the bus is held low")]
    Stuck,
}

impl embedded_hal::i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoDevice { .. } => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::Refused { .. } => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::Stuck => ErrorKind::ArbitrationLoss,
        }
    }
}

/// A handle on the bus. Handles are clones of each other: they reach the same wires.
#[derive(Clone, Default)]
pub struct SimI2c {
    wires: Arc<Mutex<Wires>>,
}

/// A chip that is on the bus and can also be reached from outside, to set what it feels.
pub type Attached<C> = Arc<Mutex<C>>;

#[derive(Default)]
struct Wires {
    now_ns: u64,
    chips: Vec<(u8, Arc<Mutex<dyn Chip>>)>,
    silent: BTreeSet<u8>,
    stuck: bool,
}

impl SimI2c {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `chip` on the bus at `address`. The first chip at an address answers.
    pub fn attach<C: Chip + 'static>(&self, address: u8, chip: C) -> Attached<C> {
        let chip = Arc::new(Mutex::new(chip));
        self.wires.lock().chips.push((address, chip.clone()));
        chip
    }

    /// A delay that passes in the bus's time.
    #[must_use]
    pub fn delay(&self) -> SimDelay {
        SimDelay { wires: self.wires.clone() }
    }

    /// Makes the chip at `address` acknowledge nothing, or again.
    pub fn set_silent(&self, address: u8, silent: bool) {
        let mut wires = self.wires.lock();
        if silent {
            wires.silent.insert(address);
        } else {
            wires.silent.remove(&address);
        }
    }

    /// Holds the data line low, or lets it go.
    pub fn set_stuck(&self, stuck: bool) {
        self.wires.lock().stuck = stuck;
    }

    /// The bus's time.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.wires.lock().now_ns
    }
}

impl ErrorType for SimI2c {
    type Error = BusError;
}

impl I2c<SevenBitAddress> for SimI2c {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let mut wires = self.wires.lock();
        wires.now_ns += BYTE_NS;
        if wires.stuck {
            return Err(BusError::Stuck);
        }
        let chip = wires.chips.iter().find(|(at, _)| *at == address && !wires.silent.contains(at)).map(|(_, chip)| chip.clone());
        let Some(chip) = chip else { return Err(BusError::NoDevice { address }) };
        let mut chip = chip.lock();
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    wires.now_ns += BYTE_NS * bytes.len() as u64;
                    if !chip.write(wires.now_ns, bytes) {
                        return Err(BusError::Refused { address });
                    }
                }
                Operation::Read(buffer) => {
                    wires.now_ns += BYTE_NS * buffer.len() as u64;
                    chip.read(wires.now_ns, buffer);
                }
            }
        }
        Ok(())
    }
}

/// Waits in the bus's time: at once for everybody else.
#[derive(Clone)]
pub struct SimDelay {
    wires: Arc<Mutex<Wires>>,
}

impl DelayNs for SimDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.wires.lock().now_ns += u64::from(ns);
    }
}

/// Rounds and saturates to a signed 16-bit register.
fn register(value: f64) -> i16 {
    value.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests;
