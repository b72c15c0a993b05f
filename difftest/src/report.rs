//! The summary of a run, for people and for machines.

use std::fmt;

use contextvars_spec::{Identity, Rule};
use serde::Serialize;

use crate::campaign::{CampaignError, Outcome, Plan};
use crate::coverage::Situation;
use crate::laws::LAWS;
use crate::shard::Shard;

/// A counterexample, and the command that replays it.
#[derive(Debug, Serialize)]
pub struct Found {
    /// What broke.
    pub signature: String,
    /// Its file.
    pub file: String,
    /// The command.
    pub replay: String,
}

/// What `difftest run` prints at its end; with `--json` as one object.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The seed that generates the same cases again.
    pub seed: u64,
    /// Which part of the run this is: `1/1` is all of it.
    pub shard: String,
    /// How many traces ran.
    pub cases: u64,
    /// How many operations they had.
    pub operations: u64,
    /// Operations of the traces a second of wall clock; each ran on every engine.
    pub operations_per_second: u64,
    /// How long the run took.
    pub seconds: f64,
    /// How many rules the traces exercised.
    pub rules_covered: usize,
    /// How many rules there are.
    pub rules_known: usize,
    /// The rules that no trace exercised.
    pub rules_missed: Vec<&'static str>,
    /// How many situations of CPython's trie were met by the traces that were followed.
    pub situations_covered: usize,
    /// How many situations there are.
    pub situations_known: usize,
    /// The situations that were not met.
    pub situations_missed: Vec<String>,
    /// How often each situation was met, in the traces that were followed.
    pub situations: std::collections::BTreeMap<String, u64>,
    /// One trace in so many was followed.
    pub situations_followed: u64,
    /// How often each law was checked: pairs of answers that one engine gave. An engine that answers throughout
    /// as the first is not checked again.
    pub laws: std::collections::BTreeMap<String, u64>,
    /// Who took part.
    pub engines: Vec<Identity>,
    /// How many traces an engine was left out of, since they require what it has not.
    pub left_out: std::collections::BTreeMap<String, u64>,
    /// How many traces met a known fault of an engine, which was not compared from there on.
    pub known_faults: std::collections::BTreeMap<String, u64>,
    /// How many traces meet a known fault of CPython, whoever takes part.
    pub faulty: u64,
    /// How many traces the rules leave open from some step on, which no engine was compared from there on.
    pub left_open: u64,
    /// The counterexamples.
    pub divergences: Vec<Found>,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// Why the run ended before its time, if it did.
    pub failure: Option<String>,
}

impl Summary {
    /// The summary of what a run came to, and of what ended it before its time. `engines` is what was
    /// given on the command line, without which a replay would ask others.
    #[must_use]
    pub fn new(plan: &Plan, outcome: &Outcome, failure: Option<&CampaignError>, engines: Option<&str>) -> Self {
        let quoted = |text: &str| shlex::try_quote(text).map_or_else(|_| text.to_owned(), Into::into);
        let engines = engines.map(|engines| format!(" --engines {}", quoted(engines))).unwrap_or_default();
        let seconds = outcome.elapsed.as_secs_f64();
        let found = outcome.found.iter().map(|(signature, path)| Found {
            signature: signature.clone(),
            file: path.display().to_string(),
            replay: format!("cargo difftest replay {}{engines}", quoted(&path.display().to_string())),
        });
        Self {
            seed: plan.seed,
            shard: plan.shard.to_string(),
            cases: outcome.cases,
            operations: outcome.operations,
            operations_per_second: (outcome.operations as f64 / seconds.max(1e-9)) as u64,
            seconds,
            rules_covered: outcome.rules.len(),
            rules_known: Rule::ALL.len(),
            rules_missed: Rule::ALL.iter().filter(|rule| !outcome.rules.contains(**rule)).map(|rule| rule.id()).collect(),
            situations_covered: outcome.situations.len(),
            situations_known: Situation::all().count(),
            situations_missed: outcome.situations.missed().map(|situation| situation.to_string()).collect(),
            situations: Situation::all().map(|situation| (situation.to_string(), outcome.situations.count(situation))).collect(),
            situations_followed: plan.follow,
            laws: LAWS.iter().map(|law| (law.to_string(), outcome.laws.count(*law))).collect(),
            engines: outcome.engines.clone(),
            left_out: outcome.left_out.clone(),
            known_faults: outcome.excused.clone(),
            faulty: outcome.faulty,
            left_open: outcome.left_open,
            divergences: found.collect(),
            interrupted: outcome.interrupted,
            failure: failure.map(ToString::to_string),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            writeln!(f, "interrupted; what follows is what ran until then")?;
        }
        if self.failure.is_some() {
            writeln!(f, "ended by an error; what follows is what ran until then")?;
        }
        writeln!(f, "seed         {}", self.seed)?;
        if self.shard != Shard::WHOLE.to_string() {
            writeln!(f, "shard        {}", self.shard)?;
        }
        let engines: Vec<_> = self.engines.iter().map(|engine| format!("{} {}", engine.name, engine.version)).collect();
        writeln!(f, "engines      {}", engines.join(", "))?;
        writeln!(f, "cases        {}", self.cases)?;
        writeln!(f, "operations   {} in {:.1} s: {} a second", self.operations, self.seconds, self.operations_per_second)?;
        writeln!(f, "rules        {} of {} covered", self.rules_covered, self.rules_known)?;
        if !self.rules_missed.is_empty() {
            writeln!(f, "             not met: {}", self.rules_missed.join(", "))?;
        }
        let (covered, known) = (self.situations_covered, self.situations_known);
        writeln!(f, "situations   {covered} of {known} met by one trace in {}", self.situations_followed)?;
        if !self.situations_missed.is_empty() {
            writeln!(f, "             not met: {}", self.situations_missed.join(", "))?;
        }
        let laws: Vec<_> = LAWS.iter().map(|law| format!("{law}: {}", self.laws.get(law.id()).unwrap_or(&0))).collect();
        writeln!(f, "laws         checked {} times", self.laws.values().sum::<u64>())?;
        writeln!(f, "             {}", laws.join(", "))?;
        if self.left_open > 0 {
            writeln!(f, "left open    {} traces from some step on, by the rules", self.left_open)?;
        }
        for (engine, count) in &self.left_out {
            writeln!(f, "left out     {engine}, of {count} traces that require a newer python or user code in a process of its own")?;
        }
        for (fault, count) in &self.known_faults {
            writeln!(f, "known fault  {fault}, met by {count} traces")?;
        }
        writeln!(f, "divergences  {}", self.divergences.len())?;
        if self.interrupted && !self.divergences.is_empty() {
            writeln!(f, "             `difftest shrink FILE` goes on with what was being shrunk")?;
        }
        for found in &self.divergences {
            writeln!(f, "  {}\n    replay with: {}", found.signature, found.replay)?;
        }
        Ok(())
    }
}
