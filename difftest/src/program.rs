//! A trace as a Python program that a person can paste into an interpreter.

use std::fmt::Write;

use contextvars_reference::Reference;
use contextvars_spec::{Action, Equality, Object, Operation, Outcome, Step, ThreadId, Trace};

const PRELUDE: &str = r#"import contextvars, copy, ctypes, pickle, queue, threading, weakref, _thread
from collections.abc import Mapping
from contextvars import Context, ContextVar, Token, copy_context
MISSING = Token.MISSING
api = ctypes.PyDLL(None)
def c_function(name, result, *arguments):
    function = getattr(api, name)
    function.restype, function.argtypes = result, arguments
    return function
O = ctypes.py_object
class Value:
    def __init__(self, name, equality): self.name, self.equality = name, equality
    def __repr__(self): return self.name
    def __eq__(self, other):
        if self.equality == "raises": raise ArithmeticError(f"comparing with {self.name}")
        return isinstance(self.equality, int) and getattr(other, "equality", None) == self.equality
    __hash__ = object.__hash__
def hashed(name, wanted):
    """A name that gives the variable the wanted hash at the address that it is about to have."""
    class Name(str):
        value = 0
        def __hash__(self): return Name.value
    name = Name(name)
    throwaway = ContextVar("x"); address = id(throwaway)
    rotated = (address >> 4 | address << 60) & (1 << 64) - 1
    Name.value = (rotated ^ wanted) & (1 << 64) - 1
    Name.value -= (Name.value >> 63) << 64
    del throwaway
    return name
class Worker:
    """A thread whose current context is NULL, and which does what it is told."""
    def __init__(self):
        self.todo, self.done = queue.Queue(), queue.Queue()
        _thread.start_new_thread(self.work, ())
    def work(self):
        while (function := self.todo.get()) is not None: self.done.put(attempt(function))
        self.done.put(None)
    def do(self, function): self.todo.put(function); return self.done.get()
    def end(self): self.todo.put(None); self.done.get()
def attempt(function):
    try: return function()
    except BaseException as error: return error
def keep(name, function):
    result = attempt(function)
    if not isinstance(result, BaseException): globals()[name] = result
    return result
"#;

/// The trace as a commented Python program. Where the whole trace runs on one thread, `Context.run`
/// is nested for real; elsewhere it is written as enter and exit.
#[must_use]
pub fn python(trace: &Trace) -> String {
    let mut reference = Reference::new();
    let mut writer =
        Writer { text: String::new(), indent: 0, frames: Vec::new(), nested: trace.steps.iter().all(|step| step.thread.is_main()) };
    // Writing to a String never fails.
    let _ = writeln!(writer.text, "# {}", trace.title);
    writer.text.push_str(PRELUDE);
    for (index, step) in trace.steps.iter().enumerate() {
        let outcome = reference.step(step).outcome;
        writer.step(index, step, &outcome);
    }
    while writer.close("None") {}
    writer.text
}

struct Writer {
    text: String,
    indent: usize,
    frames: Vec<(ThreadId, String, usize)>,
    nested: bool,
}

impl Writer {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{:indent$}{text}", "", indent = 4 * self.indent);
    }

    /// Ends the innermost body with a call of `run`, or says that there is none.
    fn close(&mut self, result: &str) -> bool {
        let Some((_, context, number)) = self.frames.pop() else { return false };
        if self.nested {
            self.line(result);
            self.indent -= 1;
            self.line(&format!("print({number}, attempt(lambda: {context}.run(body{number})))"));
        }
        true
    }

    fn step(&mut self, index: usize, step: &Step, outcome: &Outcome) {
        let expected = serde_json::to_string(outcome).unwrap_or_default();
        if *outcome == Outcome::Skipped {
            return self.line(&format!("# {index}: {} is skipped: what it needs is not there", step.operation.tag()));
        }
        match &step.operation {
            Operation::Run { context } if *outcome == Outcome::Called && self.nested => {
                self.line(&format!("def body{index}():  # {index}: what {context}.run calls"));
                self.frames.push((step.thread, context.to_string(), index));
                self.indent += 1;
            }
            Operation::Run { context } if *outcome == Outcome::Called => {
                self.frames.push((step.thread, context.to_string(), index));
                let call = format!("c_function('PyContext_Enter', ctypes.c_int, O)({context})");
                self.call(index, step, &call, "run begins");
            }
            Operation::Return {} | Operation::Raise {} if self.nested => {
                let raises = matches!(step.operation, Operation::Raise {});
                self.close(if raises { "raise ArithmeticError('raised')" } else { "return None" });
                self.line(&format!("# {index}: the model answers {expected}"));
            }
            Operation::Return {} | Operation::Raise {} => {
                if let Some(at) = self.frames.iter().rposition(|(thread, ..)| *thread == step.thread) {
                    let (_, context, _) = self.frames.remove(at);
                    let call = format!("c_function('PyContext_Exit', ctypes.c_int, O)({context})");
                    self.call(index, step, &call, "run ends");
                }
            }
            Operation::StartThread { started } => self.line(&format!("globals()['{started}'] = Worker()")),
            Operation::EndThread {} => self.line(&format!("{}.end()", step.thread)),
            Operation::Drop { object } => self.line(&format!("globals().pop('{object}')")),
            operation => match expression(operation) {
                Some(call) => self.call(index, step, &call, &expected),
                None => self.line(&format!("# {index}: {} has no counterpart in Python; the model answers {expected}", operation.tag())),
            },
        }
    }

    fn call(&mut self, index: usize, step: &Step, call: &str, expected: &str) {
        let function = match step.operation.definition() {
            Some(made) => format!("lambda: keep('{made}', lambda: {call})"),
            None => format!("lambda: {call}"),
        };
        let done = if step.thread.is_main() { format!("attempt({function})") } else { format!("{}.do({function})", step.thread) };
        self.line(&format!("print({index}, {done})  # {expected}"));
    }
}

fn optional(value: Option<contextvars_spec::Value>, before: &str) -> String {
    value.map(|value| format!("{before}{value}")).unwrap_or_default()
}

/// The operation as a Python expression; absent where Python has none.
fn expression(operation: &Operation) -> Option<String> {
    Some(match operation {
        Operation::Value { equality, name, .. } => match equality {
            Equality::Never => format!("Value('{name}', 'never')"),
            Equality::Raises => format!("Value('{name}', 'raises')"),
            Equality::Group(group) => format!("Value('{name}', {group})"),
        },
        Operation::ContextVar { name, hash, default, .. } => {
            let default = optional(*default, ", default=");
            match hash {
                Some(hash) => format!("ContextVar(hashed({name:?}, {hash}){default})"),
                None => format!("ContextVar({name:?}{default})"),
            }
        }
        Operation::CapiVarNew { name, default, .. } => {
            format!(
                "c_function('PyContextVar_New', O, ctypes.c_char_p, ctypes.c_void_p)({name:?}.encode(), {})",
                default.map_or_else(|| "None".to_owned(), |value| format!("id({value})"))
            )
        }
        Operation::VarGet { variable, default } => format!("{variable}.get({})", optional(*default, "")),
        Operation::VarSet { variable, value, .. } => format!("{variable}.set({value})"),
        Operation::VarReset { variable, token } => format!("{variable}.reset({token})"),
        Operation::VarName { variable } => format!("{variable}.name"),
        Operation::TokenVar { token } => format!("{token}.var"),
        Operation::TokenOldValue { token } => format!("{token}.old_value"),
        Operation::TokenEnter { token } => format!("{token}.__enter__()"),
        Operation::TokenExit { token } => format!("{token}.__exit__(None, None, None)"),
        Operation::Context { .. } | Operation::CapiNew { .. } => "Context()".to_owned(),
        Operation::CopyContext { .. } | Operation::CapiCopyCurrent { .. } => "copy_context()".to_owned(),
        Operation::ContextCopy { source, .. } => format!("{source}.copy()"),
        Operation::Run { context } => format!("{context}.run(lambda: None)"),
        Operation::GetItem { context, key } => format!("{context}[{key}]"),
        Operation::Contains { context, key } => format!("{key} in {context}"),
        Operation::ContextGet { context, key, default } => format!("{context}.get({key}{})", optional(*default, ", ")),
        Operation::ContextLen { context } => format!("len({context})"),
        Operation::Iter { context, .. } => format!("iter({context})"),
        Operation::Keys { context, .. } => format!("{context}.keys()"),
        Operation::Values { context, .. } => format!("{context}.values()"),
        Operation::Items { context, .. } => format!("{context}.items()"),
        Operation::Next { iterator } => format!("next({iterator})"),
        Operation::IteratorLen { iterator } => format!("len({iterator})"),
        Operation::Equal { left, right } => format!("{left} == {right}"),
        Operation::NotEqual { left, right } => format!("{left} != {right}"),
        Operation::Repr { object } => format!("repr({object})"),
        Operation::Hash { object } => format!("hash({object})"),
        Operation::Attempt { action, object } => attempt(*action, *object),
        Operation::WeakReference { context, .. } => format!("weakref.ref({context})"),
        Operation::Dereference { reference } => format!("{reference}()"),
        Operation::CapiCopy { source, .. } => format!("c_function('PyContext_Copy', O, O)({source})"),
        Operation::Enter { context } => format!("c_function('PyContext_Enter', ctypes.c_int, O)({context})"),
        Operation::Exit { context } => format!("c_function('PyContext_Exit', ctypes.c_int, O)({context})"),
        Operation::CapiVarGet { variable, default } => format!(
            "(lambda found: c_function('PyContextVar_Get', ctypes.c_int, O, ctypes.c_void_p, ctypes.POINTER(O))({variable}, {}, found) or found)(O())",
            default.map_or_else(|| "None".to_owned(), |value| format!("id({value})"))
        ),
        Operation::CapiVarSet { variable, value, .. } => format!("c_function('PyContextVar_Set', O, O, O)({variable}, {value})"),
        Operation::CapiVarReset { variable, token } => format!("c_function('PyContextVar_Reset', ctypes.c_int, O, O)({variable}, {token})"),
        Operation::ClearWatcher { id } => format!("c_function('PyContext_ClearWatcher', ctypes.c_int, ctypes.c_int)({id})"),
        _ => return None,
    })
}

fn attempt(action: Action, object: Object) -> String {
    match action {
        Action::ConstructWithUnknownKeyword => format!("type({object})(1, z=2)"),
        Action::ConstructWithNameNotStr => "ContextVar(1)".to_owned(),
        Action::CountNameHashes => {
            "(lambda calls: (ContextVar(type('Name', (str,), {'__hash__': lambda self: calls.append(1) or 0})('a')), len(calls))[1])([])"
                .to_owned()
        }
        Action::Construct => format!("type({object})()"),
        Action::Subscript => format!("type(type({object})[int]).__name__"),
        Action::Subclass => format!("type('S', (type({object}),), {{}})"),
        Action::WeakReference => format!("weakref.ref({object})"),
        Action::Pickle => format!("pickle.dumps({object})"),
        Action::CopyCopy => format!("copy.copy({object})"),
        Action::SetAttribute => format!("setattr({object}, 'something', 1)"),
        Action::SetReadOnly => format!("setattr({object}, 'var' if type({object}) is Token else 'name', 1)"),
        Action::SetItem => format!("{object}.__setitem__(None, 1)"),
        Action::Order => format!("{object} < {object}"),
        Action::Truth => format!("bool({object})"),
        Action::IsMapping => format!("isinstance({object}, Mapping)"),
        Action::RunWithoutCallable => format!("{object}.run()"),
        Action::RunWithKeywords => format!("{object}.run(lambda **keywords: len(keywords), callable=1, self=2)"),
        Action::RunNotCallable => format!("{object}.run(1)"),
        Action::ExitWithoutArguments => format!("{object}.__exit__()"),
    }
}
