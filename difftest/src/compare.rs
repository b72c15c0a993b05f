//! The comparison of what two engines answered.

use contextvars_spec::{Answer, Call, Crash, Error, Observation, Operation, Outcome, Run, Step, Trace, Trigger};

/// How two answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The index of the first step after which the engines part.
    pub step: usize,
    /// What differs, in a sentence.
    pub text: String,
    /// What differs, in words that do not depend on handles: the first part of a signature.
    pub kind: String,
}

/// How strictly a trace lets two engines be compared.
#[derive(Clone, Copy, Debug)]
struct Strictness {
    /// Whether iteration order is comparable: every hash is steered.
    ordered: bool,
    /// Whether `context_ver` is each engine's own count: no step overwrites it, which CPython cannot.
    counted: bool,
}

/// The first difference between two runs of the same steps, if there is one.
///
/// `steered` says whether both engines give variables the hashes of the trace. An operation that
/// either engine does not support is not compared. Linear in what was recorded.
#[must_use]
pub fn first_difference(steps: &[Step], steered: bool, left: &Run, right: &Run) -> Option<Difference> {
    let strictness = Strictness {
        ordered: steered && Trace::is_steered(steps),
        counted: !steps.iter().any(|step| matches!(step.operation, Operation::SetContextVer { .. })),
    };
    if left.crash != right.crash {
        return Some(crash_difference(steps, left, right));
    }
    let open_from = left.open_from.into_iter().chain(right.open_from).chain(strictness.open_from(steps, left, right));
    let open_from = open_from.min().unwrap_or(usize::MAX);
    let answers = steps.iter().take(open_from).zip(left.answers.iter().zip(&right.answers)).enumerate();
    let mut outcome = None;
    for (index, (step, (left, right))) in answers {
        if let Some(difference) = strictness.answers(index, step, left, right) {
            outcome = Some(difference);
            break;
        }
    }
    let limit = outcome.as_ref().map_or(open_from, |difference: &Difference| difference.step);
    let states = left.observations.iter().zip(&right.observations);
    for ((index, left), (_, right)) in states.take_while(|((index, _), _)| *index < limit) {
        if let Some(text) = strictness.states(left, right) {
            return Some(Difference { step: *index, text, kind: format!("state-after-{}", steps[*index].operation.tag()) });
        }
    }
    if outcome.is_none() && left.answers.len() != right.answers.len() {
        let step = left.answers.len().min(right.answers.len());
        return Some(Difference { step, text: "one engine answered fewer steps".to_owned(), kind: "missing-answers".to_owned() });
    }
    outcome
}

/// A process that ends answers nothing, so that the last step is the nearest that can be named: of a
/// shrunk trace it is the one that ends it.
fn crash_difference(steps: &[Step], left: &Run, right: &Run) -> Difference {
    let ended = |run: &Run| run.crash.map_or_else(|| "answers".to_owned(), |crash| format!("ends by {crash}"));
    let crash = right.crash.or(left.crash).map_or_else(String::new, |crash| crash.to_string());
    let text = format!("one side {} and the other {}", ended(left), ended(right));
    ends_at_last(steps, text, &crash)
}

/// What there is to say of a process that ended, where there is no other to compare it with.
pub(crate) fn crash_alone(steps: &[Step], crash: Crash) -> Difference {
    ends_at_last(steps, format!("ends by {crash}"), &crash.to_string())
}

fn ends_at_last(steps: &[Step], text: String, crash: &str) -> Difference {
    let step = steps.len().saturating_sub(1);
    let tag = steps.last().map(|step| step.operation.tag()).unwrap_or_default();
    Difference { step, text, kind: format!("crash-{}-at-{tag}", crash.replace(' ', "-")) }
}

impl Strictness {
    /// The first comparison, of a step or of a program that a step runs, of which the order of iteration,
    /// where it is each engine's own, decides whose programs run: what they do is there in all that follows.
    fn open_from(self, steps: &[Step], left: &Run, right: &Run) -> Option<usize> {
        if self.ordered {
            return None;
        }
        let compares = |operation: &Operation| matches!(operation, Operation::Equal { .. } | Operation::NotEqual { .. });
        let programs_compare = steps.iter().flat_map(|step| step.operation.programs()).any(|program| program.0.iter().any(compares));
        let is_open = |index: usize, call: &Call| compares(&steps[index].operation) || programs_compare && call.on == Trigger::Compare;
        let calls =
            |run: &Run, index: usize| run.answers.get(index).is_some_and(|answer| answer.calls.iter().any(|call| is_open(index, call)));
        (0..steps.len()).find(|&index| calls(left, index) || calls(right, index))
    }

    fn answers(self, index: usize, step: &Step, left: &Answer, right: &Answer) -> Option<Difference> {
        let tag = || step.operation.tag();
        let open = matches!(step.operation, Operation::Cache { .. }) && !self.counted;
        if open || left.outcome == Outcome::Unsupported || right.outcome == Outcome::Unsupported {
            return None;
        }
        if !self.outcomes(&step.operation, &left.outcome, &right.outcome) {
            return Some(Difference {
                step: index,
                text: format!("`{}` answers {:?} on one side and {:?} on the other", tag(), left.outcome, right.outcome),
                kind: format!("{}-{}-or-{}", tag(), word(&left.outcome), word(&right.outcome)),
            });
        }
        if left.events != right.events {
            return Some(Difference {
                step: index,
                text: format!("`{}` shows watchers {:?} on one side and {:?} on the other", tag(), left.events, right.events),
                kind: format!("{}-events", tag()),
            });
        }
        (!self.calls(&left.calls, &right.calls)).then(|| Difference {
            step: index,
            text: format!("`{}` calls programs {:?} on one side and {:?} on the other", tag(), left.calls, right.calls),
            kind: format!("{}-calls", tag()),
        })
    }

    fn calls(self, left: &[Call], right: &[Call]) -> bool {
        let both_answer = |left: &Outcome, right: &Outcome| {
            let raised = |outcome: &Outcome| matches!(outcome, Outcome::Error(Error::EqualityRaised { .. }));
            let unordered = !self.ordered && (word(left) == word(right) || raised(left) || raised(right));
            left == right || *left == Outcome::Unsupported || *right == Outcome::Unsupported || unordered
        };
        left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| {
                (left.of, left.on, left.outcomes.len()) == (right.of, right.on, right.outcomes.len())
                    && left.outcomes.iter().zip(&right.outcomes).all(|(left, right)| both_answer(left, right))
            })
    }

    fn outcomes(self, operation: &Operation, left: &Outcome, right: &Outcome) -> bool {
        if self.ordered || left == right {
            return left == right;
        }
        match operation {
            // Without steered hashes these, and the order that follows from them, are each engine's own.
            Operation::Next { .. } | Operation::Hash { .. } => word(left) == word(right),
            // Which of two unequal bindings is met first depends on the order.
            Operation::Equal { .. } | Operation::NotEqual { .. } => {
                let raised = |outcome: &Outcome| matches!(outcome, Outcome::Error(_));
                raised(left) || raised(right)
            }
            _ => false,
        }
    }

    fn states(self, left: &Observation, right: &Observation) -> Option<String> {
        for (left, right) in left.contexts.iter().zip(&right.contexts) {
            let (mut on_left, mut on_right) = (left.bindings.clone(), right.bindings.clone());
            if !self.ordered {
                on_left.sort_unstable();
                on_right.sort_unstable();
            }
            if left.context != right.context || on_left != on_right {
                return Some(format!(
                    "`{}` binds {on_left:?} on one side and `{}` binds {on_right:?} on the other",
                    left.context, right.context
                ));
            }
        }
        if left.contexts.len() != right.contexts.len() {
            return Some(format!("{} contexts are held on one side and {} on the other", left.contexts.len(), right.contexts.len()));
        }
        for (left, right) in left.tokens.iter().zip(&right.tokens) {
            if left != right {
                return Some(format!("a token is {left:?} on one side and {right:?} on the other"));
            }
        }
        (left.tokens.len() != right.tokens.len())
            .then(|| format!("{} tokens are held on one side and {} on the other", left.tokens.len(), right.tokens.len()))
    }
}

/// The outcome in a word that does not depend on handles or values.
fn word(outcome: &Outcome) -> String {
    let name = match outcome {
        Outcome::Error(Error::Other { exception, .. }) => return exception.to_string(),
        Outcome::Error(error) => serde_json::to_value(error).map(|error| error["kind"].clone()),
        outcome => serde_json::to_value(outcome),
    };
    match name {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => "answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use contextvars_reference::Reference;
    use contextvars_spec::{ContextId, Engine, Equality, Object, Observe, Program, ThreadId, TokenId, Value, ValueId, VariableId};

    use super::*;

    /// A program compares two contexts of which a value that answers by a program, or raises, and two other
    /// values differ; which pair is met first is a matter of `hash`.
    fn compared_by_a_program(hash: i64, equality: Equality, on_compare: Program) -> (Vec<Step>, Run) {
        let ([left, right], [asked, gone]) = ([0, 1].map(ContextId), [0, 1].map(ValueId));
        let [first, second] = [0, 1].map(VariableId);
        let variable = |variable, hash| Operation::ContextVar {
            name: "a".into(),
            hash: Some(hash),
            default: None,
            on_hash: Program::default(),
            variable,
        };
        let bind = |context, first_value, second_value| {
            let set = |variable, value, token| Operation::VarSet { variable, value, token: TokenId(token) };
            let enter = Operation::Enter { context: Object::Context(context) };
            [Operation::Context { context }, enter, set(first, first_value, 2 * context.0), set(second, second_value, 2 * context.0 + 1)]
        };
        let compare = Program([Operation::Equal { left: Object::Context(left), right: Object::Context(right) }].into());
        let (never, none) = (Equality::Never, Program::default());
        let operations = [variable(first, hash), variable(second, 2)]
            .into_iter()
            .chain([Operation::Value { equality, on_compare, on_drop: none.clone(), name: asked }])
            .chain(bind(left, Value::Made(asked), Value::None))
            .chain(bind(right, Value::None, Value::Missing))
            .chain([Operation::Value { equality: never, on_compare: none, on_drop: compare, name: gone }])
            .chain([Operation::Drop { object: Object::Value(gone) }]);
        let steps: Vec<_> = operations.map(|operation| Step::new(ThreadId::MAIN, operation)).collect();
        let run = Engine::run(&mut Reference::default(), &steps, Observe::EveryStep).expect("the reference answers");
        (steps, run)
    }

    #[test]
    fn an_order_that_is_each_engines_own_decides_what_a_program_that_compares_calls() {
        let looks = Program([Operation::HasCurrentContext {}].into());
        for (equality, on_compare) in [(Equality::Never, looks), (Equality::Raises, Program::default())] {
            let (steps, left) = compared_by_a_program(1, equality, on_compare.clone());
            let (_, right) = compared_by_a_program(3, equality, on_compare);
            assert_ne!(left.answers.last(), right.answers.last(), "the order decides");
            assert_eq!(first_difference(&steps, false, &left, &right), None);
            assert!(first_difference(&steps, true, &left, &right).is_some(), "one order is the same for all");
        }
    }
}
