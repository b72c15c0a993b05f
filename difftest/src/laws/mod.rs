//! The laws: two ways of asking one engine the same thing must agree (LAW-1 to LAW-11).
//!
//! They are checked on what one engine answered and on what was observed of it, without a model and
//! without a second engine.

mod gone;
mod maps;
mod reader;
mod tokens;

use contextvars_spec::{Rule, RuleSet, Run, Step};

use gone::{Values, once};
use reader::Reader;

/// The laws, in the order of `SPEC.md`.
pub const LAWS: [Rule; 11] =
    [Rule::Law1, Rule::Law2, Rule::Law3, Rule::Law4, Rule::Law5, Rule::Law6, Rule::Law7, Rule::Law8, Rule::Law9, Rule::Law10, Rule::Law11];

/// Two answers of one engine that cannot both be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The law.
    pub law: Rule,
    /// The step of the earlier answer.
    pub first: usize,
    /// The step of the later one.
    pub second: usize,
    /// The two answers, in a sentence.
    pub text: String,
}

/// How often each law was checked: how many pairs of answers were held against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked([u64; LAWS.len()]);

impl Checked {
    /// How often a law was checked; 0 for a rule that is none.
    #[must_use]
    pub fn count(&self, law: Rule) -> u64 {
        LAWS.iter().position(|other| *other == law).map_or(0, |index| self.0[index])
    }

    /// The laws that were checked at least once.
    #[must_use]
    pub fn rules(&self) -> RuleSet {
        let mut rules = RuleSet::default();
        LAWS.iter().filter(|law| self.count(**law) > 0).for_each(|law| rules.insert(*law));
        rules
    }

    /// Adds the counts of another run.
    pub fn extend(&mut self, other: &Self) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count += other;
        }
    }

    fn count_one(&mut self, law: Rule) {
        if let Some(index) = LAWS.iter().position(|other| *other == law) {
            self.0[index] += 1;
        }
    }

    /// Counts one check of a law, which `agrees` or is broken.
    fn note(&mut self, law: Rule, agrees: bool, broken: impl FnOnce() -> Broken) -> Result<(), Box<Broken>> {
        self.count_one(law);
        if agrees { Ok(()) } else { Err(Box::new(broken())) }
    }
}

/// The first law that the answers before step `until` break, if there is one, and how often each was
/// checked.
///
/// Linear in what was recorded; a write to a map of which a copy is held costs what is known of it.
#[must_use]
pub fn check(steps: &[Step], run: &Run, until: usize) -> (Option<Broken>, Checked) {
    let mut reader = Reader::default();
    let mut observations = run.observations.iter().peekable();
    let mut values = Values::default();
    for (index, (step, answer)) in steps.iter().zip(&run.answers).enumerate().take(until) {
        let mut broken = values.step(index, answer, &mut reader.checked).and_then(|()| reader.step(index, step, answer));
        while let Some((_, observation)) = observations.next_if(|(after, _)| *after == index) {
            broken = broken.and_then(|()| values.observe(index, observation, &mut reader.checked));
            broken = broken.and_then(|()| reader.observe(index, observation));
        }
        if let Err(broken) = broken {
            return (Some(*broken), reader.checked);
        }
    }
    let broken = run.gone.as_ref().filter(|_| until >= steps.len()).and_then(|gone| once(steps, run, gone, &mut reader.checked).err());
    (broken.map(|broken| *broken), reader.checked)
}
