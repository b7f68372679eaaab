//! What the model of a machine promises.

use proptest::prelude::*;

use super::*;

const START: Moment = Moment(1_767_225_600_000_000);

fn spec() -> MachineSpec {
    MachineSpec {
        pace: 1.0,
        ideal_cycle: Duration::from_millis(1_500),
        reject_ratio: 0.04,
        jitter: 0.08,
        slow_ratio: 0.05,
        character: Character {
            warm_celsius: 58.0,
            vibration_mm_s: 1.8,
            power_kw: 4.5,
            wear_mm_s_per_hour: 0.05,
            thermal_lag: Duration::from_secs(20),
        },
        faults: Vec::new(),
    }
}

fn fault(kind: FaultKind, signal: Signal, magnitude: f64) -> FaultSpec {
    FaultSpec { kind, signal, after: Duration::from_secs(10), lasts: Duration::from_secs(20), magnitude }
}

/// Everything that happens in `span`, asked for in steps of `stride`.
fn run(spec: MachineSpec, seed: u64, span: Duration, stride: Duration) -> (Vec<Step>, Machine) {
    let mut machine = Machine::new(spec, seed, START);
    let mut steps = vec![machine.start(START)];
    let end = START.plus(span);
    let mut now = START;
    while now < end {
        now = now.plus(stride).min(end);
        while let Some(step) = machine.step(now) {
            steps.push(step);
        }
    }
    (steps, machine)
}

#[test]
fn a_minute_shows_a_few_states_and_a_stream_of_parts() {
    for seed in 0..50 {
        let (steps, _) = run(spec(), seed, Duration::from_secs(60), Duration::from_secs(1));
        let states = steps.iter().filter(|step| matches!(step, Step::State { .. })).count();
        let parts = steps.iter().filter(|step| matches!(step, Step::Part { .. })).count();
        assert!((3..=20).contains(&states), "seed {seed}: {states} states");
        assert!((8..=40).contains(&parts), "seed {seed}: {parts} parts");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_same_seed_does_the_same_whatever_the_steps(seed: u64, stride_ms in 1_u64..5_000) {
        let span = Duration::from_secs(90);
        let (fine, _) = run(spec(), seed, span, Duration::from_millis(stride_ms));
        let (coarse, _) = run(spec(), seed, span, span);
        prop_assert_eq!(fine, coarse);
    }

    #[test]
    fn states_partition_time_and_parts_fall_into_producing(seed: u64) {
        let span = Duration::from_secs(600);
        let (steps, machine) = run(spec(), seed, span, Duration::from_secs(7));
        let (mut current, mut since) = (MachineState::PlannedStop, START);
        let (mut covered, mut total, mut reject) = (Duration::ZERO, 0, 0);
        for step in steps {
            match step {
                Step::State { at, state, .. } => {
                    prop_assert!(at >= since && state != current);
                    covered += at.since(since);
                    (current, since) = (state, at);
                }
                Step::Part { at, good } => {
                    prop_assert_eq!(current, MachineState::Producing);
                    prop_assert!(at >= since);
                    total += 1;
                    reject += u32::from(!good);
                }
                Step::FaultBegan { .. } | Step::FaultEnded { .. } => {}
            }
        }
        covered += START.plus(span).since(since);
        prop_assert_eq!(covered, span);
        prop_assert_eq!(machine.counters(), Counters { total, reject });
    }
}

#[test]
fn different_seeds_do_different_things() {
    let span = Duration::from_secs(60);
    assert_ne!(run(spec(), 1, span, span).0, run(spec(), 2, span, span).0);
}

#[test]
fn measuring_more_often_changes_nothing_of_what_is_made() {
    let (quiet, _) = run(spec(), 5, Duration::from_secs(60), Duration::from_secs(60));
    let mut machine = Machine::new(spec(), 5, START);
    let mut watched = vec![machine.start(START)];
    for second in 1..=60 {
        let now = START.plus(Duration::from_secs(second));
        while let Some(step) = machine.step(now) {
            machine.feel();
            watched.push(step);
        }
    }
    assert_eq!(quiet, watched);
}

#[test]
fn production_never_beats_the_ideal_cycle() {
    let (steps, machine) = run(spec(), 9, Duration::from_secs(3_600), Duration::from_secs(60));
    let mut producing = Duration::ZERO;
    let mut since = None;
    for step in steps {
        if let Step::State { at, state, .. } = step {
            if let Some(from) = since.take() {
                producing += at.since(from);
            }
            since = (state == MachineState::Producing).then_some(at);
        }
    }
    let ideal = Duration::from_millis(1_500) * machine.counters().total;
    assert!(ideal <= producing + Duration::from_secs(60), "{ideal:?} in {producing:?}");
    assert!(machine.counters().reject > 0, "some scrap is to be expected in an hour");
}

#[test]
fn a_machine_that_was_not_started_makes_nothing() {
    let mut machine = Machine::new(spec(), 1, START);
    assert_eq!(machine.step(START.plus(Duration::from_secs(600))), None);
    assert_eq!(machine.counters(), Counters::default());
    assert_eq!(machine.stop(START.plus(Duration::from_secs(601))), None);
}

#[test]
fn a_stopped_machine_makes_nothing_more() {
    let (_, mut machine) = run(spec(), 1, Duration::from_secs(30), Duration::from_secs(1));
    let made = machine.counters();
    machine.stop(START.plus(Duration::from_secs(30)));
    assert_eq!((machine.state(), machine.reason()), (MachineState::PlannedStop, NOT_SCHEDULED));
    assert_eq!(machine.step(START.plus(Duration::from_secs(600))), None);
    assert_eq!(machine.counters(), made);
}

#[test]
fn a_worn_bearing_drifts_and_recovers_when_it_is_replaced() {
    let mut machine =
        Machine::new(MachineSpec { faults: vec![fault(FaultKind::BearingWear, Signal::VibrationVelocity, 6.0)], ..spec() }, 3, START);
    machine.start(START);
    let mut extra = Vec::new();
    for second in 0..40 {
        let now = START.plus(Duration::from_secs(second));
        while machine.step(now).is_some() {}
        extra.push(machine.truth().vibration_velocity - machine.body.now().vibration_velocity);
    }
    assert!(extra[9].abs() < 1e-9 && extra[35].abs() < 1e-9, "outside of the fault nothing is added");
    assert!((extra[20] - 3.0).abs() < 0.01 && (extra[28] - 5.4).abs() < 0.01, "{extra:?}");
}

#[test]
fn a_fault_is_told_when_it_begins_and_when_it_ends() {
    let spec = MachineSpec { faults: vec![fault(FaultKind::TemperatureSpike, Signal::SpindleTemperature, 30.0)], ..spec() };
    let (steps, _) = run(spec, 3, Duration::from_secs(60), Duration::from_secs(5));
    let told: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::FaultBegan { fault } => Some((true, fault.from)),
            Step::FaultEnded { fault } => Some((false, fault.to)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(true, START.plus(Duration::from_secs(10))), (false, START.plus(Duration::from_secs(30)))]);
}

#[test]
fn a_stuck_sensor_repeats_itself_to_the_last_bit_and_others_go_on() {
    let spec = MachineSpec { faults: vec![fault(FaultKind::StuckSensor, Signal::ActivePower, 0.0)], ..spec() };
    let mut machine = Machine::new(spec, 3, START);
    machine.start(START);
    let mut felt = Vec::new();
    for second in 0..40 {
        while machine.step(START.plus(Duration::from_secs(second))).is_some() {}
        felt.push(machine.feel());
    }
    let held = &felt[10..30];
    assert!(held.iter().all(|sample| sample.active_power == held[0].active_power));
    assert!(held.windows(2).all(|pair| pair[0].spindle_temperature != pair[1].spindle_temperature));
    assert_ne!(felt[31].active_power, held[0].active_power);
}

#[test]
fn noise_grows_only_where_and_while_it_was_injected() {
    let spec = MachineSpec { faults: vec![fault(FaultKind::Noise, Signal::SpindleTemperature, 8.0)], ..spec() };
    let mut machine = Machine::new(spec, 3, START);
    machine.start(START);
    let mut spread = |second: u64, signal: Signal| {
        while machine.step(START.plus(Duration::from_secs(second))).is_some() {}
        let errors: Vec<f64> = (0..200).map(|_| machine.feel().get(signal) - machine.truth().get(signal)).collect();
        (errors.iter().map(|error| error * error).sum::<f64>() / 200.0).sqrt()
    };
    assert!(spread(5, Signal::SpindleTemperature) < 0.3);
    assert!(spread(15, Signal::SpindleTemperature) > 6.0);
    assert!(spread(16, Signal::VibrationVelocity) < 0.1);
    assert!(spread(35, Signal::SpindleTemperature) < 0.3);
}
