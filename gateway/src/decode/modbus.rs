//! Modbus registers: which requests read all points of a device, and what the words in the answers mean.
//!
//! Stands between the poller (which does the I/O of a [`ReadPlan`]) and the pipeline (which is given a [`PollResult`]). Invariant: a point is
//! never split over two requests, and a value only comes from words that were answered for exactly its addresses.

use protocol::{LossReason, MachineState};

/// Most registers that the standard lets one request read.
pub const MAX_REGISTERS: u16 = 125;
/// Most bits that one request of ours reads (the standard allows 2,000).
pub const MAX_BITS: u16 = 2_000;

/// The four tables of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Coil,
    Discrete,
    Holding,
    Input,
}

impl Table {
    pub const ALL: &'static [Self] = &[Self::Coil, Self::Discrete, Self::Holding, Self::Input];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }

    /// True if it holds bits rather than 16-bit registers.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

/// How a value lies in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Uint16,
    Int16,
    Uint32,
    Int32,
    Uint64,
    Int64,
    Float32,
    Float64,
    /// One bit of a register, or a coil or discrete input.
    Bit,
}

impl ValueType {
    pub const ALL: &'static [Self] =
        &[Self::Uint16, Self::Int16, Self::Uint32, Self::Int32, Self::Uint64, Self::Int64, Self::Float32, Self::Float64, Self::Bit];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Uint32 => "uint32",
            Self::Int32 => "int32",
            Self::Uint64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Bit => "bit",
        }
    }

    /// Registers (or bits) that it takes.
    pub const fn words(self) -> u16 {
        match self {
            Self::Uint16 | Self::Int16 | Self::Bit => 1,
            Self::Uint32 | Self::Int32 | Self::Float32 => 2,
            Self::Uint64 | Self::Int64 | Self::Float64 => 4,
        }
    }

    /// Width in bits as a counter or sequence.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bit => 1,
            other => other.words() as u32 * 16,
        }
    }

    /// True for whole numbers without a sign.
    pub const fn is_unsigned(self) -> bool {
        matches!(self, Self::Uint16 | Self::Uint32 | Self::Uint64 | Self::Bit)
    }
}

/// Order of bytes and words, named by where the most significant byte `A` stands. Longer values follow the same two rules:
/// are the words reversed, are the bytes in a word swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordOrder {
    /// Big endian throughout: what the standard means.
    #[default]
    Abcd,
    /// Little endian throughout.
    Dcba,
    /// Bytes swapped within words.
    Badc,
    /// Words reversed.
    Cdab,
}

impl WordOrder {
    pub const ALL: &'static [Self] = &[Self::Abcd, Self::Dcba, Self::Badc, Self::Cdab];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abcd => "ABCD",
            Self::Dcba => "DCBA",
            Self::Badc => "BADC",
            Self::Cdab => "CDAB",
        }
    }

    const fn words_reversed(self) -> bool {
        matches!(self, Self::Dcba | Self::Cdab)
    }

    const fn bytes_swapped(self) -> bool {
        matches!(self, Self::Dcba | Self::Badc)
    }
}

/// One value of a device and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub role: Role,
    pub table: Table,
    pub address: u16,
    pub kind: ValueType,
    pub order: WordOrder,
    /// For [`ValueType::Bit`] in a register: which, 0 is the least significant.
    pub bit: u8,
}

/// What a point is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Index into the device's signals.
    Signal(usize),
    Sequence,
    Session,
    State,
    StateElapsedMs,
    TotalCounter,
    RejectCounter,
    ReworkCounter,
}

/// A value as it came, without scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Signed(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// The value if it is whole and not negative.
    pub fn as_u64(self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Float(value) if (0.0..18_446_744_073_709_551_616.0).contains(&value) && value.fract() == 0.0 => Some(value as u64),
            Self::Float(_) => None,
        }
    }
}

/// One read request: `quantity` registers or bits from `address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    pub table: Table,
    pub address: u16,
    pub quantity: u16,
}

impl Block {
    /// First address after the block; 65536 at the end of the address space.
    pub const fn end(&self) -> u32 {
        self.address as u32 + self.quantity as u32
    }

    fn covers(&self, point: &Point) -> bool {
        self.table == point.table && self.address <= point.address && point.end() <= self.end()
    }
}

impl Point {
    const fn end(&self) -> u32 {
        self.address as u32 + self.kind.words() as u32
    }

    /// True if the point lies within the 65,536 addresses of its table.
    pub const fn fits(&self) -> bool {
        self.end() <= 65_536
    }
}

/// The requests that read all points of a device, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadPlan {
    pub blocks: Vec<Block>,
}

impl ReadPlan {
    /// Covers `points` with as few requests as `max_gap` (unused registers read to join two points) and `max_quantity` allow.
    pub fn new(points: &[Point], max_gap: u16, max_quantity: u16) -> Self {
        let mut spans: Vec<(Table, u32, u32)> =
            points.iter().filter(|p| p.fits()).map(|p| (p.table, u32::from(p.address), p.end())).collect();
        spans.sort_unstable();
        let mut blocks: Vec<(Table, u32, u32)> = Vec::new();
        for (table, from, to) in spans {
            let limit = if table.is_bits() { MAX_BITS } else { max_quantity.clamp(4, MAX_REGISTERS) };
            match blocks.last_mut() {
                Some((t, start, end)) if *t == table && from <= *end + u32::from(max_gap) && to.max(*end) - *start <= u32::from(limit) => {
                    *end = (*end).max(to);
                }
                _ => blocks.push((table, from, to)),
            }
        }
        let block = |(table, from, to): (Table, u32, u32)| Block {
            table,
            address: u16::try_from(from).unwrap_or(u16::MAX),
            quantity: u16::try_from(to - from).unwrap_or(u16::MAX),
        };
        Self { blocks: blocks.into_iter().map(block).collect() }
    }

    /// The requests that read the points of `block` one by one: for a device that answered it with "illegal address".
    pub fn split(block: &Block, points: &[Point]) -> Vec<Block> {
        let inside: Vec<Point> = points.iter().filter(|p| block.covers(p)).cloned().collect();
        let mut blocks: Vec<Block> =
            inside.iter().map(|p| Block { table: p.table, address: p.address, quantity: p.kind.words() }).collect();
        blocks.sort_unstable_by_key(|b| (b.table, b.address, b.quantity));
        blocks.dedup();
        blocks
    }
}

/// What became of the requests of one poll; requests that were not sent may be left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PollResult {
    pub reads: Vec<Read>,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub block: Block,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Answer of a register table.
    Words(Vec<u16>),
    /// Answer of a bit table.
    Bits(Vec<bool>),
    /// The device refused, with its exception code.
    Exception(u8),
    /// No answer in time.
    Timeout,
    /// No connection, or it broke; the error's text.
    Broken(String),
}

/// Why a point has no value in this poll.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    #[error("not read")]
    NotRead,
    #[error("exception {code} ({})", exception_name(*code))]
    Exception { code: u8 },
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Broken(String),
    #[error("answer holds {got} values, asked for {asked}")]
    Short { got: usize, asked: u16 },
}

impl PointError {
    /// How such a reading is booked.
    pub const fn reason(&self) -> LossReason {
        LossReason::DeviceError
    }
}

impl PollResult {
    /// The value of `point`.
    ///
    /// # Errors
    /// [`PointError`] tells what became of the request that should have read it.
    pub fn value(&self, point: &Point) -> Result<Number, PointError> {
        let mut error = PointError::NotRead;
        for read in self.reads.iter().filter(|read| read.block.covers(point)) {
            match read.value(point) {
                Ok(value) => return Ok(value),
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    /// True if no request was answered with values.
    pub fn is_silent(&self) -> bool {
        !self.reads.iter().any(|read| matches!(read.outcome, Outcome::Words(_) | Outcome::Bits(_)))
    }
}

impl Read {
    fn value(&self, point: &Point) -> Result<Number, PointError> {
        let short = |got| PointError::Short { got, asked: self.block.quantity };
        let offset = usize::from(point.address - self.block.address);
        match &self.outcome {
            Outcome::Words(words) if words.len() == usize::from(self.block.quantity) => {
                let words = words.get(offset..offset + usize::from(point.kind.words())).ok_or(short(words.len()))?;
                Ok(decode(words, point.kind, point.order, point.bit))
            }
            Outcome::Bits(bits) if bits.len() >= usize::from(self.block.quantity) => {
                bits.get(offset).map(|&bit| Number::Unsigned(u64::from(bit))).ok_or(short(bits.len()))
            }
            Outcome::Words(words) => Err(short(words.len())),
            Outcome::Bits(bits) => Err(short(bits.len())),
            Outcome::Exception(code) => Err(PointError::Exception { code: *code }),
            Outcome::Timeout => Err(PointError::Timeout),
            Outcome::Broken(text) => Err(PointError::Broken(text.clone())),
        }
    }
}

/// The number in `words`, which are as many as `kind` takes (missing ones count as 0).
pub fn decode(words: &[u16], kind: ValueType, order: WordOrder, bit: u8) -> Number {
    let count = usize::from(kind.words());
    let mut bytes = [0_u8; 8];
    for i in 0..count {
        let from = if order.words_reversed() { count - 1 - i } else { i };
        let word = words.get(from).copied().unwrap_or_default();
        let word = if order.bytes_swapped() { word.swap_bytes() } else { word };
        bytes[8 - 2 * count + 2 * i..][..2].copy_from_slice(&word.to_be_bytes());
    }
    let raw = u64::from_be_bytes(bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the value was read from just so many bytes")]
    match kind {
        ValueType::Uint16 | ValueType::Uint32 | ValueType::Uint64 => Number::Unsigned(raw),
        ValueType::Int16 => Number::Signed(i64::from(raw as u16 as i16)),
        ValueType::Int32 => Number::Signed(i64::from(raw as u32 as i32)),
        ValueType::Int64 => Number::Signed(raw as i64),
        ValueType::Float32 => Number::Float(f64::from(f32::from_bits(raw as u32))),
        ValueType::Float64 => Number::Float(f64::from_bits(raw)),
        ValueType::Bit => Number::Unsigned((raw >> bit.min(15)) & 1),
    }
}

/// The standard's name of an exception code.
pub const fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledge",
        6 => "device busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "gateway target failed to respond",
        _ => "unknown",
    }
}

/// The machine state that a device's code stands for, by the device's map.
pub fn state_of(map: &std::collections::BTreeMap<u64, MachineState>, code: Number) -> Option<MachineState> {
    code.as_u64().and_then(|code| map.get(&code).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(table: Table, address: u16, kind: ValueType) -> Point {
        Point { role: Role::Sequence, table, address, kind, order: WordOrder::Abcd, bit: 0 }
    }

    fn block(table: Table, address: u16, quantity: u16) -> Block {
        Block { table, address, quantity }
    }

    #[test]
    fn each_word_order_gives_the_same_number_from_its_own_layout() {
        let pi = std::f32::consts::PI;
        let layouts = [
            (WordOrder::Abcd, [0x4049, 0x0fdb]),
            (WordOrder::Dcba, [0xdb0f, 0x4940]),
            (WordOrder::Badc, [0x4940, 0xdb0f]),
            (WordOrder::Cdab, [0x0fdb, 0x4049]),
        ];
        for (order, words) in layouts {
            assert_eq!(decode(&words, ValueType::Float32, order, 0), Number::Float(f64::from(pi)), "{order:?}");
            assert_eq!(decode(&words, ValueType::Uint32, order, 0), Number::Unsigned(0x4049_0fdb), "{order:?}");
        }
        let wide = [0x0102, 0x0304, 0x0506, 0x0708];
        assert_eq!(decode(&wide, ValueType::Uint64, WordOrder::Abcd, 0), Number::Unsigned(0x0102_0304_0506_0708));
        assert_eq!(decode(&wide, ValueType::Uint64, WordOrder::Dcba, 0), Number::Unsigned(0x0807_0605_0403_0201));
        assert_eq!(decode(&wide, ValueType::Uint64, WordOrder::Badc, 0), Number::Unsigned(0x0201_0403_0605_0807));
        assert_eq!(decode(&wide, ValueType::Uint64, WordOrder::Cdab, 0), Number::Unsigned(0x0708_0506_0304_0102));
    }

    #[test]
    fn signs_bits_and_wide_values_come_out_whole() {
        assert_eq!(decode(&[0xffd6], ValueType::Int16, WordOrder::Abcd, 0), Number::Signed(-42));
        assert_eq!(decode(&[0xd6ff], ValueType::Int16, WordOrder::Dcba, 0), Number::Signed(-42));
        assert_eq!(decode(&[0xaabb, 0xccdd], ValueType::Int32, WordOrder::Cdab, 0), Number::Signed(-857_888_069));
        assert_eq!(decode(&[0xffff, 0xffff, 0xffff, 0xffd6], ValueType::Int64, WordOrder::Abcd, 0), Number::Signed(-42));
        let words = [0x3ff8, 0, 0, 0];
        assert_eq!(decode(&words, ValueType::Float64, WordOrder::Abcd, 0), Number::Float(1.5));
        assert_eq!(decode(&[0x180d], ValueType::Bit, WordOrder::Abcd, 3), Number::Unsigned(1));
        assert_eq!(decode(&[0x180d], ValueType::Bit, WordOrder::Abcd, 14), Number::Unsigned(0));
        assert!(matches!(decode(&[], ValueType::Uint64, WordOrder::Dcba, 99), Number::Unsigned(0)), "too few words are no panic");
    }

    #[test]
    fn points_are_joined_over_small_gaps_and_never_split() {
        use Table::{Coil, Holding, Input};
        let points = [
            point(Input, 0, ValueType::Uint32),
            point(Input, 8, ValueType::Float32),
            point(Input, 30, ValueType::Uint16),
            point(Holding, 5, ValueType::Float64),
            point(Holding, 6, ValueType::Uint16),
            point(Coil, 7, ValueType::Bit),
        ];
        let plan = ReadPlan::new(&points, 6, 125);
        assert_eq!(plan.blocks, [block(Coil, 7, 1), block(Holding, 5, 4), block(Input, 0, 10), block(Input, 30, 1)]);
        let many: Vec<Point> = (0..60).map(|i| point(Input, i * 2, ValueType::Uint32)).collect();
        let plan = ReadPlan::new(&many, 0, 41);
        assert_eq!(plan.blocks, [block(Input, 0, 40), block(Input, 40, 40), block(Input, 80, 40)]);
        let last = ReadPlan::new(&[point(Input, 65_534, ValueType::Uint32)], 8, 125);
        assert_eq!(last.blocks, [block(Input, 65_534, 2)]);
        assert_eq!(ReadPlan::split(&block(Input, 0, 10), &points), [block(Input, 0, 2), block(Input, 8, 2)]);
    }

    #[test]
    fn a_value_comes_only_from_a_whole_answer_that_covers_it() {
        let wanted = point(Table::Input, 2, ValueType::Uint32);
        let answer = |outcome| PollResult { reads: vec![Read { block: block(Table::Input, 0, 4), outcome }] };
        assert_eq!(answer(Outcome::Words(vec![0, 0, 1, 2])).value(&wanted), Ok(Number::Unsigned(0x1_0002)));
        assert_eq!(answer(Outcome::Words(vec![0, 0, 1])).value(&wanted), Err(PointError::Short { got: 3, asked: 4 }));
        assert_eq!(answer(Outcome::Exception(2)).value(&wanted), Err(PointError::Exception { code: 2 }));
        assert_eq!(answer(Outcome::Timeout).value(&wanted), Err(PointError::Timeout));
        assert_eq!(PollResult::default().value(&wanted), Err(PointError::NotRead));
        assert_eq!(answer(Outcome::Words(vec![0; 4])).value(&point(Table::Holding, 2, ValueType::Uint32)), Err(PointError::NotRead));
        assert_eq!(answer(Outcome::Words(vec![0; 4])).value(&point(Table::Input, 3, ValueType::Uint32)), Err(PointError::NotRead));
        let coil = point(Table::Coil, 9, ValueType::Bit);
        let bits = PollResult { reads: vec![Read { block: block(Table::Coil, 8, 2), outcome: Outcome::Bits(vec![false, true]) }] };
        assert_eq!(bits.value(&coil), Ok(Number::Unsigned(1)));
        assert_eq!(PointError::Exception { code: 2 }.to_string(), "exception 2 (illegal data address)");
    }
}
