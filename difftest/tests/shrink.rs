//! Counterexamples in which programs run, and others that show the same with less; and how often it must show for that.

use contextvars_difftest::shrink::shrink;
use contextvars_reference::Reference;
use contextvars_spec::{Engine, Object, Observe, Operation, Outcome, Program, Step, ThreadId, TokenId, Value, VariableId};

/// Two contexts whose comparison runs programs: the first gets a variable and enters a context in which it is not
/// bound, the second sets and gets it.
const COMPARED: &str = r#"[
    {"op": "Context", "as": "ctx0"},
    {"op": "ContextVar", "name": "a", "hash": 0, "as": "var1"},
    {"op": "ContextVar", "name": "a", "hash": 1, "as": "var2"},
    {"op": "ContextVar", "name": "a", "hash": 2, "default": "None", "as": "var3"},
    {"op": "Context", "as": "ctx1"},
    {"op": "PyContext_Enter", "context": "ctx1"},
    {"op": "value", "equality": {"group": 0}, "on_compare": [
        {"op": "ContextVar.get", "variable": "var3"},
        {"op": "PyContext_Enter", "context": "ctx0"},
        {"op": "ContextVar.get", "variable": "var3", "default": "MISSING"}
    ], "as": "val1"},
    {"op": "ContextVar.set", "variable": "var1", "value": "val1", "as": "tok1"},
    {"op": "value", "equality": {"group": 0}, "on_compare": [
        {"op": "ContextVar.set", "variable": "var3", "value": "MISSING", "as": "tok2"},
        {"op": "ContextVar.get", "variable": "var3"}
    ], "as": "val2"},
    {"op": "ContextVar.set", "variable": "var2", "value": "val2", "as": "tok3"},
    {"op": "ContextVar.set", "variable": "var3", "value": "None", "as": "tok4"},
    {"op": "Context", "as": "ctx2"},
    {"op": "PyContext_Enter", "context": "ctx2"},
    {"op": "value", "equality": {"group": 0}, "as": "val3"},
    {"op": "ContextVar.set", "variable": "var1", "value": "val3", "as": "tok5"},
    {"op": "value", "equality": {"group": 0}, "as": "val4"},
    {"op": "ContextVar.set", "variable": "var2", "value": "val4", "as": "tok6"},
    {"op": "ContextVar.set", "variable": "var3", "value": "None", "as": "tok7"},
    {"op": "==", "left": "ctx1", "right": "ctx2"}
]"#;

/// What was done and answered, in this order, whether by steps or by programs.
fn done(steps: &[Step]) -> Vec<(Operation, Outcome)> {
    let run = Reference::default().run(steps, Observe::Every(usize::MAX)).expect("the reference answers");
    let mut done = Vec::new();
    for (step, answer) in steps.iter().zip(run.answers) {
        for call in answer.calls {
            let made = steps.iter().find_map(|made| match &made.operation {
                Operation::Value { name, on_compare, .. } if call.of == Object::Value(*name) => Some(on_compare),
                _ => None,
            });
            done.extend(made.into_iter().flat_map(|Program(operations)| operations.iter().cloned()).zip(call.outcomes));
        }
        done.push((step.operation.clone(), answer.outcome));
    }
    done
}

fn shrunk(fails: impl Fn(&[(Operation, Outcome)]) -> bool) -> Vec<Step> {
    let steps: Vec<Step> = serde_json::from_str(COMPARED).expect("steps");
    let mut fails = |steps: &[Step]| fails(&done(steps));
    assert!(fails(&steps));
    shrink(&steps, &mut fails)
}

fn got(done: &(Operation, Outcome), object: Object) -> bool {
    matches!(done, (Operation::VarGet { .. }, Outcome::Object(found)) if *found == object)
}

#[test]
fn what_a_program_does_later_is_tried_as_an_early_step() {
    let left = shrunk(|done| {
        let given = |operation: &Operation| matches!(operation, Operation::VarGet { default: Some(_), .. });
        done.iter().any(|done| given(&done.0) && got(done, Object::Missing))
    });
    assert_eq!(left.len(), 2, "{left:#?}");
}

#[test]
fn what_programs_do_one_after_another_is_tried_as_steps() {
    let left = shrunk(|done| {
        let set = |operation: &Operation| matches!(operation, Operation::VarSet { .. });
        let Some(first) = done.iter().position(|done| got(done, Object::None)) else { return false };
        done[first..].windows(2).any(|done| set(&done[0].0) && got(&done[1], Object::Missing))
    });
    let has_programs = left.iter().any(|step| step.operation.programs().any(|program| !program.is_empty()));
    assert!(left.len() <= 5 && !has_programs, "{left:#?}");
}

/// What hangs takes all of its time each time that it shows.
#[test]
fn what_no_operation_of_a_kind_needs_goes_from_all_at_once() {
    let variable = |number: u32| Operation::ContextVar {
        name: format!("name{number}").into(),
        hash: Some(i64::from(number % 4)),
        default: Some(Value::Missing),
        on_hash: Program::default(),
        variable: VariableId(number),
    };
    let set = |number| Operation::VarSet { variable: VariableId(number), value: Value::Missing, token: TokenId(number) };
    let steps: Vec<_> = (0..64).flat_map(|number| [variable(number), set(number)]).map(|made| Step::new(ThreadId::MAIN, made)).collect();
    let needs = |step: &Step| match &step.operation {
        Operation::ContextVar { hash, variable, .. } => *hash == Some(i64::from(variable.0 % 4)),
        _ => true,
    };
    let mut shown = 0;
    let left = shrink(&steps, &mut |tried| {
        let shows = tried.len() == steps.len() && tried.iter().all(needs);
        shown += usize::from(shows);
        shows
    });
    let is_plain = |step: &Step| match &step.operation {
        Operation::ContextVar { name, default, .. } => name.to_string() == "a" && default.is_none(),
        operation => matches!(operation, Operation::VarSet { value: Value::None, .. }),
    };
    assert!(left.iter().all(is_plain), "{left:#?}");
    assert_eq!(shown, 3, "of names, defaults and values, each once");
}
