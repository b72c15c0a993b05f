//! What the bench is to show, and whether a run shows it.

use crate::losses::is_confined;
use crate::results::{BOUNDS, OURS, OURS_CONFINED, Results, geometric_mean};
use crate::threads::{MACHINE, SHARE_NOTHING};

/// Whom ours is compared with.
#[derive(Clone, Copy, PartialEq)]
enum Rival {
    /// CPython, whose counts are not atomic.
    CPython,
    /// The best of the persistent maps; `optimized`, which counts atomically, is compared with those that do.
    Persistent,
    /// As `Persistent`, with the standard maps that are cloned as a whole.
    AnyMap,
    /// One of the persistent maps.
    Imbl,
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::CPython => "CPython",
            Self::Persistent => "the best persistent map",
            Self::AnyMap => "the best map",
            Self::Imbl => "imbl",
        }
    }

    fn includes(self, contender: &str, ours: &str) -> bool {
        let counts_alike = ours == OURS_CONFINED || !is_confined(contender);
        let is_ours = [OURS, OURS_CONFINED].contains(&contender);
        let is_persistent = contender == "im" || contender.starts_with("imbl") || contender.starts_with("rpds");
        match self {
            Self::CPython => contender.starts_with("CPython"),
            Self::Persistent => is_persistent && counts_alike,
            Self::AnyMap => !is_ours && !contender.starts_with("CPython") && !BOUNDS.contains(&contender) && counts_alike,
            Self::Imbl => contender == "imbl",
        }
    }
}

/// Sizes at which a factor is wanted.
enum At {
    /// These, each with its factor.
    Sizes(&'static [(usize, f64)]),
    /// All that were measured.
    Every(f64),
}

/// How many times as long as ours the rivals should take for an operation.
const SPEED: [(&str, Rival, At); 11] = [
    ("task spawn", Rival::CPython, At::Sizes(&[(2, 3.0), (8, 4.0), (32, 5.0)])),
    ("task spawn", Rival::Persistent, At::Sizes(&[(2, 1.5), (8, 2.0), (32, 3.0)])),
    ("get", Rival::CPython, At::Every(1.0)),
    ("enter + get each + exit, a get", Rival::CPython, At::Every(3.0)),
    ("get each, two threads in turn", Rival::CPython, At::Every(3.0)),
    ("set", Rival::CPython, At::Every(3.0)),
    ("set + reset", Rival::CPython, At::Every(3.0)),
    ("copy + enter + set + exit", Rival::CPython, At::Every(1.0)),
    ("copy + enter + set + exit", Rival::Persistent, At::Sizes(&[(8, 3.0), (32, 6.0), (1024, 10.0)])),
    ("copy + drop", Rival::CPython, At::Every(1.0)),
    ("iterate, an entry", Rival::Imbl, At::Every(3.0)),
];

/// What our memory should be at most, in bytes, from a size on.
const MEMORY: [(&str, usize, f64); 4] = [
    ("bytes an entry", 8, 24.0),
    ("bytes of a changed copy", 0, 160.0),
    ("bytes of a changed context", 0, 160.0),
    ("bytes of an empty context", 0, 64.0),
];

/// What the best map may take of our time in any cell: ours is not slower by more than five per cent.
const CELL: f64 = 0.95;
/// By how much ours should be ahead of every peer in the geometric mean of all cells.
const MEAN: f64 = 2.0;
/// How many times as much two threads should read as one where two that share nothing do twice as much: 1.9, as a
/// part of what the machine gives.
const TWO_READERS: f64 = 1.9 / 2.0;
/// By how many atomic additions entering and exiting may take longer than in CPython, which counts plainly.
const ADDITIONS: f64 = 2.0;

/// What one form of ours reaches, and where: at the size where it is furthest from what is wanted.
struct Reached {
    value: f64,
    at: String,
}

/// One aim.
struct Aim {
    subject: String,
    wanted: f64,
    /// Whether less is better.
    at_most: bool,
    /// What `optimized` and its confined form reach, where that was measured and is asked for.
    reached: [Option<Reached>; 2],
}

/// How long ours takes, and how long the fastest rival.
fn times(results: &Results, operation: &str, size: usize, ours: &str, rival: Rival) -> Option<(f64, f64)> {
    let section = if results.find("context", operation, size, ours).is_some() { "context" } else { "map" };
    let mine = results.find(section, operation, size, ours)?;
    let rivals = results.figures.iter().filter(|figure| {
        figure.section == section && figure.operation == operation && figure.size == size && rival.includes(&figure.contender, ours)
    });
    rivals.map(|figure| figure.value).min_by(f64::total_cmp).map(|fastest| (mine, fastest))
}

/// How many times as long as ours the fastest rival takes.
fn ratio(results: &Results, operation: &str, size: usize, ours: &str, rival: Rival) -> Option<f64> {
    times(results, operation, size, ours, rival).map(|(mine, fastest)| fastest / mine)
}

/// The least of some values, with where it is.
fn least(values: impl Iterator<Item = (f64, String)>) -> Option<Reached> {
    values.min_by(|left, right| left.0.total_cmp(&right.0)).map(|(value, at)| Reached { value, at })
}

/// The greatest of some values, with where it is.
fn greatest(values: impl Iterator<Item = (f64, String)>) -> Option<Reached> {
    values.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(value, at)| Reached { value, at })
}

fn speed(results: &Results) -> Vec<Aim> {
    let mut aims = Vec::new();
    for (operation, rival, at) in &SPEED {
        let mut add = |sizes: Vec<usize>, wanted: f64| {
            let reached = [OURS, OURS_CONFINED].map(|ours| {
                least(sizes.iter().filter_map(|&size| Some((ratio(results, operation, size, ours, *rival)?, size.to_string()))))
            });
            aims.push(Aim { subject: format!("{operation}: times {}", rival.name()), wanted, at_most: false, reached });
        };
        match at {
            At::Sizes(wanted) => wanted.iter().for_each(|&(size, wanted)| add(vec![size], wanted)),
            At::Every(wanted) => {
                let sizes = ["context", "map"].iter().flat_map(|section| results.distinct(section, |figure| figure.size));
                add(sizes.collect(), *wanted);
            }
        }
    }
    let entering = |ours: &str| {
        let sizes = results.distinct("context", |figure| figure.size).into_iter();
        greatest(sizes.filter_map(|size| {
            let (mine, theirs) = times(results, "enter + exit", size, ours, Rival::CPython)?;
            Some(((mine - theirs) / results.environment.atomic_addition, size.to_string()))
        }))
    };
    let subject = "enter + exit: longer than CPython, in atomic additions".to_owned();
    aims.push(Aim { subject: subject.clone(), wanted: ADDITIONS, at_most: true, reached: [entering(OURS), None] });
    aims.push(Aim { subject, wanted: 0.0, at_most: true, reached: [None, entering(OURS_CONFINED)] });
    aims
}

fn maps(results: &Results) -> Vec<Aim> {
    let operations = results.distinct("map", |figure| figure.operation.clone());
    let sizes = results.distinct("map", |figure| figure.size);
    let all: Vec<_> = operations.iter().flat_map(|operation| sizes.iter().map(move |&size| (operation, size))).collect();
    let cells = |ours: &'static str, rival: Rival| {
        let cell =
            |&(operation, size): &(&String, usize)| Some((ratio(results, operation, size, ours, rival)?, format!("{operation}, {size}")));
        all.iter().filter_map(cell).collect::<Vec<_>>()
    };
    let part = |cells: &[(f64, String)]| {
        let good = cells.iter().filter(|(ratio, _)| *ratio >= CELL).count();
        (!cells.is_empty()).then(|| Reached { value: good as f64 / cells.len() as f64, at: format!("{good} of {}", cells.len()) })
    };
    let means = [OURS, OURS_CONFINED].map(|ours| {
        let peers = results.distinct("map", |figure| figure.contender.clone()).into_iter();
        least(peers.filter(|peer| Rival::AnyMap.includes(peer, ours)).filter_map(|peer| {
            let ratio = |&(operation, size): &(&String, usize)| results.ratio("map", operation, size, [&peer, ours]);
            let ratios: Vec<_> = all.iter().filter_map(ratio).collect();
            Some((geometric_mean(&ratios)?, peer))
        }))
    });
    let aim = |subject: &str, wanted, reached| Aim { subject: subject.to_owned(), wanted, at_most: false, reached };
    let best = [OURS, OURS_CONFINED].map(|ours| cells(ours, Rival::AnyMap));
    let trie = cells(OURS_CONFINED, Rival::CPython);
    vec![
        aim("all maps, geometric mean: times the closest peer", MEAN, means),
        aim("all maps, cells in which the best map is not ahead by 5 %", 1.0, [part(&best[0]), part(&best[1])]),
        aim("all maps, worst cell: times the best map", CELL, best.map(|cells| least(cells.into_iter()))),
        aim("all maps, cells in which CPython's HAMT is not ahead by 5 %", 1.0, [None, part(&trie)]),
        aim("all maps, worst cell: times CPython's HAMT", 1.0, [None, least(trie.into_iter())]),
    ]
}

fn memory(results: &Results) -> Vec<Aim> {
    let aim = |&(operation, from, wanted): &(&str, usize, f64)| {
        let sizes = results.distinct("memory", |figure| figure.size).into_iter().filter(|&size| size >= from);
        let reached = greatest(sizes.filter_map(|size| Some((results.find("memory", operation, size, OURS)?, size.to_string()))));
        Aim { subject: operation.to_owned(), wanted, at_most: true, reached: [reached, None] }
    };
    MEMORY.iter().map(aim).collect()
}

fn threads(results: &Results) -> Vec<Aim> {
    let find = |operation: &str, threads: usize, contender: &str| results.find("threads", operation, threads, contender);
    let gain = |operation: &str, contender: &str| Some(find(operation, 2, contender)? / find(operation, 1, contender)?);
    let reached = |value: Option<f64>| value.map(|value| Reached { value, at: "2".to_owned() });
    // More than twice as much is chance.
    let machine = gain(SHARE_NOTHING, MACHINE).map(|gain| gain.min(2.0));
    let read = gain("read a copy of one context", OURS).zip(machine).map(|(ours, machine)| ours / machine);
    let copy = find("copy one context", 2, OURS).zip(find("copy one context", 2, "imbl")).map(|(ours, imbl)| ours / imbl);
    let aim = |subject: &str, wanted, value| Aim { subject: subject.to_owned(), wanted, at_most: false, reached: [reached(value), None] };
    vec![
        aim("read a copy of one context: two threads, times one, of what the machine gives", TWO_READERS, read),
        aim("copy one context: two threads, times imbl", 1.0, copy),
    ]
}

/// The table of the aims that a run measures.
pub fn table(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![["aim", "wanted", OURS, "at", OURS_CONFINED, "at"].map(str::to_owned).to_vec()];
    for aim in [speed(results), maps(results), memory(results), threads(results)].into_iter().flatten() {
        if aim.reached.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![aim.subject, format!("{} {}", if aim.at_most { "≤" } else { "≥" }, aim.wanted)];
        for reached in aim.reached {
            let Some(Reached { value, at }) = reached else {
                row.extend([String::new(), String::new()]);
                continue;
            };
            let is_short = if aim.at_most { value > aim.wanted } else { value < aim.wanted };
            row.extend([format!("{}{value:.2}", if is_short { "short: " } else { "" }), at]);
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Environment, Figure};

    fn results(figures: &[(&str, &str, usize, &str, f64)]) -> Results {
        let environment =
            Environment { processor: String::new(), processors: 1, atomic_addition: 2.0, versions: Vec::new(), flags: String::new() };
        let figure = |&(section, operation, size, contender, value): &(&str, &str, usize, &str, f64)| Figure {
            section: section.to_owned(),
            operation: operation.to_owned(),
            size,
            contender: contender.to_owned(),
            value,
        };
        Results { environment, figures: figures.iter().map(figure).collect() }
    }

    fn row(results: &Results, subject: &str) -> Vec<String> {
        table(results).into_iter().find(|row| row[0] == subject).unwrap_or_default()[1..].to_vec()
    }

    #[test]
    fn the_size_that_is_furthest_from_the_aim_counts() {
        let results = results(&[
            ("context", "set", 2, OURS, 10.0),
            ("context", "set", 2, "CPython 3.11.7 (C API)", 50.0),
            ("context", "set", 8, OURS, 10.0),
            ("context", "set", 8, "CPython 3.11.7 (C API)", 29.0),
        ]);
        assert_eq!(row(&results, "set: times CPython"), ["≥ 3", "short: 2.90", "8", "", ""]);
    }

    #[test]
    fn who_counts_atomically_is_compared_with_those_that_do() {
        let results = results(&[
            ("context", "task spawn", 8, OURS, 100.0),
            ("context", "task spawn", 8, OURS_CONFINED, 50.0),
            ("context", "task spawn", 8, "rpds rc", 90.0),
            ("context", "task spawn", 8, "im", 210.0),
            ("context", "task spawn", 8, "std hashmap on write", 10.0),
        ]);
        assert_eq!(row(&results, "task spawn: times the best persistent map"), ["≥ 2", "2.10", "8", "short: 1.80", "8"]);
    }

    #[test]
    fn entering_may_take_two_atomic_additions_more() {
        let results = results(&[
            ("context", "enter + exit", 2, OURS, 8.0),
            ("context", "enter + exit", 2, OURS_CONFINED, 4.5),
            ("context", "enter + exit", 2, "CPython 3.11.7 (C API)", 5.0),
            ("context", "enter + exit", 8, OURS, 9.5),
            ("context", "enter + exit", 8, "CPython 3.11.7 (C API)", 5.0),
        ]);
        let rows: Vec<_> = table(&results).into_iter().filter(|row| row[0].starts_with("enter + exit")).collect();
        assert_eq!(rows[0][1..], ["≤ 2", "short: 2.25", "8", "", ""]);
        assert_eq!(rows[1][1..], ["≤ 0", "", "", "-0.25", "2"]);
    }

    #[test]
    fn cells_are_counted_in_which_no_map_is_ahead() {
        let results = results(&[
            ("map", "get miss", 1, OURS, 10.0),
            ("map", "get miss", 1, "im", 5.0),
            ("map", "get miss", 1, "hashbrown", 1.0),
            ("map", "get miss", 2, OURS, 10.0),
            ("map", "get miss", 2, "im", 9.6),
        ]);
        assert_eq!(row(&results, "all maps, cells in which the best map is not ahead by 5 %"), ["≥ 1", "short: 0.50", "1 of 2", "", ""]);
        assert_eq!(row(&results, "all maps, worst cell: times the best map"), ["≥ 0.95", "short: 0.50", "get miss, 1", "", ""]);
    }

    #[test]
    fn threads_are_measured_by_what_the_machine_gives() {
        let read = "read a copy of one context";
        let results = results(&[
            ("threads", SHARE_NOTHING, 1, MACHINE, 100.0),
            ("threads", SHARE_NOTHING, 2, MACHINE, 150.0),
            ("threads", read, 1, OURS, 10.0),
            ("threads", read, 2, OURS, 15.0),
        ]);
        assert_eq!(row(&results, &format!("{read}: two threads, times one, of what the machine gives")), ["≥ 0.95", "1.00", "2", "", ""]);
    }

    #[test]
    fn what_was_not_measured_is_no_aim() {
        assert_eq!(table(&results(&[])).len(), 1);
    }
}
