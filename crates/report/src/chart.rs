//! Bars as SVG. Their numbers stand in the table that follows them, so they have axes and labels, and nothing else.

use plotters::prelude::*;

/// A page turns it into its own color of text, light or dark (form/html.rs).
const INK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);

/// Seen well enough on white and on black.
const BAR: RGBColor = RGBColor(0x2f, 0x7d, 0xc8);

const WIDTH: u32 = 720;
const BAR_HEIGHT: u32 = 34;
const MARGINS: u32 = 60;

/// Characters of a label that fit beside the bars.
const LABEL_MAX: usize = 32;

/// Marks on the axis of values, where all are whole: none lies between two of a few.
const MARKS_MAX: f64 = 10.0;

/// More would be no picture.
const BARS_MAX: usize = 40;

/// A bar for each label, in their order from top to bottom. `None`: there is nothing to draw.
pub fn bars(bars: &[(String, f64)], unit: &str) -> Option<String> {
    let bars = &bars[..bars.len().min(BARS_MAX)];
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if bars.is_empty() || !most.is_finite() {
        return None;
    }
    let mut svg = String::new();
    draw(&mut svg, bars, if most > 0.0 { most } else { 1.0 }, unit).ok()?;
    Some(svg)
}

type Drawn<'s> = Result<(), DrawingAreaErrorKind<<SVGBackend<'s> as DrawingBackend>::ErrorType>>;

fn draw<'s>(svg: &'s mut String, bars: &[(String, f64)], most: f64, unit: &str) -> Drawn<'s> {
    let count = bars.len() as i32;
    // A segment for each from the first to this one; plotters can't draw a single one.
    let last = (count - 1).max(1);
    let height = BAR_HEIGHT * bars.len() as u32 + MARGINS;
    let area = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(260)
        .build_cartesian_2d(0.0..most * 1.05, (0..last).into_segmented())?;
    let label = |at: &SegmentValue<i32>| match at {
        SegmentValue::CenterOf(at) => shortened(bars, count - 1 - at),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK)
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 14).into_font().color(&INK))
        .x_desc(unit)
        .x_labels(marks(bars, most))
        .x_label_formatter(&|value| format!("{value}"))
        .y_labels(bars.len())
        .y_label_formatter(&label)
        .draw()?;
    chart.draw_series((0..count).zip(bars.iter().rev()).map(|(at, (_, value))| {
        let end = if at == last { SegmentValue::Last } else { SegmentValue::Exact(at + 1) };
        let corners = [(0.0, SegmentValue::Exact(at)), (*value, end)];
        let mut bar = Rectangle::new(corners, BAR.filled());
        bar.set_margin(5, 5, 0, 0);
        bar
    }))?;
    area.present()
}

fn marks(bars: &[(String, f64)], most: f64) -> usize {
    let is_whole = bars.iter().all(|(_, value)| value.fract() == 0.0);
    let marks = if is_whole { most.min(MARKS_MAX) } else { MARKS_MAX };
    marks as usize + 1
}

fn shortened(bars: &[(String, f64)], at: i32) -> String {
    let label = usize::try_from(at).ok().and_then(|at| bars.get(at)).map_or("", |it| it.0.as_str());
    if label.chars().count() <= LABEL_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_a_bar_as_long_as_its_value() {
        let svg = bars(&[("first".into(), 50.0), ("<second>".into(), 100.0)], "per cent").unwrap();
        for expected in ["first", "&lt;second&gt;", "per cent", "#1A1A1A"] {
            assert!(svg.contains(expected), "{expected}: {svg}");
        }
        let drawn =
            svg.lines().filter(|line| line.starts_with("<rect") && line.contains("#2F7DC8"));
        let sizes: Vec<(f64, f64)> =
            drawn.map(|line| (number(line, "width"), number(line, "height"))).collect();
        let [(longer, height), (shorter, other)] = sizes[..] else { panic!("two bars: {svg}") };
        assert!((longer / shorter - 2.0).abs() < 0.05, "{sizes:?}");
        assert!((height - other).abs() <= 1.0, "{sizes:?}");
    }

    fn number(line: &str, name: &str) -> f64 {
        let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn people_are_counted_in_whole_numbers() {
        let svg = bars(&[("one".into(), 1.0), ("two".into(), 2.0)], "subjects").unwrap();
        let marks: Vec<&str> = svg.lines().filter(|it| it.parse::<f64>().is_ok()).collect();
        assert_eq!(marks, ["0", "1", "2"], "{svg}");
        let svg = bars(&[("share".into(), 0.25)], "per cent").unwrap();
        assert!(svg.lines().any(|it| it == "0.1"), "{svg}");
    }

    #[test]
    fn nothing_gives_no_picture_and_zeros_an_empty_one() {
        assert_eq!(bars(&[], "x"), None);
        assert!(bars(&[("a".into(), 0.0)], "x").is_some());
        assert!(bars(&[("a".into(), 3.0)], "x").unwrap().contains("#2F7DC8"));
        assert_eq!(bars(&[("a".into(), f64::INFINITY)], "x"), None);
    }
}
