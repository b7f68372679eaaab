//! The way between gateway and collector: what becomes of a request and of its answer. Pure.
//!
//! A request reaches the collector never, once or twice, whole or cut; what it answers may be lost or cut, so that the gateway sees an error
//! for something that was done. Delays differ widely, so that a repetition may come long after newer requests.

use crate::{
    queue::{MILLISECOND, Micros, SECOND},
    random::Dice,
};

/// How bad it is; probabilities in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    pub lose_request: u32,
    pub lose_answer: u32,
    pub repeat: u32,
    pub cut_request: u32,
    pub cut_answer: u32,
    /// Answered with 429 or 5xx by something in between, or by a collector that is busy.
    pub busy: u32,
    /// Slow: takes up to so long.
    pub delay: Micros,
}

/// The usual: nothing goes wrong.
pub const FAIR: Weather =
    Weather { lose_request: 0, lose_answer: 0, repeat: 0, cut_request: 0, cut_answer: 0, busy: 0, delay: 20 * MILLISECOND };

/// A copy of the request that gets to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// After it was sent.
    pub after: Micros,
    /// So many bytes of it, if not all.
    pub cut: Option<usize>,
}

/// What the gateway gets of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    Whole,
    /// So many bytes of it.
    Cut(usize),
    Lost,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub arrivals: Vec<Arrival>,
    /// Answered on the way, without the collector: status and `Retry-After`. Not if there are arrivals.
    pub instead: Option<(u16, Option<u32>)>,
    pub answer: Return,
    pub answer_after: Micros,
}

/// Draws the fate of a request of `bytes`. Draws the same number of times whatever the weather is.
pub fn fate(dice: &mut Dice, weather: &Weather, outage: bool, bytes: usize) -> Fate {
    let (lost, cut, busy) = (dice.chance(weather.lose_request), dice.chance(weather.cut_request), dice.chance(weather.busy));
    let (repeated, answer_lost, answer_cut) =
        (dice.chance(weather.repeat), dice.chance(weather.lose_answer), dice.chance(weather.cut_answer));
    let there = dice.between(MILLISECOND, weather.delay.max(MILLISECOND));
    let again = there + dice.below(30 * SECOND);
    let back = dice.between(MILLISECOND, weather.delay.max(MILLISECOND));
    let (half, part) = (dice.below(bytes as u64) as usize, dice.below(64) as usize);
    let status = dice.pick(&[429, 429, 500, 502, 503]);
    let pause = dice.between(1, 20) as u32;
    let mut fate = Fate { arrivals: Vec::new(), instead: None, answer: Return::Whole, answer_after: back };
    if outage || lost {
        fate.answer = Return::Lost;
        return fate;
    }
    if busy {
        fate.instead = Some((status, pause.is_multiple_of(2).then_some(pause)));
        return fate;
    }
    fate.arrivals.push(Arrival { after: there, cut: cut.then_some(half) });
    if repeated {
        fate.arrivals.push(Arrival { after: again, cut: None });
    }
    fate.answer = match (answer_lost, answer_cut || cut) {
        (true, _) => Return::Lost,
        // Where the request broke off there is no way back either.
        (false, true) => Return::Cut(if cut { 0 } else { part }),
        (false, false) => Return::Whole,
    };
    fate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Concern;

    #[test]
    fn in_fair_weather_every_request_comes_once_and_is_answered() {
        let mut dice = Dice::of(3, Concern::Network);
        for _ in 0..1_000 {
            let fate = fate(&mut dice, &FAIR, false, 100);
            assert!(matches!(fate.arrivals.as_slice(), [Arrival { cut: None, .. }]));
            assert_eq!((fate.instead, fate.answer), (None, Return::Whole));
        }
    }

    #[test]
    fn bad_weather_has_every_kind_of_fault_and_an_outage_lets_nothing_through() {
        let mut dice = Dice::of(3, Concern::Network);
        let storm =
            Weather { lose_request: 200, lose_answer: 200, repeat: 200, cut_request: 200, cut_answer: 200, busy: 200, delay: SECOND };
        let fates: Vec<Fate> = (0..1_000).map(|_| fate(&mut dice, &storm, false, 100)).collect();
        assert!(fates.iter().any(|f| f.arrivals.is_empty() && f.answer == Return::Lost));
        assert!(fates.iter().any(|f| f.arrivals.len() == 2));
        assert!(fates.iter().any(|f| f.arrivals.iter().any(|a| a.cut.is_some_and(|bytes| bytes < 100))));
        assert!(fates.iter().any(|f| f.arrivals.len() == 1 && f.answer == Return::Lost));
        assert!(fates.iter().any(|f| matches!(f.answer, Return::Cut(_))));
        assert!(fates.iter().any(|f| f.instead.is_some_and(|(status, _)| status == 429)));
        assert!((0..100).all(|_| fate(&mut dice, &storm, true, 100).arrivals.is_empty()));
    }

    #[test]
    fn the_weather_does_not_change_how_much_is_drawn() {
        let (mut a, mut b) = (Dice::of(9, Concern::Network), Dice::of(9, Concern::Network));
        fate(&mut a, &FAIR, true, 10);
        fate(&mut b, &Weather { busy: 1_000, ..FAIR }, false, 10);
        assert_eq!(a.number(), b.number());
    }
}
