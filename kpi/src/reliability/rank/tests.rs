//! Median ranks and regressions against published numbers.

use proptest::prelude::*;

use super::*;

const SIX: [f64; 6] = [16.0, 34.0, 53.0, 75.0, 93.0, 120.0];

fn six() -> Sample {
    Sample::new(&SIX, &[]).unwrap()
}

fn near(found: f64, wanted: f64, relative: f64) {
    assert!((found / wanted - 1.0).abs() < relative, "{found} is not {wanted}");
}

/// ReliaWiki, "2P Weibull Distribution RRY" example: table of ln t, F, y.
#[test]
fn reliawiki_weibull_6units_complete_median_ranks_and_sums() {
    let points = points(&six(), Ranks::Exact);
    let computed = [
        0.109_101_281_859_660_68,
        0.264_449_983_295_660_05,
        0.421_407_190_690_713_03,
        0.578_592_809_309_286_9,
        0.735_550_016_704_34,
        0.890_898_718_140_339_3,
    ];
    let published = [0.1091, 0.2645, 0.4214, 0.5786, 0.7355, 0.8909];
    for ((point, wanted), rounded) in points.iter().zip(computed).zip(published) {
        near(point.median_rank, wanted, 1e-10);
        assert!((point.median_rank - rounded).abs() <= 6e-5);
    }
    let xy: Vec<(f64, f64)> = points.iter().map(|p| (p.age_h.ln(), (-(1.0 - p.median_rank).ln()).ln())).collect();
    let sum = |f: fn(&(f64, f64)) -> f64| xy.iter().map(f).sum::<f64>();
    near(sum(|p| p.0), 23.906_820_509_879_676, 1e-9);
    near(sum(|p| p.1), -3.007_032_713_362_584_7, 1e-9);
    near(sum(|p| p.0 * p.0), 97.990_923_614_146_52, 1e-9);
    near(sum(|p| p.1 * p.1), 7.150_722_837_490_294, 1e-9);
    near(sum(|p| p.0 * p.1), -8.070_016_558_777_418, 1e-9);
    // As published, rounded on the way there.
    for (found, published) in [(sum(|p| p.0), 23.9068), (sum(|p| p.1), -3.007), (sum(|p| p.0 * p.1), -8.0699)] {
        assert!((found - published).abs() < 3e-4, "{found} {published}");
    }
}

#[test]
fn reliawiki_weibull_6units_complete_regressions_with_exact_ranks() {
    let fit = fit(&six(), Ranks::Exact).unwrap();
    near(fit.on_y.beta, 1.430_179_349_959_967, 1e-9);
    near(fit.on_y.eta_h, 76.317_032_795_028_77, 1e-9);
    near(fit.on_x.beta, 1.442_874_612_299_933_4, 1e-9);
    near(fit.on_x.eta_h, 76.082_090_278_969_05, 1e-9);
    near(fit.on_y.correlation, 0.995_590_985_223_336_3, 1e-9);
}

#[test]
fn reliawiki_weibull_6units_complete_regressions_with_benards_ranks() {
    let fit = fit(&six(), Ranks::Benard).unwrap();
    near(fit.on_y.beta, 1.426_967_110_604_191_7, 1e-10);
    near(fit.on_y.eta_h, 76.345_415_455_443_39, 1e-10);
    near(fit.on_x.beta, 1.439_663_276_794_053, 1e-10);
    near(fit.on_x.eta_h, 76.109_595_790_962_2, 1e-10);
}

/// Adjusted ranks by hand; ranks and regressions from scipy's inverse incomplete beta function.
#[test]
fn censored_units_shift_the_ranks_that_follow() {
    let sample = Sample::new(&[50.0, 80.0, 110.0, 150.0], &[60.0, 100.0, 200.0, 200.0]).unwrap();
    let fit = fit(&sample, Ranks::Exact).unwrap();
    let wanted = [
        (1.0, 0.082_995_956_795_328_77),
        (2.142_857_142_857_143, 0.218_154_695_327_607_06),
        (3.514_285_714_285_714_2, 0.382_031_971_092_634_87),
        (4.885_714_285_714_286, 0.546_166_598_362_266_8),
    ];
    for (point, (rank, median)) in fit.points.iter().zip(wanted) {
        near(point.adjusted_rank, rank, 1e-12);
        near(point.median_rank, median, 1e-9);
    }
    near(fit.on_y.beta, 2.032_847_634_596_451, 1e-9);
    near(fit.on_y.eta_h, 162.947_496_193_470_9, 1e-9);
    near(fit.on_x.beta, 2.042_545_194_138_236, 1e-9);
    near(fit.on_x.eta_h, 162.490_039_348_203_82, 1e-9);
}

/// 6-MP trial, three failures tied at 6 with ranks of their own; scipy.
#[test]
fn tied_failures_keep_ranks_of_their_own() {
    let sample = Sample::new(
        &[6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0],
        &[6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0],
    )
    .unwrap();
    let fit = fit(&sample, Ranks::Exact).unwrap();
    near(fit.on_y.beta, 1.583_774_229_467_145, 1e-9);
    near(fit.on_x.beta, 1.978_039_276_580_697, 1e-9);
    near(fit.points[8].adjusted_rank, 11.323_918_269_230_768, 1e-12);
}

#[test]
fn samples_without_a_line_say_why() {
    let of = |f: &[f64], c: &[f64]| fit(&Sample::new(f, c).unwrap(), Ranks::Exact).err();
    assert_eq!(of(&[], &[10.0]), Some(FitError::NoFailures));
    assert_eq!(of(&[10.0], &[20.0]), Some(FitError::OneFailure));
    assert_eq!(of(&[10.0, 10.0], &[20.0]), Some(FitError::NoSpread));
}

#[test]
fn ranks_that_cannot_be_have_no_median() {
    assert_eq!(median_rank(0.0, 5, Ranks::Exact), None);
    assert_eq!(median_rank(6.0, 5, Ranks::Exact), None);
    assert_eq!(median_rank(f64::NAN, 5, Ranks::Benard), None);
}

#[test]
fn a_thousand_failures_are_still_exact_and_more_are_benards() {
    let ages: Vec<f64> = (1..=MAX_EXACT + 1).map(|i| i as f64).collect();
    assert_eq!(fit(&Sample::new(&ages[1..], &[]).unwrap(), Ranks::Exact).unwrap().ranks, Ranks::Exact);
    assert_eq!(fit(&Sample::new(&ages, &[]).unwrap(), Ranks::Exact).unwrap().ranks, Ranks::Benard);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn median_ranks_rise_and_mirror(n in 2_usize..60) {
        let ranks: Vec<f64> = (1..=n).map(|j| median_rank(j as f64, n, Ranks::Exact).unwrap()).collect();
        prop_assert!(ranks.windows(2).all(|w| w[0] < w[1]));
        for j in 0..n {
            prop_assert!((ranks[j] + ranks[n - 1 - j] - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn times_multiplied_give_the_same_shape(f in prop::collection::vec(1.0..500.0_f64, 3..20), by in 1e-3..1e3_f64) {
        let one = fit(&Sample::new(&f, &[]).unwrap(), Ranks::Exact).unwrap();
        let other = fit(&Sample::new(&f.iter().map(|t| t * by).collect::<Vec<_>>(), &[]).unwrap(), Ranks::Exact).unwrap();
        near(other.on_x.beta, one.on_x.beta, 1e-7);
        near(other.on_y.eta_h, one.on_y.eta_h * by, 1e-7);
    }
}
