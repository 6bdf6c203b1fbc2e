//! Line charts as inline SVG, without scripts or fonts; colours come from the page's style.

use std::fmt::Write as _;

/// Size of the drawing, and of its margins.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 40.0;

/// A chart of one or more series over a common axis.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// The title of the horizontal axis, and its marks.
    pub(super) across: &'a str,
    pub(super) marks: Vec<(f64, String)>,
    /// Whether the vertical axis is logarithmic.
    pub(super) log: bool,
    /// Formats a value of the vertical axis.
    pub(super) unit: fn(f64) -> String,
    pub(super) series: Vec<(&'a str, Vec<(f64, f64)>)>,
}

impl Chart<'_> {
    /// The chart as a `<figure>`; with a sentence instead of the drawing if there are too few values.
    pub(super) fn draw(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let positive = || points().map(|p| p.1).filter(|y| *y > 0.0);
        let top = positive().fold(f64::MIN, f64::max);
        if points().count() < 2 || top <= 0.0 {
            return format!(
                "<figure><figcaption>{}</figcaption><p>Nothing to draw: too few values.</p></figure>",
                self.title
            );
        }
        let low = if self.log { positive().fold(f64::MAX, f64::min) } else { 0.0 };
        let scale = Scale {
            x: bounds(points().map(|p| p.0)),
            y: if self.log {
                (low.log10().floor(), top.log10().ceil().max(low.log10().floor() + 1.0))
            } else {
                (0.0, nice(top))
            },
            log: self.log,
        };
        let mut out = format!("<figure><figcaption>{}</figcaption>", self.title);
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" behavior=\"img\" aria-label=\"{}\">",
            self.title
        );
        self.axes(&scale, &mut out);
        for (number, (_, points)) in self.series.iter().enumerate() {
            let path: Vec<String> = points
                .iter()
                .filter(|(_, y)| !self.log || *y > 0.0)
                .map(|(x, y)| format!("{:.1},{:.1}", scale.across(*x), scale.up(*y)))
                .collect();
            let _ = write!(out, "<polyline class=\"s{number}\" points=\"{}\"/>", path.join(" "));
        }
        out.push_str("</svg><p class=\"legend\">");
        for (number, (name, _)) in self.series.iter().enumerate() {
            let _ = write!(out, "<span class=\"k{number}\">{name}</span> ");
        }
        out.push_str("</p></figure>");
        out
    }

    fn axes(&self, scale: &Scale, out: &mut String) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for step in scale.steps() {
            let y = scale.up(step);
            let text = (self.unit)(step);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        for (x, text) in &self.marks {
            let x = scale.across(*x);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{floor}\"/>\
                 <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                floor + 16.0
            );
        }
        let _ = write!(
            out,
            "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 6.0,
            self.across
        );
    }
}

struct Scale {
    x: (f64, f64),
    /// Powers of ten when logarithmic.
    y: (f64, f64),
    log: bool,
}

impl Scale {
    fn across(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        let y = if self.log { y.log10() } else { y };
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn steps(&self) -> Vec<f64> {
        if self.log {
            (self.y.0 as i32..=self.y.1 as i32).map(|power| 10f64.powi(power)).collect()
        } else {
            (0..=4).map(|quarter| self.y.1 * f64::from(quarter) / 4.0).collect()
        }
    }
}

/// About eight marks at round numbers from 0 to `to`.
pub(super) fn marks(to: f64, unit: &str) -> Vec<(f64, String)> {
    let step = nice(to / 8.0).max(f64::MIN_POSITIVE);
    let count = (to / step) as u32;
    let write = |x: f64| if step < 1.0 { format!("{x:.1}{unit}") } else { format!("{x:.0}{unit}") };
    (0..=count).map(|n| f64::from(n) * step).map(|x| (x, write(x))).collect()
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least `value`.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let digits = [1.0, 2.0, 2.5, 5.0, 10.0];
    digits.iter().map(|d| d * power).find(|n| *n >= value).unwrap_or(value)
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    if high > low { (low, high) } else { (low, low + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(nice(0.83), 1.0);
        assert_eq!(nice(230.0), 250.0);
        assert_eq!(marks(10.0, " s").len(), 6);
    }

    #[test]
    fn points_stay_inside_the_drawing() {
        let points = (0..100).map(|i| (f64::from(i), 10f64.powi(i % 7))).collect();
        let chart = Chart {
            title: "t",
            across: "x",
            marks: marks(99.0, ""),
            log: true,
            unit: |v| format!("{v}"),
            series: vec![("a", points)],
        };
        let svg = chart.draw();
        let path = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for pair in path.split(' ') {
            let (x, y) = pair.split_once(',').unwrap();
            assert!((0.0..=WIDTH).contains(&x.parse().unwrap()), "{pair}");
            assert!((0.0..=HEIGHT).contains(&y.parse().unwrap()), "{pair}");
        }
    }
}
