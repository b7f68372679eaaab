//! `modbus scan | read`: finds out what a device answers before it is configured.

use std::{process::ExitCode, time::Duration};

use clap::{Subcommand, ValueEnum};
use gateway::{
    decode::modbus::{Block, Outcome, Table, ValueType, WordOrder, decode, exception_name},
    source::modbus,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask every unit id for one register and list those that answer.
    #[command(after_help = "Example:\n  millrace-gateway modbus scan --address 192.168.0.17:502 --last 10")]
    Scan {
        /// `host:port`.
        #[arg(long)]
        address: String,
        #[arg(long, default_value_t = 1)]
        first: u8,
        #[arg(long, default_value_t = 247)]
        last: u8,
        /// For each unit id, in milliseconds.
        #[arg(long, default_value_t = 500)]
        timeout_ms: u64,
    },
    /// Read registers and show each as every type and word order that it could be.
    #[command(after_help = "Example:\n  millrace-gateway modbus read --address 192.168.0.17:502 --table input --from 0 --count 13")]
    Read {
        /// `host:port`.
        #[arg(long)]
        address: String,
        #[arg(long, default_value_t = 1)]
        unit_id: u8,
        #[arg(long, value_enum, default_value = "holding")]
        table: TableName,
        /// First address, from 0 (documents often count from 1, 30001 or 40001).
        #[arg(long, default_value_t = 0)]
        from: u16,
        #[arg(long, default_value_t = 10)]
        count: u16,
        #[arg(long, default_value_t = 2000)]
        timeout_ms: u64,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TableName {
    Coil,
    Discrete,
    Holding,
    Input,
}

impl From<TableName> for Table {
    fn from(name: TableName) -> Self {
        match name {
            TableName::Coil => Self::Coil,
            TableName::Discrete => Self::Discrete,
            TableName::Holding => Self::Holding,
            TableName::Input => Self::Input,
        }
    }
}

pub(super) async fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Scan { address, first, last, timeout_ms } => scan(address, *first..=*last, Duration::from_millis(*timeout_ms)).await,
        Command::Read { address, unit_id, table, from, count, timeout_ms } => {
            let block = Block { table: (*table).into(), address: *from, quantity: (*count).clamp(1, 125) };
            read(address, *unit_id, block, Duration::from_millis(*timeout_ms)).await
        }
    }
}

async fn scan(address: &str, units: std::ops::RangeInclusive<u8>, patience: Duration) -> anyhow::Result<ExitCode> {
    let mut found = 0_u32;
    let block = Block { table: Table::Holding, address: 0, quantity: 1 };
    for unit in units {
        // A connection each: a late answer of one unit must not be taken for the next one's.
        let mut connection = modbus::connect(address, unit, patience).await?;
        match modbus::read(&mut connection, block, patience).await {
            Outcome::Words(_) | Outcome::Bits(_) => println!("unit {unit:>3}: answers"),
            Outcome::Exception(10 | 11) => continue,
            Outcome::Exception(code) => println!("unit {unit:>3}: answers with exception {code} ({})", exception_name(code)),
            Outcome::Timeout | Outcome::Broken(_) => continue,
        }
        found += 1;
    }
    println!("{found} units answer on {address}");
    Ok(if found > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn read(address: &str, unit_id: u8, block: Block, patience: Duration) -> anyhow::Result<ExitCode> {
    let mut connection = modbus::connect(address, unit_id, patience).await?;
    match modbus::read(&mut connection, block, patience).await {
        Outcome::Words(words) => {
            println!("address     hex   uint16    int16   from here on, as float32 / int32 in the orders ABCD CDAB BADC DCBA");
            for (i, word) in words.iter().enumerate() {
                println!(
                    "{:>7}  0x{word:04x}  {word:>7}  {:>7}   {}",
                    usize::from(block.address) + i,
                    word.cast_signed(),
                    pairs(&words[i..])
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Bits(bits) => {
            bits.iter().enumerate().for_each(|(i, bit)| println!("{:>7}  {}", usize::from(block.address) + i, u8::from(*bit)));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Exception(code) => anyhow::bail!("the device answers with exception {code} ({})", exception_name(code)),
        Outcome::Timeout => anyhow::bail!("no answer within {patience:?}"),
        Outcome::Broken(error) => anyhow::bail!("{error}"),
    }
}

/// The value of two registers in each order; which of them is plausible is for a person to see.
fn pairs(words: &[u16]) -> String {
    let Some(pair) = words.get(..2) else { return String::new() };
    let orders = [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba];
    let show = |order| {
        let float = decode(pair, ValueType::Float32, order, 0).as_f64();
        let int = decode(pair, ValueType::Int32, order, 0).as_f64();
        if float == 0.0 || (1e-6..1e9).contains(&float.abs()) { format!("{float:.6} / {int:.0}") } else { format!("- / {int:.0}") }
    };
    orders.map(show).join("  |  ")
}
