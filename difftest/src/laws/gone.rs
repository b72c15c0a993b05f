//! What has gone: values whose finalizers have run.

use contextvars_spec::{Answer, Gone, Object, Observation, Operation, Outcome, Rule, Run, Step, Trigger, Value, ValueId};
use rustc_hash::FxHashMap;

use super::{Broken, Checked};

type Agrees = Result<(), Box<Broken>>;

/// The values that have gone, each with the step during which its finalizer ran.
#[derive(Debug, Default)]
pub(super) struct Values {
    gone: FxHashMap<ValueId, usize>,
}

impl Values {
    /// Takes in the answer to a step.
    pub(super) fn step(&mut self, index: usize, answer: &Answer, checked: &mut Checked) -> Agrees {
        if !self.gone.is_empty() {
            // What goes during the step may have been seen before in it.
            let of_programs = answer.calls.iter().flat_map(|call| &call.outcomes);
            of_programs.chain([&answer.outcome]).flat_map(shown).try_for_each(|value| self.see(index, value, checked))?;
        }
        for call in answer.calls.iter().filter(|call| call.on == Trigger::Drop) {
            let Object::Value(id) = call.of else { continue };
            let before = self.gone.insert(id, index);
            checked.note(Rule::Law11, before.is_none(), || Broken {
                law: Rule::Law11,
                first: before.unwrap_or(index),
                second: index,
                text: format!("the finalizer of `{id}` runs twice"),
            })?;
        }
        Ok(())
    }

    /// Takes in a whole observed state.
    pub(super) fn observe(&self, index: usize, observation: &Observation, checked: &mut Checked) -> Agrees {
        if self.gone.is_empty() {
            return Ok(());
        }
        let bound = observation.contexts.iter().flat_map(|context| context.bindings.iter().map(|(_, value)| *value));
        let old = observation.tokens.iter().map(|token| token.old_value);
        let mut made = bound.chain(old).filter_map(|value| if let Value::Made(id) = value { Some(id) } else { None });
        made.try_for_each(|value| self.see(index, value, checked))
    }

    fn see(&self, index: usize, value: ValueId, checked: &mut Checked) -> Agrees {
        let gone = self.gone.get(&value);
        checked.note(Rule::Law11, gone.is_none(), || Broken {
            law: Rule::Law11,
            first: gone.copied().unwrap_or(index),
            second: index,
            text: format!("the finalizer of `{value}` has run, and an answer gives `{value}`"),
        })
    }
}

/// The values that an outcome gives. What a cache has may be gone: only its stamp says.
fn shown(outcome: &Outcome) -> Option<ValueId> {
    match *outcome {
        Outcome::Object(Object::Value(id)) | Outcome::Pair(_, Value::Made(id)) => Some(id),
        _ => None,
    }
}

/// Where an engine tells what went until everything was let go: every value with a finalizer went once.
pub(super) fn once(steps: &[Step], run: &Run, gone: &[Gone], checked: &mut Checked) -> Agrees {
    let mut left: FxHashMap<ValueId, usize> = FxHashMap::default();
    for (index, (step, answer)) in steps.iter().zip(&run.answers).enumerate() {
        if let (Operation::Value { on_drop, name, .. }, Outcome::None) = (&step.operation, &answer.outcome)
            && !on_drop.is_empty()
        {
            left.insert(*name, index);
        }
    }
    let last = steps.len().saturating_sub(1);
    let broken = |first, second, text| Broken { law: Rule::Law11, first, second, text };
    for &Gone { value, during } in gone {
        let known = left.remove(&value).is_some();
        checked.note(Rule::Law11, known, || broken(last.min(during.step), last.min(during.step), format!("`{value}` goes twice")))?;
    }
    let kept = left.into_iter().min_by_key(|(_, made)| *made);
    kept.map_or(Ok(()), |(value, made)| {
        Err(Box::new(broken(made, last, format!("`{value}` never goes, though everything has been let go"))))
    })
}
