//! The figures as tables, on the terminal and in `BENCHMARKS.md`.

use std::fmt::Write as _;

use crate::results::{OURS, OURS_CONFINED, Results, geometric_mean};
use crate::{aims, losses, reasons};

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

/// Markdown's rows, padded so that they read well as plain text.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            let _ = if column == 0 { write!(text, "| {cell:<width$} ") } else { write!(text, "| {cell:>width$} ") };
        }
        text.push_str("|\n");
        if at == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(*width);
                let _ = if column == 0 { write!(text, "|-{dashes}-") } else { write!(text, "|-{dashes}:") };
            }
            text.push_str("|\n");
        }
    }
    text
}

/// The table of one section: a row for each operation and size, a column for each contender.
pub fn figures(results: &Results, section: &str) -> String {
    let contenders = results.distinct(section, |figure| figure.contender.clone());
    let mut rows = vec![["operation".to_owned(), "size".to_owned()].into_iter().chain(contenders.iter().cloned()).collect::<Vec<_>>()];
    for operation in results.distinct(section, |figure| figure.operation.clone()) {
        for size in results.distinct(section, |figure| figure.size) {
            let values: Vec<_> = contenders.iter().map(|contender| results.find(section, &operation, size, contender)).collect();
            if values.iter().any(Option::is_some) {
                let cells = values.into_iter().map(|value| value.map_or_else(String::new, number));
                rows.push([operation.clone(), size.to_string()].into_iter().chain(cells).collect());
            }
        }
    }
    table(&rows)
}

/// How many times as long each contender takes as ours: the geometric mean over the sizes.
pub fn ratios(results: &Results, section: &str, ours: &str) -> String {
    let contenders = results.distinct(section, |figure| figure.contender.clone());
    let sizes = results.distinct(section, |figure| figure.size);
    let operations = results.distinct(section, |figure| figure.operation.clone());
    let show = |ratios: &[f64]| geometric_mean(ratios).map_or_else(String::new, |mean| format!("{mean:.2}"));
    let mut all = vec![Vec::new(); contenders.len()];
    let mut rows = vec![std::iter::once(format!("times `{ours}`")).chain(contenders.iter().cloned()).collect::<Vec<_>>()];
    for operation in operations {
        let mut row = vec![operation.clone()];
        for (contender, all) in contenders.iter().zip(&mut all) {
            let found: Vec<_> = sizes.iter().filter_map(|&size| results.ratio(section, &operation, size, [contender, ours])).collect();
            row.push(show(&found));
            all.extend(found);
        }
        rows.push(row);
    }
    rows.push(std::iter::once("geometric mean".to_owned()).chain(all.iter().map(|ratios| show(ratios))).collect());
    table(&rows)
}

/// The table of losses of one section.
fn losses(results: &Results, section: &str) -> String {
    let found = losses::find(results, section);
    if found.is_empty() {
        return "None.\n".to_owned();
    }
    let head = ["operation", "size", "ours", "ahead", "ours / theirs", "reason"].map(str::to_owned).to_vec();
    let rows = found.into_iter().map(|loss| {
        let reason = reasons::number(section, &loss).map_or_else(|| "not looked into".to_owned(), |number| number.to_string());
        vec![loss.operation, loss.size.to_string(), loss.ours, loss.peer, format!("{:.2}", loss.ratio), reason]
    });
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// The tables of ratios and of aims, which end every run.
pub fn summary(results: &Results) -> String {
    let mut text = String::new();
    for section in ["context", "map"] {
        for ours in [OURS, OURS_CONFINED] {
            if results.figures.iter().any(|figure| figure.section == section && figure.contender == ours) {
                let _ = writeln!(text, "\n{}", ratios(results, section, ours));
            }
        }
    }
    let aims = aims::table(results);
    if aims.len() > 1 {
        let _ = writeln!(text, "\n{}", table(&aims));
    }
    text
}

/// The whole of `BENCHMARKS.md`.
pub fn markdown(results: &Results) -> String {
    let environment = &results.environment;
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo bench -p contextvars-bench`, from its last full run. `cargo bench -p contextvars-bench -- --quick`\ntakes less than three minutes and writes nothing. Figures differ between machines; the ratios hold better,\nbut for those between who counts atomically and who does not.\n\n",
    );
    let _ = writeln!(text, "- processor: {} × {}", environment.processors, environment.processor);
    let _ = writeln!(text, "- an atomic addition: {} ns", number(environment.atomic_addition));
    let _ = writeln!(text, "- built with: {}", environment.flags);
    for (name, version) in &environment.versions {
        let _ = writeln!(text, "- {name}: {version}");
    }
    text.push_str(include_str!("method.md"));
    let _ = writeln!(
        text,
        "\n## Aims\n\nEach at the size where ours is furthest from it, or at the size that it names. How many times as long as\n`optimized` others take, if nothing else is said; `optimized` is compared with maps that count atomically, as\nit does, and the confined form with all.\n\n{}",
        table(&aims::table(results))
    );
    let parts = [
        ("context", "Contexts", "Nanoseconds an operation, by the number of variables that are bound."),
        ("map", "Maps", "Nanoseconds an operation, by the number of entries."),
        ("memory", "Memory", "Bytes, counted by an allocator; the values themselves are not counted."),
        ("threads", "Threads", "Operations a second; the size is the number of threads."),
    ];
    for (section, title, meaning) in parts {
        let _ = writeln!(text, "\n## {title}\n\n{meaning}\n\n{}", figures(results, section));
        if ["context", "map"].contains(&section) {
            for ours in [OURS, OURS_CONFINED] {
                if results.figures.iter().any(|figure| figure.section == section && figure.contender == ours) {
                    let _ = writeln!(text, "{}", ratios(results, section, ours));
                }
            }
            let _ = writeln!(text, "### Where others are ahead by more than 5 %\n\n{}", losses(results, section));
        }
    }
    text.push_str("\n## Why others are ahead where they are\n\n");
    for (at, (_, reason)) in reasons::REASONS.iter().enumerate() {
        let _ = writeln!(text, "{}. {reason}", at + 1);
    }
    text
}
