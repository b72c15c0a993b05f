//! The optimized contexts against `BTreeMap`s, through the public interface alone.

use std::collections::BTreeMap;
use std::fmt;

use contextvars_optimized::{Context, ContextVar, EnterError, ExitError, Iter, LookupError, ResetError, ThreadState, Token, fold_hash};

/// How many objects of a kind are made at the most; an index of one byte reaches all.
const MAX_OBJECTS: usize = 256;

/// One operation, four bytes of an input but for a variable's eight bytes of hash. Indices are taken
/// modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A variable with a hash.
    Variable(i64),
    /// A variable whose hash is near that of another: how, and how far.
    VariableNear(u8, u8, u8),
    /// On a thread, binds a variable to a value.
    Set(u8, u8, u8),
    /// On a thread, resets the token's variable, or the one after it.
    Reset(u8, u8, bool),
    /// On a thread, reads a variable.
    Get(u8, u8),
    /// An empty context.
    New,
    /// A copy of a context, or of a thread's current one.
    Copy(u8),
    /// See [`Op::Copy`].
    CopyCurrent(u8),
    /// On a thread, enters a context.
    Enter(u8, u8),
    /// On a thread, exits a context, or the current one.
    Exit(u8, u8, bool),
    /// Reads all of a context.
    Read(u8),
    /// Compares two contexts.
    Equal(u8, u8),
    /// An iterator that is kept while its context changes.
    Iterate(u8),
    /// The next binding of an iterator.
    Next(u8),
    /// Forgets a context: what it shares must stay.
    Forget(u8),
}

/// The operations of an input; a cut one at the end is passed over.
#[must_use]
pub fn decode(mut data: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while let Some((&[code, a, b, c], rest)) = data.split_first_chunk() {
        data = rest;
        ops.push(match code % 16 {
            0 => {
                let Some((hash, rest)) = data.split_first_chunk() else { break };
                data = rest;
                Op::Variable(i64::from_le_bytes(*hash))
            }
            1 => Op::VariableNear(a, b, c),
            2..=4 => Op::Set(a, b, c),
            5 => Op::Reset(a, b, c < 230),
            6 => Op::Get(a, b),
            7 => Op::New,
            8 => Op::Copy(a),
            9 => Op::CopyCurrent(a),
            10 => Op::Enter(a, b),
            11 => Op::Exit(a, b, c < 200),
            12 => Op::Read(a),
            13 => Op::Equal(a, b),
            14 if c < 128 => Op::Iterate(a),
            14 => Op::Next(a),
            _ if c < 200 => Op::Read(a),
            _ => Op::Forget(a),
        });
    }
    ops
}

/// The bytes of operations, for seeds.
#[must_use]
pub fn encode(ops: &[Op]) -> Vec<u8> {
    let mut data = Vec::new();
    for op in ops {
        let bytes = match *op {
            Op::Variable(hash) => {
                data.extend([0; 4]);
                data.extend(hash.to_le_bytes());
                continue;
            }
            Op::VariableNear(a, b, c) => [1, a, b, c],
            Op::Set(a, b, c) => [2, a, b, c],
            Op::Reset(a, b, same) => [5, a, b, if same { 0 } else { 255 }],
            Op::Get(a, b) => [6, a, b, 0],
            Op::New => [7, 0, 0, 0],
            Op::Copy(a) => [8, a, 0, 0],
            Op::CopyCurrent(a) => [9, a, 0, 0],
            Op::Enter(a, b) => [10, a, b, 0],
            Op::Exit(a, b, current) => [11, a, b, if current { 0 } else { 255 }],
            Op::Read(a) => [12, a, 0, 0],
            Op::Equal(a, b) => [13, a, b, 0],
            Op::Iterate(a) => [14, a, 0, 0],
            Op::Next(a) => [14, a, 0, 255],
            Op::Forget(a) => [15, a, 0, 255],
        };
        data.extend(bytes);
    }
    data
}

/// Carries the operations of an input out on both, and compares each answer, and at the end all
/// that there is.
///
/// # Panics
///
/// Where they differ, with the operations up to there.
pub fn check(data: &[u8]) {
    let ops = decode(data);
    let mut pair = Pair::new();
    for (index, &op) in ops.iter().enumerate() {
        if let Err(difference) = pair.carry_out(op) {
            panic!("after {:#?}\n{difference}", &ops[..=index]);
        }
    }
    for index in 0..pair.contexts.len() {
        if let Err(difference) = pair.read(index) {
            panic!("at the end of {ops:#?}\n{difference}");
        }
    }
    // A thread's base context that is entered again has itself as the previous one, and holds itself
    // until it is exited. Without this, the leak would hide every other.
    for (state, _) in &pair.threads {
        while state.current().is_some_and(|current| state.exit(&current).is_ok()) {}
    }
}

/// Bindings by their place in the order: the folded hash, level by level, then age.
type Bindings = BTreeMap<(u64, u64), (usize, u8)>;

/// The plain side of a context.
#[derive(Clone, Debug, Default)]
struct Model {
    bindings: Bindings,
    entered: bool,
    previous: Option<usize>,
}

struct PlainToken {
    context: usize,
    variable: usize,
    old: Option<u8>,
    used: bool,
}

/// An iterator, what a map's says in its order, and how many entries there were when they were made.
type IteratorPair = (Iter<u8>, std::vec::IntoIter<(usize, u8)>, usize);

/// Both sides. Contexts have one index on either; a forgotten one has no handle any more.
struct Pair {
    variables: Vec<(ContextVar<u8>, u64)>,
    contexts: Vec<(Option<Context<u8>>, Model)>,
    tokens: Vec<(Token<u8>, PlainToken)>,
    iterators: Vec<IteratorPair>,
    threads: [(ThreadState<u8>, Option<usize>); 2],
    age: u64,
}

fn same<T: PartialEq + fmt::Debug>(what: &str, optimized: T, plain: T) -> Result<(), String> {
    if optimized == plain { Ok(()) } else { Err(format!("{what}: optimized {optimized:?}, plain {plain:?}")) }
}

/// An index taken modulo a number of things, of which the newest are the first.
fn pick(index: u8, count: usize) -> Option<usize> {
    (usize::from(index)).checked_rem(count).map(|back| count - 1 - back)
}

impl Pair {
    fn new() -> Self {
        Self {
            variables: Vec::new(),
            contexts: Vec::new(),
            tokens: Vec::new(),
            iterators: Vec::new(),
            threads: [(ThreadState::new(), None), (ThreadState::new(), None)],
            age: 0,
        }
    }

    fn variable(&mut self, hash: i64) {
        if self.variables.len() < MAX_OBJECTS {
            let folded = fold_hash(hash);
            let place = (0..7).fold(0, |place, level| place << 5 | u64::from(folded >> (5 * level) & 31));
            self.variables.push((ContextVar::with_hash("v", hash, None), place));
        }
    }

    fn add(&mut self, context: Context<u8>, model: Model) {
        if self.contexts.len() < MAX_OBJECTS {
            self.contexts.push((Some(context), model));
        }
    }

    /// The index of a thread's current context, made where there is none (SET-2).
    fn current_or_base(&mut self, thread: usize) -> usize {
        if let Some(current) = self.threads[thread].1 {
            return current;
        }
        let base = self.contexts.len();
        // Beyond the limit too: it is there on the other side.
        self.contexts.push((Some(self.threads[thread].0.current_or_base()), Model::default()));
        self.threads[thread].1 = Some(base);
        base
    }

    fn find(&self, context: usize, variable: usize) -> Option<(u64, u64)> {
        let place = self.variables[variable].1;
        let alike = self.contexts[context].1.bindings.range((place, 0)..=(place, u64::MAX));
        alike.filter(|(_, (other, _))| *other == variable).map(|(key, _)| *key).next()
    }

    fn value(&self, context: usize, variable: usize) -> Option<u8> {
        self.find(context, variable).map(|key| self.contexts[context].1.bindings[&key].1)
    }

    fn bind(&mut self, context: usize, variable: usize, value: u8) {
        self.age += 1;
        let key = self.find(context, variable).unwrap_or((self.variables[variable].1, self.age));
        self.contexts[context].1.bindings.insert(key, (variable, value));
    }

    fn carry_out(&mut self, op: Op) -> Result<(), String> {
        let count = self.contexts.len();
        match op {
            Op::Variable(hash) => self.variable(hash),
            Op::VariableNear(of, how, far) => {
                let near = pick(of, self.variables.len()).map_or(0, |index| self.variables[index].0.hash());
                let far = i64::from(far);
                self.variable(match how % 6 {
                    0 => near,
                    1 => near ^ (1 + far % 31) << (5 * (i64::from(how) / 6 % 7)),
                    2 => near ^ far << 32 ^ far,
                    3 => near.wrapping_add(far),
                    4 => -1 - (far & 1),
                    _ => near ^ far << 56,
                });
            }
            Op::Set(thread, variable, value) => self.set(thread, variable, value)?,
            Op::Reset(thread, token, fits) => self.reset(thread, token, fits)?,
            Op::Get(thread, variable) => {
                let Some(variable) = pick(variable, self.variables.len()) else { return Ok(()) };
                let (state, current) = &self.threads[usize::from(thread & 1)];
                let expected = current.and_then(|current| self.value(current, variable)).ok_or(LookupError);
                same("get", state.get(&self.variables[variable].0).map(|value| *value), expected)?;
            }
            Op::New => self.add(Context::new(), Model::default()),
            Op::Copy(of) => {
                if let Some((Some(context), model)) = pick(of, count).map(|index| &self.contexts[index]) {
                    let (copy, bindings) = (context.copy(), model.bindings.clone());
                    self.add(copy, Model { bindings, ..Model::default() });
                }
            }
            Op::CopyCurrent(thread) => {
                let thread = usize::from(thread & 1);
                let current = self.current_or_base(thread);
                let (copy, bindings) = (self.threads[thread].0.copy_context(), self.contexts[current].1.bindings.clone());
                self.add(copy, Model { bindings, ..Model::default() });
            }
            Op::Enter(thread, context) => self.enter(usize::from(thread & 1), context)?,
            Op::Exit(thread, context, current) => self.exit(usize::from(thread & 1), context, current)?,
            Op::Read(context) => {
                if let Some(index) = pick(context, count) {
                    self.read(index)?;
                }
            }
            Op::Equal(left, right) => {
                let (Some(left), Some(right)) = (pick(left, count), pick(right, count)) else { return Ok(()) };
                let pair = [left, right].map(|index| &self.contexts[index]);
                if let [(Some(left), left_model), (Some(right), right_model)] = pair {
                    let plain = |model: &Model| model.bindings.values().copied().collect::<BTreeMap<_, _>>();
                    same("==", left == right, plain(left_model) == plain(right_model))?;
                }
            }
            Op::Iterate(of) => {
                if let Some((Some(context), model)) = pick(of, count).map(|index| &self.contexts[index])
                    && self.iterators.len() < MAX_OBJECTS
                {
                    let plain: Vec<_> = model.bindings.values().copied().collect();
                    let length = plain.len();
                    self.iterators.push((context.iter(), plain.into_iter(), length));
                }
            }
            Op::Next(of) => {
                let Some(index) = pick(of, self.iterators.len()) else { return Ok(()) };
                let (optimized, plain, length) = &mut self.iterators[index];
                let expected = plain.next().map(|(variable, value)| (self.variables[variable].0.id(), value));
                same("next", optimized.next().map(|(id, value)| (id, *value)), expected)?;
                same("the iterator's length", optimized.map_len(), *length)?;
            }
            Op::Forget(of) => {
                if let Some(index) = pick(of, count) {
                    self.contexts[index].0 = None;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, thread: u8, variable: u8, value: u8) -> Result<(), String> {
        let thread = usize::from(thread & 1);
        let Some(variable) = pick(variable, self.variables.len()) else { return Ok(()) };
        let context = self.current_or_base(thread);
        let old = self.value(context, variable);
        let token = self.threads[thread].0.set(&self.variables[variable].0, value);
        same("the token's old value", token.old_value().map(|value| **value), old)?;
        self.bind(context, variable, value);
        self.tokens.push((token, PlainToken { context, variable, old, used: false }));
        Ok(())
    }

    fn reset(&mut self, thread: u8, token: u8, fits: bool) -> Result<(), String> {
        let thread = usize::from(thread & 1);
        let Some(index) = pick(token, self.tokens.len()) else { return Ok(()) };
        let PlainToken { context, variable, old, used } = self.tokens[index].1;
        let asked = if fits { variable } else { (variable + 1) % self.variables.len() };
        let expected = if used {
            Err(ResetError::Used)
        } else if asked != variable {
            Err(ResetError::DifferentVariable)
        } else if self.current_or_base(thread) != context {
            Err(ResetError::DifferentContext)
        } else {
            Ok(())
        };
        let answer = self.threads[thread].0.reset(&self.variables[asked].0, &self.tokens[index].0);
        same("reset", answer, expected)?;
        if expected.is_ok() {
            self.tokens[index].1.used = true;
            match old {
                Some(value) => self.bind(context, variable, value),
                None => {
                    if let Some(key) = self.find(context, variable) {
                        self.contexts[context].1.bindings.remove(&key);
                    }
                }
            }
        }
        same("the token is used", self.tokens[index].0.is_used(), self.tokens[index].1.used)
    }

    fn enter(&mut self, thread: usize, context: u8) -> Result<(), String> {
        let Some(index) = pick(context, self.contexts.len()) else { return Ok(()) };
        let (Some(context), model) = &mut self.contexts[index] else { return Ok(()) };
        let (state, current) = &mut self.threads[thread];
        let expected = if model.entered { Err(EnterError) } else { Ok(()) };
        same("enter", state.enter(context), expected)?;
        if expected.is_ok() {
            model.entered = true;
            model.previous = current.replace(index);
        }
        Ok(())
    }

    fn exit(&mut self, thread: usize, context: u8, of_current: bool) -> Result<(), String> {
        let (state, current) = &mut self.threads[thread];
        let Some(index) = current.filter(|_| of_current).or_else(|| pick(context, self.contexts.len())) else { return Ok(()) };
        let (context, model) = &mut self.contexts[index];
        // The thread still has what the trace forgot.
        let handle = if *current == Some(index) { state.current() } else { context.clone() };
        let Some(handle) = handle else { return Ok(()) };
        let expected = if !model.entered {
            Err(ExitError::NotEntered)
        } else if *current != Some(index) {
            Err(ExitError::NotCurrent)
        } else {
            Ok(())
        };
        same("exit", state.exit(&handle), expected)?;
        if expected.is_ok() {
            model.entered = false;
            *current = model.previous.take();
        }
        Ok(())
    }

    fn read(&self, index: usize) -> Result<(), String> {
        let (Some(context), model) = &self.contexts[index] else { return Ok(()) };
        let bindings: Vec<_> = context.iter().map(|(id, value)| (id, *value)).collect();
        let plain: Vec<_> = model.bindings.values().map(|(variable, value)| (self.variables[*variable].0.id(), *value)).collect();
        same("the bindings", bindings, plain)?;
        same("the length", context.len(), model.bindings.len())?;
        same("whether it is entered", context.is_entered(), model.entered)?;
        for (number, (variable, _)) in self.variables.iter().enumerate() {
            let expected = self.value(index, number);
            same("the value", context.get(variable).map(|value| *value), expected)?;
            same("whether it is bound", context.contains(variable), expected.is_some())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genome::Random;

    #[test]
    fn operations_survive_their_own_bytes() {
        let mut random = Random(3);
        let data: Vec<u8> = (0..4000).map(|_| random.bits() as u8).collect();
        let ops = decode(&data);
        assert!(ops.len() > 500);
        assert_eq!(decode(&encode(&ops)), ops);
    }

    #[test]
    fn random_inputs_agree() {
        for seed in 0..200 {
            let mut random = Random(seed);
            let data: Vec<u8> = (0..2000).map(|_| random.bits() as u8).collect();
            check(&data);
        }
    }

    #[test]
    fn a_difference_is_told() {
        let mut pair = Pair::new();
        for op in [Op::Variable(1), Op::Set(0, 0, 5), Op::CopyCurrent(0)] {
            assert_eq!(pair.carry_out(op), Ok(()));
        }
        pair.contexts[1].1.bindings.clear();
        assert!(pair.read(1).is_err() && pair.carry_out(Op::Equal(0, 1)).is_err());
    }
}
