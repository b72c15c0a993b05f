//! Plots: one file for each operation, time by size, both in powers.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::results::{OURS, OURS_CONFINED, Results};

fn draw(results: &Results, section: &str, operation: &str, folder: &Path) -> Result<()> {
    let name: String = operation.chars().filter(|letter| !",+".contains(*letter)).collect();
    let path = folder.join(format!("{section}-{}.svg", name.split_whitespace().collect::<Vec<_>>().join("-")));
    let cells: Vec<_> = results.figures.iter().filter(|figure| figure.section == section && figure.operation == operation).collect();
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high): (f64, f64), value| (low.min(value), high.max(value)))
    };
    let (narrow, wide) = bounds(&mut cells.iter().map(|figure| figure.size as f64));
    let (low, high) = bounds(&mut cells.iter().map(|figure| figure.value));
    let root = SVGBackend::new(&path, (900, 560)).into_drawing_area();
    let failed = |error: String| anyhow!("cannot draw `{}`: {error}", path.display());
    root.fill(&WHITE).map_err(|error| failed(error.to_string()))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{operation} (ns, by size)"), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d((narrow * 0.9..wide * 1.1).log_scale(), (low * 0.8..high * 1.25).log_scale())
        .map_err(|error| failed(error.to_string()))?;
    chart.configure_mesh().x_desc("variables").y_desc("ns").draw().map_err(|error| failed(error.to_string()))?;
    for (at, contender) in results.distinct(section, |figure| figure.contender.clone()).iter().enumerate() {
        let points: Vec<_> =
            cells.iter().filter(|figure| figure.contender == *contender).map(|figure| (figure.size as f64, figure.value)).collect();
        if points.is_empty() {
            continue;
        }
        let ours = [OURS, OURS_CONFINED].contains(&&**contender);
        let style = if ours { BLACK.stroke_width(3) } else { Palette99::pick(at).stroke_width(1) };
        let series = LineSeries::new(points, style).point_size(if ours { 4 } else { 2 });
        let drawn = chart.draw_series(series).map_err(|error| failed(error.to_string()))?;
        drawn.label(contender.clone()).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(|error| failed(error.to_string()))?;
    root.present().map_err(|error| failed(error.to_string()))
}

/// Draws every operation of contexts and maps into a folder, which is made where it is missing.
///
/// # Errors
///
/// Where a file cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for section in ["context", "map"] {
        for operation in results.distinct(section, |figure| figure.operation.clone()) {
            draw(results, section, &operation, folder)?;
        }
    }
    Ok(())
}
