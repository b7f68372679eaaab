//! What OEE truly was: sums over a machine's intervals and parts, by arithmetic that shares nothing with `kpi`.
//!
//! After the machines. Planned is a shift without its breaks and maintenance; a planned stop of the machine is not planned either; a part belongs to
//! the shift that it was done in, also in a break. Invariant: it looks at what happened, never at a message or a record.

use protocol::MachineState;

use super::{
    Span,
    machine::{Life, PLANNED_REASON, Spec},
};

/// Sums of one machine and some time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    pub planned_us: i64,
    pub ran_us: i64,
    pub ideal_s: f64,
    pub parts: u64,
    pub good: u64,
}

/// Availability, performance, quality and OEE.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    pub a: Option<f64>,
    pub p: Option<f64>,
    pub q: Option<f64>,
    pub oee: Option<f64>,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.planned_us += other.planned_us;
        self.ran_us += other.ran_us;
        self.ideal_s += other.ideal_s;
        self.parts += other.parts;
        self.good += other.good;
    }

    pub fn figures(&self) -> Figures {
        let over = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let (planned_s, ran_s) = (self.planned_us as f64 / 1e6, self.ran_us as f64 / 1e6);
        let q = over(self.good as f64, self.parts as f64);
        Figures { a: over(ran_s, planned_s), p: over(self.ideal_s, ran_s), q, oee: over(self.ideal_s * q.unwrap_or(0.0), planned_s) }
    }
}

/// The sums of `range`, of which `down` was not planned to be worked.
pub fn sums(spec: &Spec, life: &Life, range: Span, down: &[Span]) -> Sums {
    let mut sums = Sums::default();
    let first = life.stretches.partition_point(|stretch| stretch.from <= range.0).saturating_sub(1);
    for (index, stretch) in life.stretches.iter().enumerate().skip(first) {
        if stretch.from >= range.1 {
            break;
        }
        let until = life.stretches.get(index + 1).map_or(life.span.1, |next| next.from);
        let (from, to) = (stretch.from.max(range.0), until.min(range.1));
        let mut worked = (to - from).max(0);
        for pause in down {
            worked -= (pause.1.min(to) - pause.0.max(from)).max(0);
        }
        if stretch.state == MachineState::PlannedStop || stretch.reason == PLANNED_REASON {
            continue;
        }
        sums.planned_us += worked;
        if stretch.state == MachineState::Producing {
            sums.ran_us += worked;
        }
    }
    let first = life.parts.partition_point(|part| part.at <= range.0);
    for part in life.parts[first..].iter().take_while(|part| part.at <= range.1) {
        sums.parts += 1;
        sums.good += u64::from(!part.rejected);
        sums.ideal_s += spec.ideal_s[usize::from(part.product)];
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::month::{
        machine::{Kind, Part, Stretch},
        seconds,
    };

    #[test]
    fn a_shift_of_a_hundred_seconds_by_hand() {
        let stretch = |from: i64, state, reason| Stretch { from: seconds(from), state, reason };
        let life = Life {
            span: (0, seconds(200)),
            stretches: vec![
                stretch(0, MachineState::Producing, ""),
                stretch(40, MachineState::UnplannedStop, PLANNED_REASON),
                stretch(50, MachineState::Producing, ""),
                stretch(90, MachineState::Idle, ""),
            ],
            parts: (1..=9).map(|n| Part { at: seconds(n * 10), rejected: n == 2, product: 0 }).collect(),
            products: Vec::new(),
        };
        let spec = Spec { name: "m", gateway: 0, kind: Kind::Bare, period: 1, ideal_s: &[5.0], counter_bits: 16, off: Vec::new() };
        // From 10 to 100, without 20 to 30 for a pause and 40 to 50 by plan: 70 s, of which 60 ran; parts at 20 to 90, one of them bad.
        let sums = sums(&spec, &life, (seconds(10), seconds(100)), &[(seconds(20), seconds(30))]);
        assert_eq!(sums, Sums { planned_us: seconds(70), ran_us: seconds(60), ideal_s: 40.0, parts: 8, good: 7 });
        let figures = sums.figures();
        assert_eq!((figures.a, figures.p, figures.q), (Some(60.0 / 70.0), Some(40.0 / 60.0), Some(7.0 / 8.0)));
        assert!((figures.oee.unwrap() - 40.0 / 70.0 * 7.0 / 8.0).abs() < 1e-12);
    }
}
