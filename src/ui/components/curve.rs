//! Curves over time, such as power, energy and state of charge of a session. Where nothing was measured for
//! long, a curve has a gap.

use std::time::Duration;

use maud::{Markup, html};

use vocabulary::clock::Timestamp;

/// The size of the drawing.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 190.0;

/// Where the plot is in it. The labels of its scale stand on the rules: so a phone can write them larger.
const LEFT: f64 = 2.0;
const RIGHT: f64 = 638.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 162.0;

/// A curve that is shorter has seconds at its ends.
const SECONDS_BELOW: Duration = Duration::from_secs(10 * 60);

/// A gap is so many usual intervals long.
const GAP_INTERVALS: u32 = 3;

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) enum Line {
    /// A line with an area below it, and the axis at the left.
    Main,
    /// A line of its own scale.
    Second,
    /// A dashed line of its own scale.
    Dashed,
}

/// A curve.
pub(in crate::ui) struct Curve<'a> {
    pub(in crate::ui) name: &'a str,
    pub(in crate::ui) line: Line,
    /// In order of time.
    pub(in crate::ui) points: &'a [(Timestamp, f64)],
    /// The value at the top of the scale; none: a round one above the largest.
    pub(in crate::ui) top: Option<f64>,
    /// How a value is written, with its unit.
    pub(in crate::ui) write: fn(f64) -> String,
}

/// Draws curves over the time from `begin` to `end`. `label` says in words what there is to see.
pub(in crate::ui) fn curves(label: &str, begin: Timestamp, end: Timestamp, all: &[Curve<'_>]) -> Markup {
    let x = |at: Timestamp| {
        let whole = end.since(begin).as_secs_f64().max(0.001);
        LEFT + (RIGHT - LEFT) * (at.since(begin).as_secs_f64() / whole).min(1.0)
    };
    html! {
        svg.curves viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width="100%" role="img" aria-label=(label) {
            path.axis d=(rules()) {}
            @for curve in all {
                @let top = curve.top.unwrap_or_else(|| round_up(largest(curve.points)));
                @let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (value.max(0.0) / top).min(1.0);
                @let pieces = pieces(curve.points);
                @if curve.line == Line::Main {
                    @for piece in &pieces { path.area d=(area(piece, &x, &y)) {} }
                }
                @for piece in &pieces { path class=(class(curve.line)) d=(path(piece, &x, &y)) {} }
                @if curve.line == Line::Main {
                    @for value in [top / 2.0, top] {
                        @let height = format!("{:.1}", y(value) - 5.0);
                        text.scale x=(LEFT) y=(height) { ((curve.write)(value)) }
                    }
                }
            }
            @for (at, anchor) in [(begin, "start"), (middle(begin, end), "middle"), (end, "end")] {
                text x=(format!("{:.1}", x(at))) y=(BOTTOM + 20.0) text-anchor=(anchor) { (label_of(at, end.since(begin))) }
            }
        }
        ul.legend {
            @for curve in all {
                @if let Some((_, last)) = curve.points.last() {
                    li {
                        span class={ "line-key " (class(curve.line)) } {}
                        (curve.name) " " b { ((curve.write)(*last)) }
                    }
                }
            }
        }
    }
}

/// A small curve without axes, from `begin` to `end`; `label` says what it shows.
pub(in crate::ui) fn spark(label: &str, begin: Timestamp, end: Timestamp, curve: &Curve<'_>) -> Markup {
    const SPARK: (f64, f64) = (300.0, 44.0);
    let (width, height) = SPARK;
    let (largest, whole) = (largest(curve.points), end.since(begin).as_secs_f64().max(1.0));
    let top = curve.top.unwrap_or(largest).max(1.0);
    let x = |at: Timestamp| width * (at.since(begin).as_secs_f64() / whole).min(1.0);
    let y = |value: f64| height - 2.0 - (height - 4.0) * (value.max(0.0) / top).min(1.0);
    let words = format!("{label}, at most {}", (curve.write)(largest));
    html! {
        svg.spark viewBox={ "0 0 " (width) " " (height) } width="100%" height=(height) preserveAspectRatio="none" role="img" aria-label=(words) {
            @for piece in pieces(curve.points) { path class=(class(curve.line)) d=(path(piece, &x, &y)) {} }
        }
    }
}

fn class(line: Line) -> &'static str {
    match line {
        Line::Main => "curve",
        Line::Second => "curve second",
        Line::Dashed => "curve dashed",
    }
}

/// The horizontal rules of the scale.
fn rules() -> String {
    let heights = [BOTTOM, f64::midpoint(BOTTOM, TOP), TOP];
    heights.map(|height| format!("M{LEFT} {height:.1}H{RIGHT}")).concat()
}

fn largest(points: &[(Timestamp, f64)]) -> f64 {
    points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

/// The next of a few steps, times a power of ten. Half of each is short, too.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * unit).find(|step| *step >= value).unwrap_or(10.0 * unit)
}

/// The points between gaps.
fn pieces(points: &[(Timestamp, f64)]) -> Vec<&[(Timestamp, f64)]> {
    let mut intervals: Vec<Duration> = points.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    intervals.sort_unstable();
    let usual = intervals.get(intervals.len() / 2).copied().unwrap_or_default();
    let longest = (usual * GAP_INTERVALS).max(Duration::from_secs(1));
    points.chunk_by(|one, next| next.0.since(one.0) <= longest).collect()
}

/// Where a time or a value stands in the drawing.
type Place<'a, T> = &'a dyn Fn(T) -> f64;

fn path(piece: &[(Timestamp, f64)], x: Place<'_, Timestamp>, y: Place<'_, f64>) -> String {
    let points = piece.iter().map(|(at, value)| format!("{:.1} {:.1}", x(*at), y(*value)));
    let line = format!("M{}", points.collect::<Vec<_>>().join("L"));
    // A single point has no length: a dot is drawn of it.
    if piece.len() == 1 { format!("{line}h0") } else { line }
}

fn area(piece: &[(Timestamp, f64)], x: Place<'_, Timestamp>, y: Place<'_, f64>) -> String {
    match (piece.first(), piece.last()) {
        (Some((first, _)), Some((last, _))) => {
            format!("{}L{:.1} {BOTTOM}L{:.1} {BOTTOM}Z", path(piece, x, y), x(*last), x(*first))
        }
        _ => String::new(),
    }
}

fn middle(begin: Timestamp, end: Timestamp) -> Timestamp {
    begin.after(end.since(begin) / 2)
}

/// The hour and the minute of a time; its second too where all of the curve lasts only minutes.
fn label_of(at: Timestamp, whole: Duration) -> String {
    let end = if whole < SECONDS_BELOW { 19 } else { 16 };
    at.to_string().get(11..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::components::units;

    #[test]
    fn a_curve_has_a_gap_where_nothing_was_measured() {
        let begin = Timestamp::from_unix_ms(1_776_170_096_789);
        let at = |minutes: u64| begin.after(Duration::from_secs(60 * minutes));
        let points: Vec<_> = [0, 1, 2, 10, 11].map(|minutes| (at(minutes), 7_000.0)).to_vec();
        assert_eq!(pieces(&points).iter().map(|piece| piece.len()).collect::<Vec<_>>(), [3, 2]);
        assert!(pieces(&[]).is_empty());
        let curve =
            Curve { name: "power", line: Line::Main, points: &points, top: None, write: units::power };
        let drawn = curves("Power, 7.0 kW at most", begin, at(11), &[curve]).into_string();
        assert_eq!(drawn.matches("class=\"area\"").count(), 2);
        assert!(drawn.contains("8.0 kW") && drawn.contains("aria-label=\"Power, 7.0 kW at most\""));
        assert!(!drawn.contains("style="), "no inline styles");
    }

    #[test]
    fn a_scale_ends_in_a_round_number() {
        assert_eq!([0.0, 0.9, 7_000.0, 22_080.0, 100.0].map(round_up), [1.0, 1.0, 8_000.0, 25_000.0, 100.0]);
    }
}
