//! The tables of anomalies, state changes, part counts and losses: plain columns, in the order of their fields. Asset, signal and texts are
//! indices into the dictionaries (0 for none and then index + 1 where they are optional), times are microseconds, enums their position.

use crate::{
    Anomaly, AnomalyKind, Loss, LossReason, MachineState, PartCount, Severity, StateChange, TimeQuality, Timestamp,
    codec::{
        DecodeError, EncodeError,
        columns::{Column, Shape, put_floats, put_ints, read_floats, read_ints},
        limits::{Exceeded, Tally},
        records::{Names, NamesBuilder, advance, at},
        wire::Cursor,
    },
};

type Ints = Column<i64>;
type Floats = Column<f64>;

fn column<R>(out: &mut Vec<u8>, rows: &[R], value: impl FnMut(&R) -> i64) -> Result<(), EncodeError> {
    put_ints(out, &rows.iter().map(value).collect::<Vec<_>>(), Shape::Steady)
}

fn float_column<R>(out: &mut Vec<u8>, rows: &[R], value: impl FnMut(&R) -> f64) -> Result<(), EncodeError> {
    put_floats(out, &rows.iter().map(value).collect::<Vec<_>>())
}

fn charge_texts<'a>(tally: &mut Tally, mut texts: impl Iterator<Item = &'a String>) -> Result<(), Exceeded> {
    texts.try_for_each(|text| tally.charge_text(text.len()))
}

pub(crate) fn write_anomalies<'a>(
    out: &mut Vec<u8>,
    rows: &[&'a Anomaly],
    names: &mut NamesBuilder<'a>,
    tally: &mut Tally,
) -> Result<(), EncodeError> {
    charge_texts(tally, rows.iter().flat_map(|r| [&r.detector, &r.message]))?;
    column(out, rows, |r| names.asset(&r.asset))?;
    column(out, rows, |r| names.signal(&r.signal))?;
    column(out, rows, |r| r.event_time.as_micros())?;
    column(out, rows, |r| r.kind as i64)?;
    column(out, rows, |r| r.severity as i64)?;
    float_column(out, rows, |r| r.value)?;
    float_column(out, rows, |r| r.threshold)?;
    float_column(out, rows, |r| r.score)?;
    column(out, rows, |r| names.text(&r.detector))?;
    column(out, rows, |r| names.text(&r.message))
}

#[derive(Debug)]
pub(crate) struct Anomalies {
    next: usize,
    asset: Ints,
    signal: Ints,
    event_time: Ints,
    kind: Ints,
    severity: Ints,
    value: Floats,
    threshold: Floats,
    score: Floats,
    detector: Ints,
    message: Ints,
}

impl Anomalies {
    pub(crate) fn read(cursor: &mut Cursor<'_>, rows: usize) -> Result<Self, DecodeError> {
        Ok(Self {
            next: 0,
            asset: read_ints(cursor, rows, "anomaly asset")?,
            signal: read_ints(cursor, rows, "anomaly signal")?,
            event_time: read_ints(cursor, rows, "anomaly time")?,
            kind: read_ints(cursor, rows, "anomaly kind")?,
            severity: read_ints(cursor, rows, "anomaly severity")?,
            value: read_floats(cursor, rows, "anomaly value")?,
            threshold: read_floats(cursor, rows, "anomaly threshold")?,
            score: read_floats(cursor, rows, "anomaly score")?,
            detector: read_ints(cursor, rows, "anomaly detector")?,
            message: read_ints(cursor, rows, "anomaly message")?,
        })
    }

    pub(crate) fn next(&mut self, names: &Names, tally: &mut Tally) -> Result<Anomaly, DecodeError> {
        let row = advance(&mut self.next);
        Ok(Anomaly {
            asset: names.asset(self.asset.at(row))?,
            signal: names.signal(self.signal.at(row))?,
            event_time: Timestamp::from_micros(self.event_time.at(row)),
            kind: *at(AnomalyKind::ALL, self.kind.at(row), "anomaly kind")?,
            severity: *at(Severity::ALL, self.severity.at(row), "anomaly severity")?,
            value: self.value.at(row),
            threshold: self.threshold.at(row),
            score: self.score.at(row),
            detector: names.text(self.detector.at(row), tally)?,
            message: names.text(self.message.at(row), tally)?,
        })
    }
}

pub(crate) fn write_states<'a>(
    out: &mut Vec<u8>,
    rows: &[&'a StateChange],
    names: &mut NamesBuilder<'a>,
    tally: &mut Tally,
) -> Result<(), EncodeError> {
    charge_texts(tally, rows.iter().map(|r| &r.reason))?;
    column(out, rows, |r| names.asset(&r.asset))?;
    column(out, rows, |r| r.event_time.as_micros())?;
    column(out, rows, |r| r.state as i64)?;
    column(out, rows, |r| names.text(&r.reason))?;
    column(out, rows, |r| r.time_quality as i64)
}

#[derive(Debug)]
pub(crate) struct States {
    next: usize,
    asset: Ints,
    event_time: Ints,
    state: Ints,
    reason: Ints,
    time_quality: Ints,
}

impl States {
    pub(crate) fn read(cursor: &mut Cursor<'_>, rows: usize) -> Result<Self, DecodeError> {
        Ok(Self {
            next: 0,
            asset: read_ints(cursor, rows, "state asset")?,
            event_time: read_ints(cursor, rows, "state time")?,
            state: read_ints(cursor, rows, "state")?,
            reason: read_ints(cursor, rows, "state reason")?,
            time_quality: read_ints(cursor, rows, "state time quality")?,
        })
    }

    pub(crate) fn next(&mut self, names: &Names, tally: &mut Tally) -> Result<StateChange, DecodeError> {
        let row = advance(&mut self.next);
        Ok(StateChange {
            asset: names.asset(self.asset.at(row))?,
            event_time: Timestamp::from_micros(self.event_time.at(row)),
            state: *at(MachineState::ALL, self.state.at(row), "state")?,
            reason: names.text(self.reason.at(row), tally)?,
            time_quality: *at(TimeQuality::ALL, self.time_quality.at(row), "state time quality")?,
        })
    }
}

pub(crate) fn write_parts<'a>(out: &mut Vec<u8>, rows: &[&'a PartCount], names: &mut NamesBuilder<'a>) -> Result<(), EncodeError> {
    column(out, rows, |r| names.asset(&r.asset))?;
    column(out, rows, |r| r.from.as_micros())?;
    column(out, rows, |r| r.to.as_micros().wrapping_sub(r.from.as_micros()))?;
    column(out, rows, |r| r.produced as i64)?;
    column(out, rows, |r| r.rejected as i64)?;
    column(out, rows, |r| r.reworked as i64)?;
    column(out, rows, |r| r.time_quality as i64)
}

#[derive(Debug)]
pub(crate) struct Parts {
    next: usize,
    asset: Ints,
    from: Ints,
    length: Ints,
    produced: Ints,
    rejected: Ints,
    reworked: Ints,
    time_quality: Ints,
}

impl Parts {
    pub(crate) fn read(cursor: &mut Cursor<'_>, rows: usize) -> Result<Self, DecodeError> {
        Ok(Self {
            next: 0,
            asset: read_ints(cursor, rows, "parts asset")?,
            from: read_ints(cursor, rows, "parts from")?,
            length: read_ints(cursor, rows, "parts length")?,
            produced: read_ints(cursor, rows, "parts produced")?,
            rejected: read_ints(cursor, rows, "parts rejected")?,
            reworked: read_ints(cursor, rows, "parts reworked")?,
            time_quality: read_ints(cursor, rows, "parts time quality")?,
        })
    }

    pub(crate) fn next(&mut self, names: &Names) -> Result<PartCount, DecodeError> {
        let row = advance(&mut self.next);
        let from = self.from.at(row);
        Ok(PartCount {
            asset: names.asset(self.asset.at(row))?,
            from: Timestamp::from_micros(from),
            to: Timestamp::from_micros(from.wrapping_add(self.length.at(row))),
            produced: self.produced.at(row) as u64,
            rejected: self.rejected.at(row) as u64,
            reworked: self.reworked.at(row) as u64,
            time_quality: *at(TimeQuality::ALL, self.time_quality.at(row), "parts time quality")?,
        })
    }
}

pub(crate) fn write_losses<'a>(
    out: &mut Vec<u8>,
    rows: &[&'a Loss],
    names: &mut NamesBuilder<'a>,
    tally: &mut Tally,
) -> Result<(), EncodeError> {
    charge_texts(tally, rows.iter().map(|r| &r.detail))?;
    column(out, rows, |r| r.asset.as_ref().map_or(0, |asset| names.asset(asset) + 1))?;
    column(out, rows, |r| r.signal.as_ref().map_or(0, |signal| names.signal(signal) + 1))?;
    column(out, rows, |r| r.reason as i64)?;
    column(out, rows, |r| r.count as i64)?;
    column(out, rows, |r| r.from.as_micros())?;
    column(out, rows, |r| r.to.as_micros().wrapping_sub(r.from.as_micros()))?;
    column(out, rows, |r| names.text(&r.detail))
}

#[derive(Debug)]
pub(crate) struct Losses {
    next: usize,
    asset: Ints,
    signal: Ints,
    reason: Ints,
    count: Ints,
    from: Ints,
    length: Ints,
    detail: Ints,
}

impl Losses {
    pub(crate) fn read(cursor: &mut Cursor<'_>, rows: usize) -> Result<Self, DecodeError> {
        Ok(Self {
            next: 0,
            asset: read_ints(cursor, rows, "loss asset")?,
            signal: read_ints(cursor, rows, "loss signal")?,
            reason: read_ints(cursor, rows, "loss reason")?,
            count: read_ints(cursor, rows, "loss count")?,
            from: read_ints(cursor, rows, "loss from")?,
            length: read_ints(cursor, rows, "loss length")?,
            detail: read_ints(cursor, rows, "loss detail")?,
        })
    }

    pub(crate) fn next(&mut self, names: &Names, tally: &mut Tally) -> Result<Loss, DecodeError> {
        let row = advance(&mut self.next);
        let from = self.from.at(row);
        Ok(Loss {
            asset: optional(self.asset.at(row)).map(|i| names.asset(i)).transpose()?,
            signal: optional(self.signal.at(row)).map(|i| names.signal(i)).transpose()?,
            reason: *at(LossReason::ALL, self.reason.at(row), "loss reason")?,
            count: self.count.at(row) as u64,
            from: Timestamp::from_micros(from),
            to: Timestamp::from_micros(from.wrapping_add(self.length.at(row))),
            detail: names.text(self.detail.at(row), tally)?,
        })
    }
}

fn optional(index: i64) -> Option<i64> {
    (index != 0).then(|| index.wrapping_sub(1))
}
