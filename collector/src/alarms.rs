//! What is wrong with a gateway, since when: derived every few seconds from what is known of it.
//!
//! Beside the way of the data. Pure: the time is given. Invariants: an alarm is raised once and cleared once; a start of the collector alone raises
//! none; at most one of each kind for each gateway.

use std::collections::BTreeMap;

use protocol::{GatewayId, Timestamp};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// Its clock and the collector's differ by more than the configured maximum.
    ClockSkew,
    /// It has not been heard for a while.
    Offline,
    /// It can keep records in memory only: its disk is full or fails.
    NotDurable,
    /// It was restored from a backup.
    Restored,
    /// Readings that it took in are neither here nor there nor lost for a reason.
    Unaccounted,
}

impl AlarmKind {
    pub const ALL: [Self; 5] = [Self::ClockSkew, Self::Offline, Self::NotDurable, Self::Restored, Self::Unaccounted];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClockSkew => "clock_skew",
            Self::Offline => "offline",
            Self::NotDurable => "not_durable",
            Self::Restored => "restored",
            Self::Unaccounted => "unaccounted",
        }
    }
}

/// One that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub kind: AlarmKind,
    pub since: Timestamp,
    /// For people.
    pub detail: String,
}

/// One that was raised or cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub gateway: GatewayId,
    pub alarm: Alarm,
    pub raised: bool,
}

/// All that stand.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    standing: BTreeMap<(GatewayId, AlarmKind), Alarm>,
}

impl Alarms {
    /// What is wrong with a gateway now; what was wrong before and is not named any more is cleared. A cause may say since when.
    pub fn update(&mut self, now: Timestamp, gateway: &GatewayId, causes: Vec<(AlarmKind, Option<Timestamp>, String)>) -> Vec<Change> {
        let mut changes = Vec::new();
        for kind in AlarmKind::ALL {
            let key = (gateway.clone(), kind);
            let cause = causes.iter().find(|(named, ..)| *named == kind);
            match (cause, self.standing.get_mut(&key)) {
                (Some((_, _, detail)), Some(alarm)) => alarm.detail.clone_from(detail),
                (Some((_, since, detail)), None) => {
                    let alarm = Alarm { kind, since: since.unwrap_or(now), detail: detail.clone() };
                    changes.push(Change { gateway: gateway.clone(), alarm: alarm.clone(), raised: true });
                    self.standing.insert(key, alarm);
                }
                (None, Some(_)) => {
                    let cleared = self.standing.remove(&key);
                    changes.extend(cleared.map(|alarm| Change { gateway: gateway.clone(), alarm, raised: false }));
                }
                (None, None) => {}
            }
        }
        changes
    }

    /// Those of one gateway.
    pub fn of(&self, gateway: &GatewayId) -> Vec<Alarm> {
        let from = (gateway.clone(), AlarmKind::ClockSkew);
        self.standing.range(from..).take_while(|((id, _), _)| id == gateway).map(|(_, alarm)| alarm.clone()).collect()
    }

    /// How many of a kind stand.
    pub fn count(&self, kind: AlarmKind) -> usize {
        self.standing.keys().filter(|(_, standing)| *standing == kind).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_raised_once_keeps_its_beginning_and_is_cleared_once() {
        let mut alarms = Alarms::default();
        let id = GatewayId::new("gw").expect("valid");
        let cause = |detail: &str| vec![(AlarmKind::Offline, None, detail.to_owned())];
        let raised = alarms.update(Timestamp(5), &id, cause("silent for 16 s"));
        assert!(raised.len() == 1 && raised[0].raised, "{raised:?}");
        assert_eq!(alarms.update(Timestamp(7), &id, cause("silent for 18 s")), []);
        assert_eq!(alarms.of(&id), [Alarm { kind: AlarmKind::Offline, since: Timestamp(5), detail: "silent for 18 s".into() }]);
        assert_eq!(alarms.count(AlarmKind::Offline), 1);
        let cleared = alarms.update(Timestamp(9), &id, Vec::new());
        assert!(cleared.len() == 1 && !cleared[0].raised, "{cleared:?}");
        assert_eq!(alarms.update(Timestamp(11), &id, Vec::new()), []);
        assert_eq!(alarms.of(&id), []);
    }

    #[test]
    fn gateways_and_kinds_do_not_mix() {
        let mut alarms = Alarms::default();
        let (a, b) = (GatewayId::new("a").expect("valid"), GatewayId::new("b").expect("valid"));
        alarms.update(
            Timestamp(1),
            &a,
            vec![(AlarmKind::Restored, Some(Timestamp(0)), String::new()), (AlarmKind::ClockSkew, None, String::new())],
        );
        alarms.update(Timestamp(1), &b, vec![(AlarmKind::Restored, None, String::new())]);
        assert_eq!(
            alarms.of(&a).iter().map(|alarm| (alarm.kind, alarm.since)).collect::<Vec<_>>(),
            [(AlarmKind::ClockSkew, Timestamp(1)), (AlarmKind::Restored, Timestamp(0)),]
        );
        assert_eq!(alarms.count(AlarmKind::Restored), 2);
        assert_eq!(alarms.of(&GatewayId::new("aa").expect("valid")), []);
    }
}
