//! Fills the corpora from `traces/`: see `fuzz/seed`.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use contextvars_difftest::campaign::LENGTH;
use contextvars_difftest::generate::grow;
use contextvars_difftest::save;
use contextvars_fuzz::genome::{GENE, HEADER, Random, genome};
use contextvars_fuzz::map::{self, Op};
use contextvars_reference::Reference;
use contextvars_spec::{Object, Observe, Operation, RuleSet, Trace, Value, load_trace};

/// How many inputs are tried for a trace's rules; the rarest rule is met once in some thousand.
const ATTEMPTS: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let [traces, corpora] = &arguments[..] else {
        return Err("name the folder of traces and that of the corpora".into());
    };
    let mut out = std::io::stdout().lock();
    let mut without = Vec::new();
    let files = save::find(std::slice::from_ref(traces))?;
    for file in &files {
        let trace = load_trace(file)?;
        let name = save::file_name(&file.strip_prefix(traces).unwrap_or(file).with_extension("").display().to_string());
        write(corpora, "loader", &name, &std::fs::read(file)?)?;
        write(corpora, "map", &name, &map::encode(&operations(&trace)))?;
        match input_with(&trace, &name) {
            Some(data) => write(corpora, "generated", &name, &data)?,
            None => without.push(name),
        }
    }
    write_dictionary(&corpora.join("loader.dict"))?;
    writeln!(out, "{} traces are seeds in {}", files.len(), corpora.display())?;
    if !without.is_empty() {
        writeln!(out, "no generated trace was found with the rules of: {}", without.join(", "))?;
    }
    Ok(())
}

fn write(corpora: &Path, target: &str, name: &str, data: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = corpora.join(target);
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join(name), data)?)
}

/// The smallest input that was found whose trace exercises the rules that a trace is about.
fn input_with(trace: &Trace, name: &str) -> Option<Vec<u8>> {
    let mut wanted = RuleSet::default();
    trace.rules.iter().for_each(|rule| {
        wanted.insert(*rule);
    });
    if wanted.is_empty() {
        let mut reference = Reference::new();
        trace.steps.iter().for_each(|step| drop(reference.step(step)));
        wanted = reference.rules();
    }
    let fits = |data: &[u8]| {
        let grown = genome(data).map(|genome| grow(&genome, Observe::Every(usize::MAX)));
        grown.is_some_and(|grown| wanted.iter().all(|rule| grown.rules.contains(rule)))
    };
    let mut random = Random(name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))));
    let mut data = (0..ATTEMPTS).find_map(|_| {
        let length = HEADER + GENE * (1 + random.below(LENGTH));
        let data: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
        fits(&data).then_some(data)
    })?;
    // Ever smaller runs of genes, while the rules stay.
    let mut size = (data.len() - HEADER) / GENE;
    while size > 0 {
        let mut at = HEADER;
        while at + size * GENE <= data.len() {
            let mut fewer = data.clone();
            fewer.drain(at..at + size * GENE);
            if fits(&fewer) {
                data = fewer;
            } else {
                at += size * GENE;
            }
        }
        size /= 2;
    }
    Some(data)
}

/// What a trace does to maps, as operations of the target `map`. What has no such operation is left out.
fn operations(trace: &Trace) -> Vec<Op> {
    let byte = |number: u32| number as u8;
    // The target counts from the newest.
    let mut variables = Vec::new();
    let mut contexts = Vec::new();
    let mut tokens = Vec::new();
    let mut ops = Vec::new();
    fn back<T: PartialEq>(list: &[T], of: &T) -> u8 {
        list.iter().rev().position(|other| other == of).unwrap_or(0) as u8
    }
    for step in &trace.steps {
        let thread = byte(step.thread.0);
        match step.operation {
            Operation::ContextVar { hash, variable, .. } => {
                variables.push(variable);
                ops.push(Op::Variable(hash.unwrap_or(0)));
            }
            Operation::VarSet { variable, value, token } => {
                tokens.push(token);
                let value = if let Value::Made(id) = value { byte(id.0) } else { 255 };
                ops.push(Op::Set(thread, back(&variables, &variable), value));
            }
            Operation::VarReset { token: Object::Token(token), .. } => ops.push(Op::Reset(thread, back(&tokens, &token), true)),
            Operation::VarGet { variable, .. } => ops.push(Op::Get(thread, back(&variables, &variable))),
            Operation::Context { context } | Operation::CapiNew { context } => {
                contexts.push(context);
                ops.push(Op::New);
            }
            Operation::CopyContext { context } | Operation::CapiCopyCurrent { context } => {
                contexts.push(context);
                ops.push(Op::CopyCurrent(thread));
            }
            Operation::ContextCopy { source, context } => {
                ops.push(Op::Copy(back(&contexts, &source)));
                contexts.push(context);
            }
            Operation::Run { context } | Operation::Enter { context: Object::Context(context) } => {
                ops.push(Op::Enter(thread, back(&contexts, &context)));
            }
            Operation::Return {} | Operation::Raise {} => ops.push(Op::Exit(thread, 0, true)),
            Operation::Exit { context: Object::Context(context) } => ops.push(Op::Exit(thread, back(&contexts, &context), false)),
            Operation::Iter { context, .. }
            | Operation::Keys { context, .. }
            | Operation::Values { context, .. }
            | Operation::Items { context, .. } => ops.push(Op::Iterate(back(&contexts, &context))),
            Operation::Next { .. } => ops.push(Op::Next(0)),
            Operation::Equal { left: Object::Context(left), right: Object::Context(right) } => {
                ops.push(Op::Equal(back(&contexts, &left), back(&contexts, &right)));
            }
            Operation::GetItem { context, .. } | Operation::Contains { context, .. } | Operation::ContextLen { context } => {
                ops.push(Op::Read(back(&contexts, &context)));
            }
            Operation::Drop { object: Object::Context(context) } => ops.push(Op::Forget(back(&contexts, &context))),
            _ => {}
        }
    }
    ops
}

/// Every word that the schema of traces knows, for libFuzzer.
fn write_dictionary(path: &Path) -> Result<(), Box<dyn Error>> {
    let schema = include_str!("../../traces/schema.json");
    let mut words: Vec<_> = schema
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            !word.is_empty() && word.len() < 32 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte))
        })
        .collect();
    words.extend(["val0", "var0", "tok0", "ctx0", "iter0", "ref0", "thread1", "watcher0", "None", "MISSING"]);
    words.sort_unstable();
    words.dedup();
    let lines: Vec<_> = words.iter().map(|word| format!("\"\\\"{word}\\\"\"\n")).collect();
    Ok(std::fs::write(path, lines.concat())?)
}
