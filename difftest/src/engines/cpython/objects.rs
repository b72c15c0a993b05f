//! The Python objects behind a trace's handles, and the way back from an address.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};

use contextvars_spec::{
    ContextId, Equality, IteratorId, Object, Observation, ObservedContext, ObservedToken, Outcome, ReferenceId, ThreadId, TokenId, Value,
    ValueId, VariableId,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::capi;

type Held = Py<PyAny>;

/// What the engine shares with the adapter of other interpreters, in the order of imports.
const SHARED: [(&CStr, &CStr, &str); 3] = [
    (c"values", c"values.py", include_str!("../python/adapter/values.py")),
    (c"steering", c"steering.py", include_str!("../python/adapter/steering.py")),
    (c"attempts", c"attempts.py", include_str!("../python/adapter/attempts.py")),
];

/// Everything that a trace holds.
pub(super) struct Objects {
    helpers: Py<PyModule>,
    missing: Held,
    pub(super) values: BTreeMap<ValueId, Held>,
    pub(super) variables: BTreeMap<VariableId, Held>,
    pub(super) tokens: BTreeMap<TokenId, Held>,
    pub(super) contexts: BTreeMap<ContextId, Held>,
    pub(super) iterators: BTreeMap<IteratorId, Held>,
    pub(super) references: BTreeMap<ReferenceId, (ContextId, Held)>,
    /// Values live as long as the trace, so that their addresses are theirs.
    value_at: HashMap<usize, Value>,
    /// Also of variables that the trace has deleted: maps and tokens may still hold them. An address
    /// that is used again belongs to the newer variable.
    variable_at: HashMap<usize, VariableId>,
    /// The threads by CPython's identifiers.
    pub(super) thread_of: HashMap<u64, ThreadId>,
    known_layout: bool,
}

fn address(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr() as usize
}

impl Objects {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let helpers = helpers(py)?;
        let missing = helpers.getattr("MISSING")?;
        let known_layout = helpers.getattr("LAYOUT_IS_KNOWN")?.is_truthy()? && cfg!(target_pointer_width = "64");
        let value_at = HashMap::from([(address(py.None().bind(py)), Value::None), (address(&missing), Value::Missing)]);
        Ok(Self {
            helpers: helpers.unbind(),
            missing: missing.unbind(),
            values: BTreeMap::new(),
            variables: BTreeMap::new(),
            tokens: BTreeMap::new(),
            contexts: BTreeMap::new(),
            iterators: BTreeMap::new(),
            references: BTreeMap::new(),
            value_at,
            variable_at: HashMap::new(),
            thread_of: HashMap::new(),
            known_layout,
        })
    }

    pub(super) fn helper<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.helpers.bind(py).getattr(name)
    }

    pub(super) fn object<'py>(&self, py: Python<'py>, object: Object) -> Option<Bound<'py, PyAny>> {
        let held = match object {
            Object::None => return Some(py.None().into_bound(py)),
            Object::Missing => Some(&self.missing),
            Object::Value(id) => self.values.get(&id),
            Object::Variable(id) => self.variables.get(&id),
            Object::Token(id) => self.tokens.get(&id),
            Object::Context(id) => self.contexts.get(&id),
            Object::Iterator(id) => self.iterators.get(&id),
        };
        held.map(|held| held.bind(py).clone())
    }

    pub(super) fn new_value(&mut self, py: Python<'_>, id: ValueId, equality: Equality) -> PyResult<()> {
        let class = self.helper(py, "Plain")?;
        let value = match equality {
            Equality::Never => class.call1((id.to_string(), py.None()))?,
            Equality::Raises => class.call1((id.to_string(), "raises"))?,
            Equality::Group(group) => class.call1((id.to_string(), group))?,
        };
        self.value_at.insert(address(&value), Value::Made(id));
        self.values.insert(id, value.unbind());
        Ok(())
    }

    pub(super) fn new_variable(
        &mut self,
        py: Python<'_>,
        id: VariableId,
        name: &str,
        hash: Option<i64>,
        default: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let keywords = PyDict::new(py);
        if let Some(default) = default {
            keywords.set_item("default", default)?;
        }
        let variable = match hash {
            // CPython replaces -1, its sign of an error, by -2.
            Some(hash) => {
                let name = self.helper(py, "Name")?.call1((name,))?;
                self.helper(py, "steer")?.call1((name, if hash == -1 { -2 } else { hash }, keywords))?
            }
            None => self.helper(py, "ContextVar")?.call((name,), Some(&keywords))?,
        };
        self.name_variable(id, variable);
        Ok(())
    }

    pub(super) fn name_variable(&mut self, id: VariableId, variable: Bound<'_, PyAny>) {
        self.variable_at.insert(address(&variable), id);
        self.variables.insert(id, variable.unbind());
    }

    pub(super) fn value_of(&self, object: &Bound<'_, PyAny>) -> Option<Value> {
        self.value_at.get(&address(object)).copied()
    }

    pub(super) fn variable_of(&self, object: &Bound<'_, PyAny>) -> Option<VariableId> {
        self.variable_at.get(&address(object)).copied()
    }

    /// The outcome that is this object; its text where the trace does not know it.
    pub(super) fn known(&self, object: &Bound<'_, PyAny>) -> Outcome {
        let known = self.value_of(object).map(Object::from).or_else(|| self.variable_of(object).map(Object::Variable));
        match known {
            Some(object) => Outcome::Object(object),
            None => Outcome::Text(self.repr(object).unwrap_or_else(|_| "an unknown object".to_owned()).into()),
        }
    }

    /// The object's `repr` with handles in the place of addresses.
    pub(super) fn repr(&self, object: &Bound<'_, PyAny>) -> PyResult<String> {
        let text = object.repr()?.to_string();
        let named = replace_addresses(&text, |at| {
            fn holder<Id: ToString>(all: &BTreeMap<Id, Held>, at: usize) -> Option<String> {
                all.iter().find(|(_, held)| held.as_ptr() as usize == at).map(|(id, _)| id.to_string())
            }
            let variable = self.variable_at.get(&at).map(ToString::to_string);
            variable.or_else(|| holder(&self.tokens, at)).or_else(|| holder(&self.contexts, at)).or_else(|| holder(&self.iterators, at))
        });
        // Python 3.9 leaves the module out.
        Ok(named.replace("<Context object", "<_contextvars.Context object"))
    }

    /// The context of the trace that stands at an address.
    pub(super) fn context_at(&self, address: usize) -> Option<ContextId> {
        self.contexts.iter().find(|(_, held)| held.as_ptr() as usize == address).map(|(&id, _)| id)
    }

    /// The raw content of a variable's cache; absent where its layout is not known.
    pub(super) fn cache(&self, variable: &Bound<'_, PyAny>) -> Outcome {
        if !self.known_layout {
            return Outcome::Unsupported;
        }
        let (value, thread, context_ver) = capi::cache(variable);
        if value == 0 {
            return Outcome::Cache(None);
        }
        match (self.value_at.get(&value), self.thread_of.get(&thread)) {
            (Some(&value), Some(&thread)) => Outcome::Cache(Some(contextvars_spec::CacheEntry { value, thread, context_ver })),
            _ => Outcome::Text("a cached value or a thread that the trace does not know".into()),
        }
    }

    /// Every context and token that the trace holds, without touching a cache.
    pub(super) fn observe(&self, py: Python<'_>) -> PyResult<Observation> {
        let mut observation = Observation::default();
        for (&context, held) in &self.contexts {
            let mut bindings = Vec::new();
            for item in held.bind(py).call_method0("items")?.try_iter()? {
                let (variable, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
                bindings.extend(self.variable_of(&variable).zip(self.value_of(&value)));
            }
            observation.contexts.push(ObservedContext { context, bindings });
        }
        for (&token, held) in &self.tokens {
            let held = held.bind(py);
            let (variable, old_value) = (held.getattr("var")?, held.getattr("old_value")?);
            let used = held.repr()?.to_string().starts_with("<Token used");
            if let Some((variable, old_value)) = self.variable_of(&variable).zip(self.value_of(&old_value)) {
                observation.tokens.push(ObservedToken { token, variable, old_value, used });
            }
        }
        Ok(observation)
    }
}

/// Compiled once a process: compiling takes longer than most traces.
fn helpers(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    static HELPERS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = HELPERS.get_or_try_init(py, || -> PyResult<_> {
        // Under their names, by which the helpers import them.
        for (name, file, source) in SHARED {
            PyModule::from_code(py, &c_str(source), file, name)?;
        }
        let source = c_str(include_str!("helpers.py"));
        let module = PyModule::from_code(py, &source, c"helpers.py", c"contextvars_difftest_helpers")?;
        module.setattr("KNOWN_SIZE", capi::KNOWN_LAYOUT)?;
        let known = module.call_method0("layout_is_known")?;
        module.setattr("LAYOUT_IS_KNOWN", known)?;
        Ok(module.unbind())
    })?;
    Ok(module.bind(py).clone())
}

/// A source file has no NUL, so that this loses nothing.
pub(super) fn c_str(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

/// Replaces every `0x…` that `name` knows.
pub(super) fn replace_addresses(text: &str, name: impl Fn(usize) -> Option<String>) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let digits = rest[at + 2..].find(|character: char| !character.is_ascii_hexdigit()).map_or(rest.len(), |end| at + 2 + end);
        replaced.push_str(&rest[..at]);
        let known = usize::from_str_radix(&rest[at + 2..digits], 16).ok().and_then(&name);
        replaced.push_str(known.as_deref().unwrap_or(&rest[at..digits]));
        rest = &rest[digits..];
    }
    replaced.push_str(rest);
    replaced
}
