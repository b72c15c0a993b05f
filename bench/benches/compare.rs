//! All contenders side by side: `cargo bench -p contextvars-bench -- --help`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use contextvars_bench::contexts::{self, OverMap};
use contextvars_bench::maps::{self, Keys};
use contextvars_bench::measure::{Effort, Work, atomic_addition, medians};
use contextvars_bench::mechanisms::{OpenTelemetry, TaskLocal};
use contextvars_bench::results::{Environment, Figure, Results};
use contextvars_bench::{memory, peers, plot, report, threads};
use contextvars_optimized::{Confined, Hamt, Shared};

/// Times contexts and maps against CPython and other crates, contenders taking turns in one process.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  cargo bench -p contextvars-bench                        the full run; writes BENCHMARKS.md\n  cargo bench -p contextvars-bench -- --quick             under three minutes; writes nothing\n  cargo bench -p contextvars-bench -- --quick --only map --size 32\n  cargo bench -p contextvars-bench -- --json run.json --svg plots"
)]
struct Arguments {
    /// Fewer sizes, rounds and key sets.
    #[arg(long)]
    quick: bool,
    /// Only this section.
    #[arg(long, value_parser = ["context", "map", "memory", "threads"])]
    only: Option<String>,
    /// Only operations whose name contains this.
    #[arg(long, default_value = "")]
    operation: String,
    /// Only this size.
    #[arg(long)]
    size: Option<usize>,
    /// Write the figures here, for machines.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write plots into this folder.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[cfg(feature = "cpython")]
type Python<'py> = pyo3::Python<'py>;
#[cfg(not(feature = "cpython"))]
type Python<'py> = std::marker::PhantomData<&'py ()>;

struct Bench<'py> {
    arguments: Arguments,
    python: Python<'py>,
    figures: Vec<Figure>,
}

impl Bench<'_> {
    fn wants(&self, section: &str) -> bool {
        self.arguments.only.as_ref().is_none_or(|only| only == section)
    }

    fn sizes(&self, full: &[usize], quick: &[usize]) -> Vec<usize> {
        match self.arguments.size {
            Some(size) => vec![size],
            None if self.arguments.quick => quick.to_vec(),
            None => full.to_vec(),
        }
    }

    fn effort(&self) -> Effort {
        let (rounds, batch) = if self.arguments.quick { (9, 50) } else { (15, 100) };
        Effort { rounds, batch: Duration::from_micros(batch) }
    }

    fn progress(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{text}");
        }
    }

    fn note(&mut self, section: &str, operation: &str, size: usize, contender: String, value: f64) {
        self.figures.push(Figure { section: section.to_owned(), operation: operation.to_owned(), size, contender, value });
    }

    fn context_contenders(&self, size: usize) -> Vec<Box<dyn contexts::Contender>> {
        let mut all: Vec<Box<dyn contexts::Contender>> =
            vec![Box::new(contexts::Optimized::<Shared>::new(size)), Box::new(contexts::Optimized::<Confined>::new(size))];
        #[cfg(feature = "cpython")]
        all.push(Box::new(contextvars_bench::capi::CPython::new(self.python, size)));
        all.push(Box::new(OverMap::<peers::Imbl>::new(size)));
        all.push(Box::new(OverMap::<peers::Im>::new(size)));
        all.push(Box::new(OverMap::<peers::RpdsArc>::new(size)));
        all.push(Box::new(OverMap::<peers::RpdsTriomphe>::new(size)));
        all.push(Box::new(OverMap::<peers::RpdsRc>::new(size)));
        all.push(Box::new(OverMap::<peers::HashMapOnWrite>::new(size)));
        all.push(Box::new(OverMap::<peers::BTreeMapOnWrite>::new(size)));
        if let Some(opentelemetry) = OpenTelemetry::new(size) {
            all.push(Box::new(opentelemetry));
        }
        all.push(Box::new(TaskLocal::new()));
        // A reference clones all on every write: beyond this it only takes time.
        if size <= 128 {
            all.push(Box::new(contexts::Reference::new(size)));
        }
        all
    }

    fn contexts(&mut self) {
        for size in self.sizes(&contexts::SIZES, &contexts::QUICK_SIZES) {
            let mut contenders = self.context_contenders(size);
            for operation in contexts::Operation::ALL {
                if !operation.name().contains(&self.arguments.operation) {
                    continue;
                }
                self.progress(&format!("contexts of {size}: {}", operation.name()));
                let mut able: Vec<_> =
                    contenders.iter_mut().filter_map(|contender| contender.run(operation, 1).then_some(contender)).collect();
                let names: Vec<_> = able.iter().map(|contender| contender.name()).collect();
                let mut works: Vec<Work<'_>> = able
                    .iter_mut()
                    .map(|contender| {
                        Box::new(move |repeats| {
                            contender.run(operation, repeats);
                        }) as Work<'_>
                    })
                    .collect();
                let times = medians(&mut works, self.effort());
                drop(works);
                for (name, time) in names.into_iter().zip(times) {
                    self.note("context", operation.name(), size, name, time / operation.divisor(size));
                }
            }
        }
    }

    fn map_contenders(&self, keys: &Keys) -> Vec<Box<dyn maps::Contender>> {
        let mut all = vec![
            maps::contender::<Hamt<u64>>(keys),
            maps::contender::<Hamt<u64, Confined>>(keys),
            maps::contender::<peers::Imbl>(keys),
            maps::contender::<peers::ImblOrd>(keys),
            maps::contender::<peers::Im>(keys),
            maps::contender::<peers::RpdsArc>(keys),
            maps::contender::<peers::RpdsTriomphe>(keys),
            maps::contender::<peers::RpdsRc>(keys),
            maps::contender::<peers::HashMapOnWrite>(keys),
            maps::contender::<peers::BTreeMapOnWrite>(keys),
            maps::contender::<peers::Hashbrown>(keys),
        ];
        #[cfg(feature = "cpython")]
        match contextvars_bench::capi::trie(self.python, keys) {
            Ok(trie) => all.push(trie),
            Err(error) => eprintln!("skipped: CPython's HAMT: {error}"),
        }
        all
    }

    fn maps(&mut self) {
        let sets = if self.arguments.quick { 1 } else { 3 };
        for size in self.sizes(&maps::SIZES, &maps::QUICK_SIZES) {
            let mut sums: Vec<(maps::Operation, String, f64)> = Vec::new();
            for set in 0..sets {
                let keys = Keys::new(size, set);
                let contenders = self.map_contenders(&keys);
                for operation in maps::Operation::ALL {
                    if !operation.name().contains(&self.arguments.operation) {
                        continue;
                    }
                    self.progress(&format!("maps of {size}, key set {set}: {}", operation.name()));
                    let able: Vec<_> = contenders.iter().filter(|contender| contender.can(operation)).collect();
                    let mut works: Vec<Work<'_>> =
                        able.iter().map(|contender| Box::new(|repeats| contender.run(operation, repeats)) as Work<'_>).collect();
                    let mut effort = self.effort();
                    // What visits every entry of a large map is long enough to be timed a few times.
                    effort.rounds = if size > 4096 { effort.rounds.min(5) } else { effort.rounds };
                    for (contender, time) in able.iter().zip(medians(&mut works, effort)) {
                        let time = time / operation.divisor(size);
                        match sums.iter_mut().find(|(other, name, _)| *other == operation && *name == contender.name()) {
                            Some((_, _, sum)) => *sum += time,
                            None => sums.push((operation, contender.name(), time)),
                        }
                    }
                }
            }
            for (operation, name, sum) in sums {
                self.note("map", operation.name(), size, name, sum / sets as f64);
            }
        }
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map(|(_, content)| content.trim())
    };
    // Hypervisors often leave out which of a maker's processors it is, but not its numbers.
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        (Some(name), ..) => name.to_owned(),
        _ => std::env::consts::ARCH.to_owned(),
    }
}

fn environment(python: Python<'_>, atomic_addition: f64) -> Environment {
    let mut versions =
        vec![("rustc".to_owned(), env!("CONTEXTVARS_RUSTC").to_owned()), ("peers".to_owned(), env!("CONTEXTVARS_PEERS").to_owned())];
    #[cfg(feature = "cpython")]
    versions.push(("python".to_owned(), contextvars_bench::capi::version(python)));
    let _ = python;
    let flags = format!("the profile `bench` (lto thin, one codegen unit), RUSTFLAGS `{}`", env!("CONTEXTVARS_FLAGS"));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Environment { processor: processor(), processors, atomic_addition, versions, flags }
}

fn run(arguments: Arguments, python: Python<'_>) -> Result<()> {
    let mut bench = Bench { arguments, python, figures: Vec::new() };
    if bench.wants("memory") {
        bench.figures.extend(memory::run(env!("CARGO_BIN_EXE_memory"))?);
    }
    if bench.wants("context") {
        bench.contexts();
    }
    if bench.wants("map") {
        bench.maps();
    }
    if bench.wants("threads") {
        bench.progress("threads");
        bench.figures.extend(threads::run());
    }
    bench.progress("");
    let results = Results { environment: environment(python, atomic_addition(bench.effort())), figures: bench.figures };
    for section in ["context", "map", "memory", "threads"] {
        if results.figures.iter().any(|figure| figure.section == section) {
            println!("\n{section}\n\n{}", report::figures(&results, section));
        }
    }
    print!("{}", report::summary(&results));
    let arguments = &bench.arguments;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&results)?).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    if let Some(folder) = &arguments.svg {
        plot::write(&results, folder)?;
    }
    if !arguments.quick && arguments.only.is_none() && arguments.size.is_none() && arguments.operation.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../BENCHMARKS.md");
        std::fs::write(path, report::markdown(&results)).with_context(|| format!("cannot write `{path}`"))?;
        println!("BENCHMARKS.md is written");
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    #[cfg(feature = "cpython")]
    return pyo3::Python::attach(|python| run(arguments, python));
    #[cfg(not(feature = "cpython"))]
    run(arguments, std::marker::PhantomData)
}
