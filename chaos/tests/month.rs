//! A month of a plant with its truth: OEE of every machine and shift, through gateways and collector, with the faults of a month.

use chaos::month::{
    check::{Comparison, Errors, SoFar, TOLERANCE},
    drive::Drive,
    hours, minutes,
    scenario::{Fault, Scenario, What},
    seconds,
};

fn run(scenario: Scenario) -> Drive {
    let end = scenario.span.1;
    let mut drive = Drive::new(scenario);
    drive.run_until(end);
    drive
}

#[track_caller]
fn is_right(drive: &Drive) {
    let comparison = Comparison::of(drive);
    println!("seed {}: {:?}", drive.scenario.seed, drive.carried);
    print!("{}", comparison.table());
    let wrong: Vec<String> = comparison.wrong().iter().map(ToString::to_string).collect();
    assert!(comparison.lines.len() == 90 * drive.scenario.machines.len(), "every machine and shift");
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), comparison.lines.len(), wrong[..wrong.len().min(20)].join("\n"));
    for (name, errors) in &comparison.months {
        assert!([errors.oee, errors.a, errors.p, errors.q].iter().all(|error| *error <= TOLERANCE), "the month of {name}: {errors}");
    }
    assert!(comparison.apart.is_empty(), "asked for alone they differ: {:?}", comparison.apart);
    assert!(drive.carried.duplicates > 100 && drive.carried.messages > 300_000, "{:?}", drive.carried);
}

#[test]
fn a_month_without_faults_is_told_as_it_was() {
    is_right(&run(Scenario::drawn(1).only(&[]).in_order()));
}

#[test]
fn a_month_with_every_fault_is_told_as_it_was() {
    is_right(&run(Scenario::drawn(2)));
}

fn outages(scenario: &Scenario) -> Vec<(usize, Fault)> {
    let of = |fault: &Fault| if let What::Uplink { gateway } = fault.what { Some((gateway, *fault)) } else { None };
    scenario.faults.iter().filter_map(of).collect()
}

/// Asks for the shift around now of every machine of a gateway.
fn ask(drive: &Drive, gateway: usize) -> Vec<(&'static str, SoFar)> {
    let now = drive.wall().as_micros();
    let Some(shift) = drive.shifts.iter().find(|shift| shift.range.0 < now && now <= shift.range.1) else { return Vec::new() };
    let of_gateway = drive.scenario.machines.iter().enumerate().filter(|(_, spec)| spec.gateway == gateway);
    of_gateway.map(|(machine, spec)| (spec.name, SoFar::of(drive, machine, shift))).collect()
}

/// What is told is right about what is said to be known, and says so if that is not all.
#[track_caller]
fn is_honest(drive: &Drive, gateway: usize, when: &str) -> f64 {
    let mut least: f64 = 1.0;
    for (name, so_far) in ask(drive, gateway) {
        least = least.min(so_far.coverage);
        assert!(!so_far.is_off() || so_far.coverage < 0.999, "{when}: {name} is wrong and does not say so: {so_far:?}");
        if so_far.known_us > hours(1) {
            let errors = Errors::of(&so_far.told, &so_far.known);
            // The counts at the edges of what is missing are left out: two minutes of it.
            assert!(errors.oee.max(errors.a) < 0.02, "{when}: {name} is wrong about what is known, {errors}: {so_far:?}");
        }
    }
    least
}

#[test]
fn in_an_outage_and_while_the_backlog_comes_an_answer_says_what_is_missing() {
    let scenario = Scenario::drawn(3).in_order();
    let outages = outages(&scenario);
    let mut drive = Drive::new(scenario);
    for (gateway, Fault { class, span, .. }) in outages.into_iter().take(2) {
        let (from, to) = span;
        drive.run_until(from - minutes(1));
        assert!((is_honest(&drive, gateway, "before") - 1.0).abs() < 1e-9);
        drive.run_until(to - minutes(30));
        let blind = is_honest(&drive, gateway, "in the outage");
        assert!(blind < 0.9, "{class}: covers {blind}");
        let (mut at, mut seen) = (to, Vec::new());
        drive.run_until(at);
        while drive.is_behind(gateway) || at < to + minutes(2) {
            at += seconds(10);
            drive.run_until(at);
            seen.push(is_honest(&drive, gateway, "while the backlog comes"));
            assert!(at < to + hours(2), "{class}: the backlog does not come");
        }
        drive.run_until(at + minutes(2));
        let after = is_honest(&drive, gateway, "after");
        println!("{class}: in it {blind:.3}, then {:.3} for {} s, after it {after:.3}", seen[0], (at - to) / seconds(1));
        assert!(seen.len() > 6 && seen[3] < 0.95, "{class}: {seen:?}");
        assert!((after - 1.0).abs() < 1e-9, "{class}: covers {after}");
        assert!(ask(&drive, gateway).iter().all(|(_, so_far)| !so_far.is_off()), "{class}: {:?}", ask(&drive, gateway));
    }
}
