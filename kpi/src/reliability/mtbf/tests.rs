//! MTBF, MTTR and MTTF with their bounds, no failures included.

use super::*;

/// Factors on `T / r`: failures, confidence, lower, upper; time terminated. Source: chi-square table of bounds of a homogeneous Poisson
/// process
/// (`2r / chi2(1 - a/2; 2r + 2)`, `2r / chi2(a/2; 2r)`), "HPP_MTBF_factor_table".
const FACTORS: [(u64, f64, f64, f64); 48] = [
    (1, 0.6, 0.333966941314241, 4.48142011772455),
    (1, 0.8, 0.25708790255574665, 9.491221581029901),
    (1, 0.9, 0.2107986001967999, 19.49572574622369),
    (1, 0.95, 0.1794802592043649, 39.49789020520718),
    (2, 0.6, 0.4673956633575395, 2.4260411969524647),
    (2, 0.8, 0.3757759535409422, 3.760730244411617),
    (2, 0.9, 0.3176724206860709, 5.62807152656426),
    (2, 0.95, 0.2768285761244642, 8.25732198214267),
    (3, 0.6, 0.5439664791459592, 1.954341115931036),
    (3, 0.8, 0.44904915626652764, 2.722161675084753),
    (3, 0.9, 0.3869142241718383, 3.668865573200104),
    (3, 0.95, 0.34218165399154976, 4.849095165237045),
    (4, 0.6, 0.5951514097094598, 1.7415634701060234),
    (4, 0.8, 0.5004009721714106, 2.2925663567420926),
    (4, 0.9, 0.43699040646112564, 2.92757530712835),
    (4, 0.95, 0.39056440624357835, 3.670178075931288),
    (5, 0.6, 0.6324316160958752, 1.6183640936837096),
    (5, 0.8, 0.5391025126591411, 2.0554215429703477),
    (5, 0.9, 0.47560005682493506, 2.5378783829720484),
    (5, 0.95, 0.428510258879283, 3.0797917558368244),
    (6, 0.6, 0.6611289564120671, 1.5370175934588255),
    (6, 0.8, 0.5696884657956207, 1.9036148832504087),
    (6, 0.9, 0.506654242612959, 2.296198294834119),
    (6, 0.95, 0.4594365737589502, 2.724926499302901),
    (7, 0.6, 0.6840921454064276, 1.4787699358682609),
    (7, 0.8, 0.5946861667261997, 1.7972834705369558),
    (7, 0.9, 0.5323957569263776, 2.130693259484916),
    (7, 0.95, 0.48534684616056956, 2.4872412946935625),
    (8, 0.6, 0.7030017262103536, 1.434705245535465),
    (8, 0.8, 0.6156350585053634, 1.7181694484674266),
    (8, 0.9, 0.5542219699019001, 2.0096347990557413),
    (8, 0.95, 0.5075115123119668, 2.3162677254143076),
    (9, 0.6, 0.7189214556382892, 1.4000206631401153),
    (9, 0.8, 0.6335355589375188, 1.656705553256745),
    (9, 0.9, 0.5730580055761957, 1.9168400088528328),
    (9, 0.95, 0.526783935536139, 2.186922008537544),
    (10, 0.6, 0.7325617154583963, 1.3718889726261738),
    (10, 0.8, 0.649070740882135, 1.6073799041444443),
    (10, 0.9, 0.5895454987953648, 1.8431801340425606),
    (10, 0.95, 0.5437632625030356, 2.085336691906785),
    (15, 0.6, 0.7799031884031382, 1.2840204110989117),
    (15, 0.8, 0.7044776231850596, 1.456364790309171),
    (15, 0.9, 0.6494313430185091, 1.6222651801856025),
    (15, 0.95, 0.6063002141540526, 1.7866956638749705),
    (20, 0.6, 0.8088002268271564, 1.2366689928433234),
    (20, 0.8, 0.7395054591716207, 1.3769115308400017),
    (20, 0.9, 0.688183436595051, 1.5089042402664807),
    (20, 0.95, 0.6474927256788132, 1.6371274862846863),
];

#[test]
fn hpp_mtbf_factor_table_bounds_are_those_of_the_table() {
    for (r, confidence, lower, upper) in FACTORS {
        let time = 1_000.0;
        let m = mtbf(time, r, confidence, Termination::Time, Divisor::Events).unwrap();
        let estimate = time / r as f64;
        assert_eq!(m.mtbf_h, Some(estimate));
        assert!((m.lower_h.unwrap() / estimate / lower - 1.0).abs() < 1e-8, "r={r} c={confidence} {:?}", m.lower_h);
        assert!((m.upper_h.unwrap() / estimate / upper - 1.0).abs() < 1e-8, "r={r} c={confidence} {:?}", m.upper_h);
    }
}

/// Same source: confidence, one-sided multiplier of `T`, lower end of the two-sided interval.
#[test]
fn hpp_mtbf_factor_table_zero_failures_have_lower_bounds_only() {
    for (confidence, one_sided, two_sided) in [
        (0.6, 1.0913566679372915, 0.6213349345596119),
        (0.8, 0.6213349345596118, 0.43429448190325176),
        (0.9, 0.43429448190325176, 0.333808200695334),
        (0.95, 0.3338082006953342, 0.2710850306818169),
    ] {
        for termination in [Termination::Time, Termination::Failure] {
            let m = mtbf(500.0, 0, confidence, termination, Divisor::Events).unwrap();
            assert!((m.one_sided_lower_h.unwrap() / 500.0 - one_sided).abs() < 1e-8);
            assert!((m.lower_h.unwrap() / 500.0 - two_sided).abs() < 1e-8);
            assert_eq!((m.mtbf_h, m.upper_h), (None, None));
            assert_eq!(m.flags, [Flag::NoFailures]);
        }
    }
}

#[test]
fn terminated_by_failure_the_lower_bound_is_higher() {
    let by = |t| mtbf(1_000.0, 5, 0.9, t, Divisor::Events).unwrap();
    assert!(by(Termination::Failure).lower_h > by(Termination::Time).lower_h);
    assert_eq!(by(Termination::Failure).upper_h, by(Termination::Time).upper_h);
    // 2 * 1000 / chi2(0.95; 10) = 2000 / 18.307038
    assert!((by(Termination::Failure).lower_h.unwrap() - 2_000.0 / 18.307_038_053_275_146).abs() < 1e-6);
}

#[test]
fn divided_by_events_plus_one_zero_failures_have_an_estimate() {
    assert_eq!(mtbf(1_000.0, 4, 0.9, Termination::Time, Divisor::EventsPlusOne).unwrap().mtbf_h, Some(200.0));
    assert_eq!(mtbf(1_000.0, 0, 0.9, Termination::Time, Divisor::EventsPlusOne).unwrap().mtbf_h, Some(1_000.0));
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let field = |time, r, c| mtbf(time, r, c, Termination::Time, Divisor::Events).unwrap_err().field;
    assert_eq!(field(-1.0, 1, 0.9), "operating_time_h");
    assert_eq!(field(f64::NAN, 1, 0.9), "operating_time_h");
    assert_eq!(field(0.0, 1, 0.9), "operating_time_h");
    assert_eq!(field(1.0, 1, 1.0), "confidence");
    assert_eq!(field(1.0, u64::MAX, 0.9), "failures");
}

#[test]
fn without_time_and_failures_nothing_is_claimed() {
    let m = mtbf(0.0, 0, 0.9, Termination::Time, Divisor::EventsPlusOne).unwrap();
    assert_eq!((m.mtbf_h, m.lower_h, m.one_sided_lower_h), (None, None, None));
}
