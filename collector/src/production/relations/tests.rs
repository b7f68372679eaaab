//! What is said of a machine, under all its names.

use super::*;

const SECOND: i64 = 1_000_000;

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: Timestamp(from * SECOND), to: Timestamp(to * SECOND) }
}

fn path(machine: &str) -> AssetPath {
    AssetPath::new(&format!("plant1/press-shop/line1/{machine}")).unwrap()
}

fn entry<T>(id: &str, place: &str, range: TimeRange, what: T) -> Entry<T> {
    Entry { id: id.into(), place: place.into(), range, by: "ann".into(), at: Timestamp(0), what }
}

fn rename(relations: &mut Relations, from: &str, to: &str, at: i64) {
    let (from, to, at) = (path(from), path(to), Timestamp(at * SECOND));
    relations.check_rename(&from, &to, at).unwrap();
    relations.rename(Rename { from, to, at, by: "ann".into(), registered_at: at });
}

fn reason() -> Reason {
    Reason { reason: Some("jam".into()), comment: String::new() }
}

#[test]
fn a_renamed_machine_is_one_machine_over_all_its_names() {
    let mut relations = Relations::default();
    rename(&mut relations, "a", "b", 100_000);
    rename(&mut relations, "b", "c", 200_000);
    let lineage = |asset: &str, from, to| relations.lineage(&path(asset), range(from, to));
    assert_eq!(
        lineage("c", 0, 300_000),
        [(path("a"), range(0, 100_000)), (path("b"), range(100_000, 200_000)), (path("c"), range(200_000, 300_000))]
    );
    assert_eq!(lineage("c", 210_000, 300_000), [(path("c"), range(210_000, 300_000))]);
    assert_eq!(lineage("c", 0, 50_000), [(path("a"), range(0, 50_000))]);
    assert_eq!(lineage("a", 0, 300_000), [(path("a"), range(0, 300_000))], "the old path answers with its own");
    assert_eq!(relations.with_later_names(&path("a")), [path("a"), path("b"), path("c")]);
    let place = path("a").to_string();
    relations.reasons.put(entry("r", &place, range(90_000, 110_000), reason()));
    let of = |asset: &str| relations.registered(&path(asset), range(0, 300_000));
    assert_eq!((of("c").reasons[0].range, of("c").renamed), (range(90_000, 100_000), true));
    assert_eq!((of("a").reasons[0].range, of("a").renamed), (range(90_000, 110_000), false));
    // Just after the change of the name: what was said of the old path for later is not said of the new one.
    let later = relations.registered(&path("b"), range(100_001, 110_000));
    assert!(!later.renamed && later.reasons.iter().all(|reason| reason.range.to <= Timestamp(100_000 * SECOND)));
}

#[test]
fn circles_and_second_names_are_refused() {
    let mut relations = Relations::default();
    rename(&mut relations, "a", "b", 100);
    let field = |from: &str, to: &str, at: i64| relations.check_rename(&path(from), &path(to), Timestamp(at * SECOND)).map_err(|e| e.0);
    assert_eq!(field("a", "a", 200), Err("to"));
    assert_eq!(field("b", "a", 200), Err("to"));
    assert_eq!(field("a", "c", 200), Err("from"));
    assert_eq!(field("d", "b", 200), Err("to"));
    assert_eq!(field("b", "c", 100), Err("at"));
    assert_eq!(field("b", "c", 101), Ok(()));
}

#[test]
fn planned_downtime_of_a_line_holds_for_its_machines_and_for_no_other() {
    let mut relations = Relations::default();
    let down = |name: &str| Downtime { kind: DowntimeKind::Maintenance, name: name.into() };
    relations.downtime.put(entry("1", "plant1/press-shop", range(0, 10), down("area")));
    relations.downtime.put(entry("2", "plant1/press-shop/line1/a", range(0, 10), down("machine")));
    relations.downtime.put(entry("3", "plant1/press-shop/line", range(0, 10), down("another line")));
    let names = |asset| relations.registered(&path(asset), range(0, 100)).downtime.into_iter().map(|d| d.name).collect::<Vec<_>>();
    assert_eq!(names("a"), ["area", "machine"]);
    assert_eq!(names("b"), ["area"]);
}

#[test]
fn a_run_that_goes_on_reaches_the_end_of_what_is_asked_and_has_its_products_cycle() {
    let mut relations = Relations::default();
    relations.set_products(vec![Product { product: "P".into(), name: "Part".into(), ideal_cycle_time_s: 2.5 }]);
    let run = Run { product: "P".into(), order: "7".into() };
    relations.runs.put(entry("1", path("a").as_str(), TimeRange { from: Timestamp(50 * SECOND), to: OPEN }, run));
    let found = relations.registered(&path("a"), range(0, 100)).runs;
    assert_eq!((found[0].range.from, found[0].ideal_cycle_s), (Timestamp(50 * SECOND), Some(2.5)));
    assert!(found[0].range.to >= Timestamp(100 * SECOND) && found[0].range.to < OPEN);
    assert_eq!(relations.runs.remove("1").map(|e| e.to()), Some(None));
    assert!(relations.runs.get("1").is_none() && relations.registered(&path("a"), range(0, 100)).runs.is_empty());
}

#[test]
fn when_there_are_too_many_the_one_that_ended_first_has_to_leave() {
    let down = |i: usize| {
        let from = i64::try_from(i).unwrap();
        entry(&i.to_string(), "plant1", range(from, from + 10), Downtime { kind: DowntimeKind::Break, name: "break".into() })
    };
    let mut entries = Entries::default();
    for i in (1..Downtime::MAX).rev() {
        entries.put(down(i));
    }
    assert_eq!(entries.surplus(), None);
    entries.put(down(0));
    entries.put(down(0));
    assert_eq!(entries.all().count(), Downtime::MAX, "one of the same id is the same");
    assert_eq!(entries.surplus().as_deref(), Some("0"));
    assert_eq!(entries.remove("0").map(|gone| gone.range), Some(range(0, 10)));
    assert!(entries.surplus().is_none() && entries.get("0").is_none() && entries.get("1").is_some());
}
