//! The picture of a report, as SVG: a panel for each kind of scenario, a colour for each
//! transport. Scales are logarithmic, as a thousand lies between the transports.

use crate::peers::{KERNEL, LIMIT, OURS};
use crate::report::{Placement, Report};
use crate::scenario::Unit;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const SIZE: (u32, u32) = (1280, 1180);
const LEGEND: u32 = 60;
const TITLE: u32 = 50;
const FONT: &str = "sans-serif";

/// A title, what its figures count, and the scenarios with the names under them.
type Panel = (&'static str, Unit, &'static [(&'static str, &'static str)]);

const PANELS: [Panel; 6] = [
    (
        "One sender, one receiver, queues of 1024: M messages/s by message size",
        Unit::Rate,
        &[
            ("throughput 8/1024", "8 B"),
            ("throughput 64/1024", "64 B"),
            ("throughput 256/1024", "256 B"),
            ("throughput 1024/1024", "1 KiB"),
            ("throughput 8192/1024", "8 KiB"),
            ("throughput 65536/1024", "64 KiB"),
        ],
    ),
    (
        "One sender, one receiver, 64 B: M messages/s by depth",
        Unit::Rate,
        &[
            ("throughput 64/10", "depth 10"),
            ("throughput 64/64", "depth 64"),
            ("throughput 64/1024", "depth 1024"),
        ],
    ),
    (
        "Round trip, 64 B: ns, less is better",
        Unit::Time,
        &[
            ("round trip polling", "polling"),
            ("round trip blocking", "blocking"),
            ("round trip after 2 ms of sleep", "after sleep"),
            ("round trip one processor", "one processor"),
        ],
    ),
    (
        "Many senders and receivers, 64 B: M messages/s",
        Unit::Rate,
        &[
            ("contention 2+2/1024", "2+2, 1024"),
            ("contention 4+4/1024", "4+4, 1024"),
            ("contention 2+2/10", "2+2, 10"),
            ("contention 4+4/10", "4+4, 10"),
        ],
    ),
    (
        "Mixed priorities, two processes, 64 B: M messages/s",
        Unit::Rate,
        &[
            ("mixed 1+1 32", "1+1, 32 levels"),
            ("mixed 1+1 32768", "1+1, 32768"),
            ("mixed both ways 32", "both ways, 32"),
            ("mixed both ways 32768", "both ways, 32768"),
        ],
    ),
    (
        "One process, 64 B: ns for a send and a receive, less is better",
        Unit::Time,
        &[
            ("one process pair", "one priority"),
            ("mixed hold 32768", "half full, 32768"),
            ("mixed bursts 32768", "bursts, 32768"),
        ],
    ),
];

/// Ours is the strong one; the bare rings, which are no queues, are pale.
fn colour(peer: &str) -> RGBColor {
    match peer {
        OURS => RGBColor(200, 30, 30),
        KERNEL => RGBColor(40, 40, 40),
        "sysv" => RGBColor(125, 125, 125),
        "pipe" => RGBColor(30, 110, 180),
        "seqpacket" => RGBColor(120, 175, 220),
        "boost" => RGBColor(40, 140, 70),
        "zeromq" => RGBColor(150, 90, 170),
        "iceoryx2" => RGBColor(225, 140, 30),
        LIMIT => RGBColor(205, 190, 120),
        "vyukov spin" => RGBColor(225, 215, 165),
        _ => RGBColor(215, 215, 215),
    }
}

/// Draw it into a file: the placement of which there are more samples.
pub fn draw(report: &Report, file: &Path) -> Result<(), Box<dyn Error>> {
    let placement = report.usual_placement();
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("mqueue_rs beside other transports; {}", report.circumstances(placement));
    root.draw(&Text::new(title, (20, 18), (FONT, 20)))?;
    let (panels, legend) = root.margin(TITLE, 0, 0, 0).split_vertically(SIZE.1 - TITLE - LEGEND);
    for (area, panel) in panels.split_evenly((3, 2)).iter().zip(&PANELS) {
        draw_panel(report, placement, area, panel)?;
    }
    for (index, peer) in report.peers().iter().enumerate() {
        let (x, y) = (20 + (index as i32 % 11) * 114, 22);
        legend.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], colour(peer).filled()))?;
        legend.draw(&Text::new(*peer, (x + 20, y), (FONT, 15)))?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(
    report: &Report,
    placement: Placement,
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    (title, unit, scenarios): &Panel,
) -> Result<(), Box<dyn Error>> {
    let value = |title: &str, peer: &str| {
        let index = report.scenarios.iter().position(|other| other.title() == title)?;
        let cell = report.cell(index, peer, placement)?;
        (cell.typical > 0.0).then_some(cell.typical)
    };
    let values = || {
        let of = |(title, _): &(&'static str, _)| {
            report.peers().iter().filter_map(|peer| value(title, peer)).collect::<Vec<f64>>()
        };
        scenarios.iter().flat_map(of)
    };
    // Whole powers of ten; what is a hundred thousand times smaller than the largest would
    // only press the others together.
    let (Some(least), Some(most)) = (values().reduce(f64::min), values().reduce(f64::max)) else {
        return Ok(());
    };
    let top = 10f64.powf(most.log10().ceil());
    let bottom = 10f64.powf(least.log10().floor()).max(top / 1e5);

    let count = scenarios.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 16))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.5..count - 0.5, (bottom..top).log_scale())?;
    let name = |x: &f64| {
        let is_middle = (x - x.round()).abs() < 1e-6;
        let scenario = scenarios.get(x.round().max(0.0) as usize).filter(|_| is_middle);
        scenario.map_or_else(String::new, |(_, name)| (*name).to_owned())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE.mix(0.0))
        .x_labels(scenarios.len() + 1)
        .x_label_formatter(&name)
        .y_label_formatter(&|y| if *unit == Unit::Time { format!("{y:.0}") } else { y.to_string() })
        .label_style((FONT, 13))
        .draw()?;
    // Bars side by side in the middle four fifths of each scenario's place.
    let width = 0.8 / report.peers().len() as f64;
    for (place, (title, _)) in scenarios.iter().enumerate() {
        for (index, peer) in report.peers().iter().enumerate() {
            let Some(value) = value(title, peer) else { continue };
            let left = place as f64 - 0.4 + index as f64 * width;
            let bar =
                Rectangle::new([(left, bottom), (left + width, value)], colour(peer).filled());
            chart.draw_series([bar])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_belongs_to_a_scenario() {
        let scenarios = crate::scenario::all();

        for (_, unit, bars) in PANELS {
            for (bar, _) in bars {
                let scenario = scenarios.iter().find(|scenario| scenario.title() == *bar);
                assert!(scenario.is_some_and(|scenario| scenario.unit == unit), "{bar}");
            }
        }
    }
}
