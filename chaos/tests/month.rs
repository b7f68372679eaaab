//! A month of a plant with its truth: OEE of every machine and shift, through gateways and collector, with the faults of a month.

use chaos::month::{check::Comparison, drive::Drive, scenario::Scenario};

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
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), comparison.lines.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(comparison.apart.is_empty(), "asked for alone they differ: {:?}", comparison.apart);
}

#[test]
fn a_month_without_faults_is_told_as_it_was() {
    is_right(&run(Scenario::drawn(1).only(&[]).in_order()));
}

#[test]
fn a_month_with_every_fault_is_told_as_it_was() {
    is_right(&run(Scenario::drawn(2)));
}
