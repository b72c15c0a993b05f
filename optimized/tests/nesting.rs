//! Two thread states, their bases and other contexts, and calls of `with` nested at random, against a
//! plain model. Traces of the tester can neither lend nor name a base.

use std::cell::RefCell;
use std::rc::Rc;

use contextvars_optimized::{Confined, Context, ContextVar, EnterError, ExitError, ResetError, Shared, Sharing, ThreadState, Token};
use proptest::prelude::*;

const VARIABLES: usize = 3;
const CONTEXTS: usize = 5;

/// A value, which notes when it goes.
struct Value {
    number: usize,
    gone: Rc<RefCell<Vec<u32>>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.gone.borrow_mut()[self.number] += 1;
    }
}

#[derive(Clone, Default)]
struct ModelContext {
    bound: [Option<usize>; VARIABLES],
    is_entered: bool,
    previous: Option<usize>,
}

struct ModelToken {
    context: usize,
    variable: usize,
    old: Option<usize>,
    is_used: bool,
}

/// The library and the model side by side: a context, a token, a thread has the same number in both.
struct World<S: Sharing> {
    gone: Rc<RefCell<Vec<u32>>>,
    variables: Vec<ContextVar<Value, S>>,
    threads: Vec<ThreadState<Value, S>>,
    contexts: RefCell<Vec<(Context<Value, S>, ModelContext)>>,
    current: RefCell<Vec<usize>>,
    tokens: RefCell<Vec<(Token<Value, S>, ModelToken)>>,
}

impl<S: Sharing> World<S> {
    fn new() -> Self {
        let threads: Vec<_> = (0..2).map(|_| ThreadState::default()).collect();
        let bases = threads.iter().map(|thread| (thread.current_or_base(), ModelContext::default()));
        let others = (0..2).map(|_| (Context::default(), ModelContext::default()));
        Self {
            gone: Rc::default(),
            variables: (0..VARIABLES).map(|_| ContextVar::build("v", None, None)).collect(),
            contexts: RefCell::new(bases.chain(others).collect()),
            threads,
            current: RefCell::new(vec![0, 1]),
            tokens: RefCell::default(),
        }
    }

    fn context(&self, number: usize) -> (usize, Context<Value, S>) {
        let contexts = self.contexts.borrow();
        let at = number % contexts.len();
        (at, contexts[at].0.clone())
    }

    fn set(&self, thread: usize, variable: usize) {
        let number = self.gone.borrow().len();
        self.gone.borrow_mut().push(0);
        let token = self.threads[thread].set(&self.variables[variable], Value { number, gone: Rc::clone(&self.gone) });
        let context = self.current.borrow()[thread];
        let old = self.contexts.borrow_mut()[context].1.bound[variable].replace(number);
        assert_eq!(token.old_value().map(|value| value.number), old);
        self.tokens.borrow_mut().push((token, ModelToken { context, variable, old, is_used: false }));
    }

    fn reset(&self, thread: usize, number: usize) {
        let Some((token, model)) = self.tokens.borrow_mut().pop() else { return };
        let variable = number % VARIABLES;
        let expected = match &model {
            model if model.is_used => Err(ResetError::Used),
            model if model.variable != variable => Err(ResetError::DifferentVariable),
            model if model.context != self.current.borrow()[thread] => Err(ResetError::DifferentContext),
            _ => Ok(()),
        };
        assert_eq!(self.threads[thread].reset(&self.variables[variable], &token), expected);
        let is_used = model.is_used || expected.is_ok();
        if expected.is_ok() {
            self.contexts.borrow_mut()[model.context].1.bound[variable] = model.old;
        }
        if number > 3 {
            // It is tried again later, or dropped.
            self.tokens.borrow_mut().push((token, ModelToken { is_used, ..model }));
        }
    }

    fn enter(&self, thread: usize, number: usize) {
        let (at, context) = self.context(number);
        let entered = self.threads[thread].enter(&context);
        let model = &mut self.contexts.borrow_mut()[at].1;
        assert_eq!(entered, if model.is_entered { Err(EnterError) } else { Ok(()) });
        if entered.is_ok() {
            model.is_entered = true;
            model.previous = Some(std::mem::replace(&mut self.current.borrow_mut()[thread], at));
        }
    }

    fn exit(&self, thread: usize, number: usize) -> bool {
        let (at, context) = self.context(number);
        let model = &mut self.contexts.borrow_mut()[at].1;
        let current = &mut self.current.borrow_mut()[thread];
        let expected = match model.is_entered {
            false => Err(ExitError::NotEntered),
            true if *current != at => Err(ExitError::NotCurrent),
            true => Ok(()),
        };
        assert_eq!(self.threads[thread].exit(&context), expected);
        if expected.is_ok() {
            model.is_entered = false;
            *current = model.previous.take().unwrap_or(*current);
        }
        expected.is_ok()
    }

    fn copy(&self, thread: usize) {
        if self.contexts.borrow().len() < CONTEXTS {
            let copy = self.threads[thread].copy_context();
            let bound = self.contexts.borrow()[self.current.borrow()[thread]].1.bound;
            self.contexts.borrow_mut().push((copy, ModelContext { bound, ..ModelContext::default() }));
        }
    }

    /// Looks at a variable, and goes on while its value is lent.
    fn with(&self, thread: usize, variable: usize, rest: &mut std::slice::Iter<'_, u8>) {
        let bound = self.contexts.borrow()[self.current.borrow()[thread]].1.bound[variable];
        let looked = self.threads[thread].with(&self.variables[variable], |value| {
            let number = value.number;
            self.act(rest);
            assert_eq!(self.gone.borrow()[number], 0, "a value that is lent has gone");
            number
        });
        assert_eq!(looked.ok(), bound);
    }

    fn act(&self, rest: &mut std::slice::Iter<'_, u8>) {
        while let Some(&byte) = rest.next() {
            let (thread, number) = (usize::from(byte & 1), usize::from(byte >> 4));
            match byte >> 1 & 7 {
                0 => self.set(thread, number % VARIABLES),
                1 => self.reset(thread, number),
                2 => self.enter(thread, number),
                3 => {
                    // Mostly the current one.
                    self.exit(thread, if number < 2 { number } else { self.current.borrow()[thread] });
                }
                4 => self.copy(thread),
                5 | 6 => self.with(thread, number % VARIABLES, rest),
                // What was lent is given back.
                _ => return,
            }
        }
    }
}

fn check<S: Sharing>(bytes: &[u8]) {
    let world = World::<S>::new();
    let mut rest = bytes.iter();
    while rest.len() > 0 {
        world.act(&mut rest);
    }
    for (context, model) in &*world.contexts.borrow() {
        let bound: Vec<_> = world.variables.iter().map(|variable| context.get(variable).map(|value| value.number)).collect();
        assert_eq!(bound, model.bound);
        assert_eq!(context.is_entered(), model.is_entered);
    }
    for thread in 0..world.threads.len() {
        loop {
            let current = world.current.borrow()[thread];
            if !world.exit(thread, current) {
                break;
            }
        }
    }
    // Contexts that are entered over each other hold each other.
    let all_go = !world.contexts.borrow().iter().any(|(_, model)| model.is_entered);
    let gone = Rc::clone(&world.gone);
    drop(world);
    assert!(gone.borrow().iter().all(|&times| times == 1 || times == 0 && !all_go), "values went so often: {:?}", gone.borrow());
}

proptest! {
    // What takes six steps in a certain order is found within a few thousand cases, of which a thousand
    // take some milliseconds.
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_nested_agrees_with_a_plain_model(bytes in proptest::collection::vec(any::<u8>(), 1..120)) {
        check::<Shared>(&bytes);
        check::<Confined>(&bytes);
    }
}

#[test]
fn what_is_taken_over_brings_more_with_it() {
    // A context below the one that is taken over was remembered by who had it before.
    let bytes = [5, 37, 216, 38, 225, 69, 165, 231, 181, 54, 150, 224, 86, 117, 43];
    check::<Shared>(&bytes);
    check::<Confined>(&bytes);
}
