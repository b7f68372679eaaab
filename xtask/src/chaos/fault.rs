//! The faults that a run can put in: what each does, to what, for how long, what it needs, and what it may cost. Pure.

use clap::ValueEnum as _;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Kind {
    /// A gateway is killed (SIGKILL) and started again
    GatewayKill,
    /// The collector is killed (SIGKILL) and started again
    CollectorKill,
    /// A gateway stands still (SIGSTOP) and goes on
    GatewayFreeze,
    /// The collector stands still (SIGSTOP) and goes on
    CollectorFreeze,
    /// All machines stand still (SIGSTOP) and go on
    PlantFreeze,
    /// The uplink of a gateway is cut: connections are closed, new ones too
    LinkCut,
    /// Connections of an uplink are reset in the middle of a request
    LinkReset,
    /// Everything on an uplink comes late
    LinkSlow,
    /// An uplink passes a few bytes at a time
    LinkTrickle,
    /// Connections of an uplink are closed in the middle of a request
    LinkHalfRequest,
    /// Connections of an uplink are closed in the middle of an answer: the collector has stored what the gateway has to send again
    LinkHalfAnswer,
    /// An uplink takes everything and passes nothing
    LinkBlackHole,
    /// The file system below a gateway's data folder is full
    DiskFull,
    /// A gateway starts with its clock at 1970, which is set right later
    #[value(name = "clock-1970")]
    Clock1970,
    /// The clock of a running gateway goes back by 10 min, and is set right later
    ClockBack,
    /// The clock of a running gateway goes ahead by 2 h, and is set right later
    ClockAhead,
    /// A running gateway gets a new key and certificate
    GatewayCertificate,
    /// The running collector gets a new server certificate
    CollectorCertificate,
    /// The configuration of a running gateway changes (SIGHUP)
    Reload,
    /// The configuration of a running gateway becomes one that can't be read (SIGHUP), and is mended later
    ReloadBroken,
    /// A gateway's data folder is set back to a copy from before
    GatewayRestored,
    /// The collector's data folder is set back to a copy from before
    CollectorRestored,
}

/// What a fault befalls; gateways by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Collector,
    Gateway(usize),
    Link(usize),
    Machines,
}

/// What must be there for a fault to be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// The right to mount a small file system.
    Mount,
    /// libfaketime.
    FakeTime,
    /// A program that reads its configuration or certificate anew on SIGHUP.
    Hangup,
}

/// What the target of a kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Collector,
    Gateway,
    Link,
    Machines,
}

impl Kind {
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As it is written on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it does, for people.
    pub fn says(self) -> String {
        self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    pub fn on(self) -> On {
        match self {
            Self::CollectorKill | Self::CollectorFreeze | Self::CollectorCertificate | Self::CollectorRestored => On::Collector,
            Self::LinkCut
            | Self::LinkReset
            | Self::LinkSlow
            | Self::LinkTrickle
            | Self::LinkHalfRequest
            | Self::LinkHalfAnswer
            | Self::LinkBlackHole => On::Link,
            Self::PlantFreeze => On::Machines,
            _ => On::Gateway,
        }
    }

    pub fn need(self) -> Need {
        match self {
            Self::DiskFull => Need::Mount,
            Self::Clock1970 | Self::ClockBack | Self::ClockAhead => Need::FakeTime,
            Self::CollectorCertificate | Self::Reload | Self::ReloadBroken => Need::Hangup,
            _ => Need::Nothing,
        }
    }

    /// Shortest and longest duration, in tenths of a second.
    pub fn lasts(self) -> (u64, u64) {
        match self {
            Self::GatewayKill | Self::CollectorKill => (5, 60),
            Self::GatewayCertificate | Self::CollectorCertificate | Self::Reload => (0, 0),
            Self::ReloadBroken => (30, 60),
            Self::DiskFull | Self::Clock1970 | Self::ClockBack | Self::ClockAhead => (100, 250),
            Self::GatewayRestored | Self::CollectorRestored => (80, 150),
            _ => (50, 200),
        }
    }

    /// By how much the clock of its target is off while it lasts, in seconds; `now` is Unix time.
    pub fn offset_s(self, now: f64) -> Option<f64> {
        match self {
            // A little after midnight, since no program has to bear a time before 1970.
            Self::Clock1970 => Some(30.0 - now.floor()),
            Self::ClockBack => Some(-600.0),
            Self::ClockAhead => Some(7_200.0),
            _ => None,
        }
    }

    /// The reasons for which readings may be lost because of it, as the losses tell them. Everything else that is lost is a fault of ours.
    pub fn may_lose(self) -> &'static [&'static str] {
        match self {
            Self::GatewayKill => &["power_cut", "sequence_gap", "device_error"],
            Self::GatewayFreeze => &["sequence_gap", "device_error", "queue_full", "broker_overrun"],
            Self::PlantFreeze => &["sequence_gap", "device_error"],
            Self::DiskFull => &["spool_full", "queue_full", "power_cut", "sequence_gap", "broker_overrun", "device_error"],
            Self::Clock1970 => &["power_cut", "sequence_gap", "device_error"],
            Self::ClockBack | Self::ClockAhead => &["sequence_gap", "device_error"],
            Self::GatewayRestored => &["restored", "power_cut", "sequence_gap", "stream_gap", "device_error"],
            Self::CollectorRestored => &["stream_gap", "restored"],
            _ => &[],
        }
    }

    /// Parts may be missing after it: their counts are in what is lost.
    pub fn may_lose_parts(self) -> bool {
        matches!(self, Self::DiskFull | Self::GatewayRestored | Self::CollectorRestored)
    }

    /// States may be unknown for as long as it lasts.
    pub fn may_lose_states(self) -> bool {
        !matches!(self.on(), On::Link) && !matches!(self, Self::CollectorKill | Self::CollectorFreeze) && self.lasts().1 > 0
    }
}

/// What a fault of a link does to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Pass,
    Cut,
    Reset,
    /// Each piece comes this much later.
    Slow {
        ms: u64,
    },
    Trickle {
        bytes_per_s: u64,
    },
    /// Closed after so many bytes of a request.
    HalfRequest {
        bytes: u64,
    },
    /// Closed after so many bytes of an answer.
    HalfAnswer {
        bytes: u64,
    },
    BlackHole,
}

impl Kind {
    /// What it does to a link; `dice` is any number.
    pub fn wire(self, dice: u64) -> Wire {
        match self {
            Self::LinkCut => Wire::Cut,
            Self::LinkReset => Wire::Reset,
            Self::LinkSlow => Wire::Slow { ms: 100 + dice % 1_900 },
            Self::LinkTrickle => Wire::Trickle { bytes_per_s: 200 + dice % 3_800 },
            Self::LinkHalfRequest => Wire::HalfRequest { bytes: 1 + dice % 1_500 },
            Self::LinkHalfAnswer => Wire::HalfAnswer { bytes: dice % 160 },
            Self::LinkBlackHole => Wire::BlackHole,
            _ => Wire::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_what_it_does_and_has_a_name_of_its_own() {
        let mut names: Vec<String> = Kind::all().iter().map(|k| k.name()).collect();
        assert!(Kind::all().iter().all(|k| k.says().len() > 20));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Kind::all().len());
    }

    #[test]
    fn every_fault_of_a_link_does_something_to_the_wire_and_no_other_does() {
        for kind in Kind::all() {
            assert_eq!(kind.wire(7) != Wire::Pass, kind.on() == On::Link, "{kind:?}");
        }
    }

    #[test]
    fn nothing_may_be_lost_by_what_leaves_the_gateway_whole() {
        for kind in Kind::all().iter().filter(|k| k.on() == On::Link) {
            assert!(kind.may_lose().is_empty() && !kind.may_lose_parts() && !kind.may_lose_states(), "{kind:?}");
        }
        assert!(Kind::CollectorKill.may_lose().is_empty() && Kind::CollectorFreeze.may_lose().is_empty());
    }

    #[test]
    fn the_clock_of_1970_begins_there() {
        let now = 1_790_000_000.7;
        let offset = Kind::Clock1970.offset_s(now).unwrap();
        assert!((0.0..60.0).contains(&(now + offset)));
    }
}
