//! What is known of one map of bindings, by whom, and whether it fits together.

use contextvars_spec::{ContextId, Object, Rule, ThreadId, Value, VariableId};
use rustc_hash::FxHashMap;

use super::{Broken, Checked};

/// What a variable may be bound to, by one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// It is not bound.
    No,
    /// It can only be bound to this.
    To(Value),
    /// It can be bound to anything.
    Something,
    /// It can only be bound to an object that the trace does not know.
    Strange,
}

/// What one answer says of a binding: to what the variable may be bound, and whether it may be unbound.
/// `var.get(x)` that answers `x` leaves both open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) bound: Bound,
    pub(super) unbound: bool,
}

impl Reading {
    pub(super) const UNBOUND: Self = Self { bound: Bound::No, unbound: true };
    pub(super) const BOUND: Self = Self { bound: Bound::Something, unbound: false };

    pub(super) fn to(value: Value) -> Self {
        Self { bound: Bound::To(value), unbound: false }
    }

    /// The only old value that a token of a set can have now, if the answer leaves only one.
    pub(super) fn old_value(self) -> Option<Value> {
        match self {
            Self { bound: Bound::No, unbound: true } => Some(Value::Missing),
            Self { bound: Bound::To(value), unbound: false } => Some(value),
            _ => None,
        }
    }

    fn agrees(self, other: Self) -> bool {
        let bound = match (self.bound, other.bound) {
            (Bound::No, _) | (_, Bound::No) => false,
            (Bound::Something, _) | (_, Bound::Something) => true,
            (Bound::To(left), Bound::To(right)) => left == right,
            (Bound::Strange, _) | (_, Bound::Strange) => false,
        };
        bound || (self.unbound && other.unbound)
    }

    fn says(self) -> String {
        let bound = match self.bound {
            Bound::No => None,
            Bound::To(value) => Some(format!("bound to `{}`", Object::from(value))),
            Bound::Something => Some("bound".to_owned()),
            Bound::Strange => Some("bound to an object that the trace does not know".to_owned()),
        };
        let parts: Vec<_> = bound.into_iter().chain(self.unbound.then(|| "unbound".to_owned())).collect();
        parts.join(" or ")
    }
}

/// By what a binding was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `var.get` in a thread.
    Get(ThreadId),
    /// `c[var]`, `var in c` or `c.get(var)`.
    Mapping(ContextId),
    /// Iteration over `c`.
    Iteration(ContextId),
    /// `var.set` or `var.reset` in a thread has written it.
    Write(ThreadId),
}

impl Way {
    const COUNT: usize = 4;

    fn index(self) -> usize {
        match self {
            Self::Get(_) => 0,
            Self::Mapping(_) => 1,
            Self::Iteration(_) => 2,
            Self::Write(_) => 3,
        }
    }

    fn context(self) -> Option<ContextId> {
        match self {
            Self::Mapping(context) | Self::Iteration(context) => Some(context),
            Self::Get(_) | Self::Write(_) => None,
        }
    }

    fn says(self) -> String {
        match self {
            Self::Get(thread) => format!("`get` in `{thread}`"),
            Self::Mapping(context) => format!("the mapping `{context}`"),
            Self::Iteration(context) => format!("iteration over `{context}`"),
            Self::Write(thread) => format!("a write in `{thread}`"),
        }
    }
}

/// One answer about a binding.
#[derive(Clone, Copy, Debug)]
struct Fact {
    reading: Reading,
    way: Way,
    step: usize,
}

/// One answer about a size or a place, and the step that gave it.
#[derive(Clone, Copy, Debug)]
struct Said<T> {
    what: T,
    of: ContextId,
    step: usize,
}

/// A place in the order of iteration.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    key: Option<Said<VariableId>>,
    value: Option<Said<Value>>,
}

/// What is known of the bindings that a context has at some time. Copies and iterators share it, as
/// engines may share the map.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    facts: FxHashMap<VariableId, [Option<Fact>; Way::COUNT]>,
    size: Option<Said<usize>>,
    /// By place in the order of iteration.
    places: Vec<Place>,
    at: FxHashMap<VariableId, usize>,
    /// Whether every place has a key, and all of them are there.
    complete: bool,
    /// The step after which it was written last.
    written: usize,
}

impl Map {
    /// Takes in what an answer says of a variable's binding.
    pub(super) fn take(
        &mut self,
        step: usize,
        variable: VariableId,
        way: Way,
        reading: Reading,
        checked: &mut Checked,
    ) -> Result<(), Box<Broken>> {
        let written = self.written;
        let facts = self.facts.entry(variable).or_default();
        for fact in facts.iter().flatten() {
            let law = law_of(fact, way, step, written);
            checked.note(law, fact.reading.agrees(reading), || Broken {
                law,
                first: fact.step,
                second: step,
                text: format!("`{variable}` is {} by {} and {} by {}", fact.reading.says(), fact.way.says(), reading.says(), way.says()),
            })?;
        }
        let place = &mut facts[way.index()];
        // An answer that says less does not take the place of one that says more.
        if place.is_none_or(|fact| fact.reading.old_value().is_none() || reading.old_value().is_some()) {
            *place = Some(Fact { reading, way, step });
        }
        if self.complete && !self.at.contains_key(&variable) {
            let law = match way {
                Way::Get(_) => Rule::Law1,
                Way::Mapping(_) => Rule::Law4,
                Way::Iteration(_) => Rule::Law3,
                Way::Write(_) => Rule::Law6,
            };
            checked.note(law, reading.agrees(Reading::UNBOUND), || Broken {
                law,
                first: self.size.map_or(step, |size| size.step),
                second: step,
                text: format!("`{variable}` is not given by iteration and is {} by {}", reading.says(), way.says()),
            })?;
        }
        Ok(())
    }

    /// The only old value that a token of a set can have now, if the answers leave only one.
    pub(super) fn old_value(&self, variable: VariableId) -> Option<Value> {
        let told = self.facts.get(&variable).into_iter().flatten().flatten().find_map(|fact| fact.reading.old_value());
        told.or_else(|| (self.complete && !self.at.contains_key(&variable)).then_some(Value::Missing))
    }

    /// Takes in how many bindings an answer says there are.
    pub(super) fn take_size(&mut self, step: usize, of: ContextId, size: usize, checked: &mut Checked) -> Result<(), Box<Broken>> {
        if let Some(known) = self.size {
            // After a write the size is known by what was written.
            let law = match known {
                known if known.step < self.written => Rule::Law6,
                known if known.of != of => Rule::Law5,
                _ => Rule::Law3,
            };
            checked.note(law, known.what == size, || Broken {
                law,
                first: known.step,
                second: step,
                text: format!("`{}` has {} bindings and `{of}` has {size}", known.of, known.what),
            })?;
        }
        self.size = Some(Said { what: size, of, step });
        let counted = self.places.len();
        checked.note(Rule::Law3, counted <= size, || Broken {
            law: Rule::Law3,
            first: step,
            second: step,
            text: format!("`{of}` has {size} bindings and gives {counted} in iteration"),
        })
    }

    /// Takes in whether an answer says that there are bindings.
    pub(super) fn take_truth(&self, step: usize, of: ContextId, truth: bool, checked: &mut Checked) -> Result<(), Box<Broken>> {
        let Some(size) = self.size else { return Ok(()) };
        checked.note(Rule::Law3, truth == (size.what > 0), || Broken {
            law: Rule::Law3,
            first: size.step,
            second: step,
            text: format!("`{}` has {} bindings and `bool({of})` is {truth}", size.of, size.what),
        })
    }

    /// Takes in what iteration gives at a place.
    pub(super) fn take_place(
        &mut self,
        step: usize,
        of: ContextId,
        index: usize,
        key: Option<VariableId>,
        value: Option<Value>,
        checked: &mut Checked,
    ) -> Result<(), Box<Broken>> {
        if let Some(size) = self.size {
            checked.note(Rule::Law3, index < size.what, || Broken {
                law: Rule::Law3,
                first: size.step,
                second: step,
                text: format!("`{}` has {} bindings and iteration over `{of}` gives more", size.of, size.what),
            })?;
        }
        if self.places.len() <= index {
            self.places.resize(index + 1, Place::default());
        }
        let place = &mut self.places[index];
        if let (Some(known), Some(key)) = (place.key, key) {
            let law = if known.of == of { Rule::Law4 } else { Rule::Law5 };
            checked.note(law, known.what == key, || Broken {
                law,
                first: known.step,
                second: step,
                text: format!("iteration gives `{}` of `{}` and `{key}` of `{of}` at the same place, {index}", known.what, known.of),
            })?;
        }
        if let (Some(known), Some(value)) = (place.value, value) {
            let law = if known.of == of { Rule::Law4 } else { Rule::Law5 };
            checked.note(law, known.what == value, || Broken {
                law,
                first: known.step,
                second: step,
                text: format!(
                    "iteration gives `{}` of `{}` and `{}` of `{of}` at the same place, {index}",
                    Object::from(known.what),
                    known.of,
                    Object::from(value)
                ),
            })?;
        }
        place.key = place.key.or(key.map(|what| Said { what, of, step }));
        place.value = place.value.or(value.map(|what| Said { what, of, step }));
        let both = place.key.zip(place.value);
        if let Some(key) = key {
            let before = *self.at.entry(key).or_insert(index);
            checked.note(Rule::Law3, before == index, || Broken {
                law: Rule::Law3,
                first: self.places[before].key.map_or(step, |known| known.step),
                second: step,
                text: format!("iteration over `{of}` gives `{key}` twice, at places {before} and {index}"),
            })?;
            self.take(step, key, Way::Iteration(of), Reading::BOUND, checked)?;
        }
        match both {
            Some((key, value)) => self.take(step, key.what, Way::Iteration(of), Reading::to(value.what), checked),
            None => Ok(()),
        }
    }

    /// Takes in that iteration ends after so many.
    pub(super) fn take_end(&mut self, step: usize, of: ContextId, count: usize, checked: &mut Checked) -> Result<(), Box<Broken>> {
        self.take_size(step, of, count, checked)?;
        self.complete = self.places.len() == count && self.places.iter().all(|place| place.key.is_some());
        if self.complete && self.facts.len() > count {
            for (variable, facts) in &self.facts {
                for fact in facts.iter().flatten().filter(|_| !self.at.contains_key(variable)) {
                    let law = law_of(fact, Way::Iteration(of), step, self.written);
                    checked.note(law, fact.reading.agrees(Reading::UNBOUND), || Broken {
                        law,
                        first: fact.step,
                        second: step,
                        text: format!(
                            "`{variable}` is {} by {} and iteration over `{of}` does not give it",
                            fact.reading.says(),
                            fact.way.says()
                        ),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Takes in every binding of a context, in order.
    pub(super) fn take_all(
        &mut self,
        step: usize,
        of: ContextId,
        bindings: &[(VariableId, Value)],
        checked: &mut Checked,
    ) -> Result<(), Box<Broken>> {
        // Most contexts have not changed since they were read last.
        let is_known = |(place, (key, value)): (&Place, &(VariableId, Value))| {
            place.key.is_some_and(|known| known.what == *key) && place.value.is_some_and(|known| known.what == *value)
        };
        if self.complete && self.places.len() == bindings.len() && self.places.iter().zip(bindings).all(is_known) {
            let law = if self.size.is_some_and(|size| size.of == of) { Rule::Law4 } else { Rule::Law5 };
            checked.count_one(law);
            return Ok(());
        }
        for (index, (key, value)) in bindings.iter().enumerate() {
            self.take_place(step, of, index, Some(*key), Some(*value), checked)?;
        }
        self.take_end(step, of, bindings.len(), checked)
    }

    /// Changes one binding: what is known of the others stays, but for their places.
    pub(super) fn write(&mut self, step: usize, variable: VariableId, thread: ThreadId, after: Option<Reading>) {
        let was_bound = self.is_bound(variable);
        let is_bound = after.and_then(Reading::is_bound);
        self.size = self.size.and_then(|size| {
            let what = match (was_bound?, is_bound?) {
                (false, true) => size.what + 1,
                (true, false) => size.what.checked_sub(1)?,
                _ => size.what,
            };
            Some(Said { what, ..size })
        });
        self.places.clear();
        self.at.clear();
        self.complete = false;
        self.written = step;
        let facts = self.facts.entry(variable).or_default();
        *facts = [None; Way::COUNT];
        if let Some(reading) = after {
            let way = Way::Write(thread);
            facts[way.index()] = Some(Fact { reading, way, step });
        }
    }

    fn is_bound(&self, variable: VariableId) -> Option<bool> {
        if self.complete {
            return Some(self.at.contains_key(&variable));
        }
        self.facts.get(&variable).into_iter().flatten().flatten().find_map(|fact| fact.reading.is_bound())
    }

    /// How many bindings there are, where an answer has told.
    pub(super) fn size(&self) -> Option<usize> {
        self.size.map(|size| size.what)
    }

    /// The bindings, sorted, where iteration has given all of them.
    pub(super) fn bindings(&self) -> Option<Vec<(VariableId, Value)>> {
        let all = self.places.iter().map(|place| Some((place.key?.what, place.value?.what)));
        let mut all = all.collect::<Option<Vec<_>>>().filter(|_| self.complete)?;
        all.sort_unstable();
        Some(all)
    }
}

impl Reading {
    fn is_bound(self) -> Option<bool> {
        match self {
            Self { bound: Bound::No, unbound: true } => Some(false),
            Self { bound, unbound: false } => Some(bound != Bound::No),
            _ => None,
        }
    }
}

/// The law that two answers about one binding are held to.
fn law_of(fact: &Fact, way: Way, step: usize, written: usize) -> Rule {
    let other_side = |left: Way, right: Way| matches!((left.context(), right.context()), (Some(left), Some(right)) if left != right);
    if matches!(fact.way, Way::Write(_)) || (fact.step < written && written < step) {
        Rule::Law6
    } else if matches!(fact.way, Way::Get(_)) || matches!(way, Way::Get(_)) {
        Rule::Law1
    } else if other_side(fact.way, way) {
        Rule::Law5
    } else if matches!(fact.way, Way::Mapping(_)) && matches!(way, Way::Mapping(_)) {
        Rule::Law2
    } else {
        Rule::Law4
    }
}
