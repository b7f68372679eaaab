//! Predicted against true remaining life, as SVG: a point a unit, its interval as a line, and the diagonal where a prediction is right.

use std::fmt::Write as _;

/// One unit.
pub struct Point {
    pub truth: f64,
    pub predicted: f64,
    pub lower: f64,
    pub upper: f64,
}

const SIZE: f64 = 600.0;
const MARGIN: f64 = 60.0;

/// The picture. `title` must hold no markup.
pub fn svg(title: &str, points: &[Point]) -> String {
    let most = points.iter().map(|p| p.truth.max(p.predicted)).fold(50.0, f64::max);
    let most = (most / 50.0).ceil() * 50.0;
    let place = |v: f64| MARGIN + v.min(most) / most * SIZE;
    let (x, y) = (place, |v: f64| 2.0 * MARGIN + SIZE - place(v));
    let whole = SIZE + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole} {whole}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"30\" font-size=\"18\">{title}</text>\n\
         <path d=\"M{0} {1}L{2} {3}\" stroke=\"#999\" stroke-dasharray=\"4\"/>\n\
         <text x=\"{4}\" y=\"{5}\" text-anchor=\"middle\">true remaining cycles</text>\n\
         <text x=\"16\" y=\"{4}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {4})\">predicted remaining cycles</text>\n",
        x(0.0),
        y(0.0),
        x(most),
        y(most),
        whole / 2.0,
        whole - 12.0,
    );
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing into a String can't fail.
        let _ = svg.write_fmt(text);
    };
    for step in 0..=(most / 50.0) as u32 {
        let v = f64::from(step) * 50.0;
        put(format_args!("<path d=\"M{0} {1}H{2}M{3} {4}V{5}\" stroke=\"#eee\"/>\n", x(0.0), y(v), x(most), x(v), y(0.0), y(most)));
        put(format_args!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{v}</text>\n", x(v), y(0.0) + 20.0));
        put(format_args!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{v}</text>\n", x(0.0) - 8.0, y(v) + 5.0));
    }
    for p in points {
        let (at, low, high) = (x(p.truth), y(p.lower), y(p.upper));
        put(format_args!("<path d=\"M{at:.1} {low:.1}V{high:.1}\" stroke=\"#8ab\" stroke-opacity=\"0.5\"/>\n"));
    }
    for p in points {
        put(format_args!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"#05a\"/>\n", x(p.truth), y(p.predicted)));
    }
    svg.push_str("</svg>\n");
    svg
}
