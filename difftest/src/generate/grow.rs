//! Growing a trace from a genome, one step a gene, on the reference model.

use contextvars_reference::{MapChange, Reference};
use contextvars_spec::{
    Answer, ContextId, Crash, Equality, Handle, IteratorId, KnownFault, Object, Observation, Observe, Operation, Outcome, Program,
    ReferenceId, RuleSet, Run, Step, ThreadId, TokenId, Value, ValueId, VariableId,
};

use super::choice::Choice;
use super::programs::Reach;
use super::settings::{Genome, Settings, Theme};
use super::versions::writes;
use crate::hang;
use crate::panics::caught;

/// How many steps most traces take to look at everything at their end.
const LAST_LOOK: usize = 48;

/// The names of variables: plain ones, and what Python's `repr` writes in another way.
const NAMES: [&str; 12] = ["a", "b", "c", "d", "it's", "a \"b\"", "it's \"b\"", "a\nb", "a\rb", "a\tb", "a\\b", "a\u{1}\u{7f}b"];

/// A trace, and what the reference answered while it grew.
#[derive(Debug)]
pub struct Grown {
    /// The steps.
    pub steps: Vec<Step>,
    /// The reference's answers.
    pub run: Run,
    /// The rules that they exercised.
    pub rules: RuleSet,
    /// What happened to the contexts' maps.
    pub changes: Vec<MapChange>,
}

/// Grows the trace of a genome and observes the reference's state as `observe` says. The last steps
/// look at what no observation shows: every thread's view of every variable, the caches, which contexts
/// are entered, and whether twins are equal.
#[must_use]
pub fn grow(genome: &Genome, observe: Observe) -> Grown {
    hang::ask();
    let mut grower = Grower::new(genome, observe);
    for &gene in &genome.genes {
        let mut choice = Choice::new(gene);
        for _ in 0..genome.settings.burst {
            let thread = grower.thread(&mut choice);
            if let Some(operation) = grower.operation(thread, &mut choice) {
                grower.push(thread, operation);
                grower.ask_twice(thread, &mut choice);
            }
        }
    }
    if genome.settings.programs {
        let mut choice = Choice::new(genome.genes.last().copied().unwrap_or_default());
        grower.compare_while_writing(&mut choice);
        grower.depart(&mut choice);
        grower.confuse(&mut choice);
        grower.replace_token(&mut choice);
    }
    grower.look_at_everything();
    if genome.settings.versions {
        grower.read_versions();
    }
    if genome.settings.tide.is_some() {
        grower.compare_twins();
    }
    grower.hand_over();
    if genome.settings.rounds {
        grower.look_up_in_rounds(&mut Choice::new(genome.genes.last().copied().unwrap_or_default()));
    }
    if genome.settings.programs {
        grower.go_together(&mut Choice::new(grower.answers.len() as u64));
    }
    let Grower { steps, answers, known_faults, mut observations, mut model, crashed, .. } = grower;
    if observations.last().is_none_or(|(last, _)| last + 1 < steps.len()) && !steps.is_empty() {
        observations.push((steps.len() - 1, model.observe()));
    }
    let open_from = model.is_open().then(|| steps.len() - 1);
    let crash = crashed.then_some(Crash::Panic);
    let run = Run { answers, observations, open_from, known_faults, crash, ..Run::default() };
    Grown { run, rules: model.rules(), changes: model.take_changes(), steps }
}

pub(super) struct Grower<'a> {
    pub(super) settings: &'a Settings,
    themes: Vec<(Theme, usize)>,
    pub(super) model: Reference,
    steps: Vec<Step>,
    pub(super) answers: Vec<Answer>,
    known_faults: Vec<(usize, KnownFault)>,
    observe: Observe,
    observations: Vec<(usize, Observation)>,
    pub(super) values: Vec<ValueId>,
    pub(super) variables: Vec<VariableId>,
    pub(super) tokens: Vec<TokenId>,
    pub(super) contexts: Vec<ContextId>,
    pub(super) iterators: Vec<IteratorId>,
    pub(super) references: Vec<ReferenceId>,
    pub(super) threads: Vec<ThreadId>,
    /// Tokens whose reset may unbind a variable, and some that have been reset since.
    pub(super) unbinders: Vec<TokenId>,
    /// Whether the tide rises.
    pub(super) rising: bool,
    /// Whether the last step changed the current context's bindings.
    pub(super) written: bool,
    /// How many objects are still to be dropped.
    pub(super) purge: usize,
    /// Whether the model panicked: the trace ends with the step at which it did.
    crashed: bool,
    made: [u32; 8],
}

/// Where each kind of handle counts its numbers.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Value,
    Variable,
    Token,
    Context,
    Iterator,
    Reference,
    Thread,
    Watcher,
}

impl<'a> Grower<'a> {
    fn new(genome: &'a Genome, observe: Observe) -> Self {
        let settings = &genome.settings;
        let enabled = |(index, _): &(usize, &(Theme, usize))| settings.left_out >> index & 1 == 0;
        let mut made = [0; 8];
        let expected = genome.genes.len() * genome.settings.burst + LAST_LOOK;
        made[Kind::Thread as usize] = 1;
        Self {
            settings,
            themes: Theme::WEIGHTS.iter().enumerate().filter(enabled).map(|(_, weighted)| *weighted).collect(),
            model: Reference::with_journal(),
            steps: Vec::with_capacity(expected),
            known_faults: Vec::new(),
            answers: Vec::with_capacity(expected),
            observe,
            observations: Vec::new(),
            values: Vec::new(),
            variables: Vec::new(),
            tokens: Vec::new(),
            contexts: Vec::new(),
            iterators: Vec::new(),
            references: Vec::new(),
            threads: vec![ThreadId::MAIN],
            unbinders: Vec::new(),
            rising: true,
            written: false,
            purge: 0,
            crashed: false,
            made,
        }
    }

    /// Whether the trace has the operations of a theme.
    pub(super) fn has(&self, theme: Theme) -> bool {
        self.settings.left_out >> (theme as u32) & 1 == 0
    }

    /// Appends a step of the main thread.
    pub(super) fn on_main(&mut self, operation: Operation) {
        self.push(ThreadId::MAIN, operation);
    }

    /// Begins a call of `Context.run` on a thread, if it can.
    pub(super) fn enters(&mut self, thread: ThreadId, context: ContextId) -> bool {
        self.push(thread, Operation::Run { context });
        matches!(self.answers.last(), Some(answer) if answer.outcome == Outcome::Called)
    }

    /// Binds a variable on the main thread.
    pub(super) fn bind(&mut self, variable: VariableId, value: Value) -> TokenId {
        let token = TokenId(self.number(Kind::Token));
        self.on_main(Operation::VarSet { variable, value, token });
        token
    }

    pub(super) fn push(&mut self, thread: ThreadId, operation: Operation) {
        // What follows the rules leave open, so that nothing could be compared.
        if self.crashed || self.model.is_open() {
            return;
        }
        let step = Step::new(thread, operation);
        let model = &mut self.model;
        let Some(answer) = caught(|| model.step(&step)) else {
            self.crashed = true;
            // What a panic left of the model answers nothing more.
            self.model = Reference::new();
            self.steps.push(step);
            return;
        };
        let of_programs = step.operation.programs().flat_map(|program| &program.0).filter_map(Operation::definition);
        for made in step.operation.definition().into_iter().chain(of_programs) {
            match made {
                Handle::Value(id) => self.values.push(id),
                Handle::Variable(id) => self.variables.push(id),
                Handle::Token(id) => self.tokens.push(id),
                Handle::Context(id) => self.contexts.push(id),
                Handle::Iterator(id) => self.iterators.push(id),
                Handle::Reference(id) => self.references.push(id),
                Handle::Thread(id) => self.threads.push(id),
                Handle::Watcher(_) => {}
            }
        }
        match step.operation {
            Operation::Drop { object: Object::Value(id) } => self.values.retain(|other| *other != id),
            Operation::Drop { object: Object::Variable(id) } => self.variables.retain(|other| *other != id),
            Operation::Drop { object: Object::Token(id) } => self.tokens.retain(|other| *other != id),
            Operation::Drop { object: Object::Context(id) } => self.contexts.retain(|other| *other != id),
            Operation::Drop { object: Object::Iterator(id) } => self.iterators.retain(|other| *other != id),
            Operation::EndThread {} => self.threads.retain(|other| *other != thread),
            _ => {}
        }
        self.written = answer.outcome == Outcome::None && writes(&step.operation);
        if answer.outcome == Outcome::None {
            self.keep_unbinders(&step.operation);
        }
        let index = self.steps.len();
        self.known_faults.extend(self.model.take_faults().into_iter().map(|fault| (index, fault)));
        self.answers.push(answer);
        self.steps.push(step);
        let last = self.steps.len() - 1;
        // The last step's turn comes when it is known to be the last.
        if self.observe.after(last, usize::MAX) {
            self.observations.push((last, self.model.observe()));
        }
    }

    /// The variable that the last step set or reset, if it did and names it.
    pub(super) fn written_to(&self) -> Option<VariableId> {
        match self.steps.last()?.operation {
            Operation::VarSet { variable, .. } | Operation::VarReset { variable, .. } => Some(variable),
            Operation::CapiVarSet { variable: Object::Variable(variable), .. }
            | Operation::CapiVarReset { variable: Object::Variable(variable), .. } => Some(variable),
            _ => None,
        }
    }

    pub(super) fn number(&mut self, kind: Kind) -> u32 {
        let next = self.made[kind as usize];
        self.made[kind as usize] += 1;
        next
    }

    /// The thread of the last step, of most traces most of the time: hand-overs are dear and rarely needed.
    fn thread(&mut self, choice: &mut Choice) -> ThreadId {
        let last = self.steps.last().map_or(ThreadId::MAIN, |step| step.thread);
        if self.threads.contains(&last) && choice.percent(if self.settings.restless { 50 } else { 85 }) {
            return last;
        }
        choice.of(&self.threads).unwrap_or(ThreadId::MAIN)
    }

    fn new_value(&mut self, choice: &mut Choice) -> Operation {
        let equality = match choice.below(10) {
            0 => Equality::Raises,
            1 | 2 => Equality::Never,
            group => Equality::Group(group as u32 % 3),
        };
        let (on_compare, on_drop) = (self.program(35, choice), self.program(50, choice));
        Operation::Value { equality, on_compare, on_drop, name: ValueId(self.number(Kind::Value)) }
    }

    pub(super) fn new_variable(&mut self, choice: &mut Choice) -> Operation {
        let name = choice.of(&NAMES).unwrap_or_default().into();
        let default = choice.percent(40).then(|| self.value(choice));
        let number = self.number(Kind::Variable);
        let variable = VariableId(number);
        if self.settings.unsteered && choice.percent(50) {
            return Operation::CapiVarNew { name, default, variable };
        }
        let on_hash = self.program(10, choice);
        Operation::ContextVar { name, hash: Some(self.settings.hashes.draw(number, choice)), default, on_hash, variable }
    }

    /// A program with the given chance, where the trace has programs at all.
    pub(super) fn program(&mut self, chance: usize, choice: &mut Choice) -> Program {
        if !self.settings.programs || !choice.percent(chance) {
            return Program::default();
        }
        let [.., next_token, next_context, _, _, _, _] = &mut self.made;
        let values: Vec<_> = self.values.iter().copied().map(Value::Made).collect();
        let (variables, contexts, tokens, iterators) = (&self.variables, &self.contexts, &self.tokens, &self.iterators);
        Reach { variables, contexts, tokens, iterators, values: &values, next_token, next_context }.program(choice)
    }

    pub(super) fn value(&mut self, choice: &mut Choice) -> Value {
        match choice.below(12) {
            0 => Value::None,
            1 => Value::Missing,
            _ => choice.of(&self.values).map_or(Value::None, Value::Made),
        }
    }

    fn operation(&mut self, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        if self.settings.churn
            && let Some(dropped) = self.purge(choice)
        {
            return Some(dropped);
        }
        if self.settings.versions
            && let Some(copied) = self.version(thread, choice)
        {
            return Some(copied);
        }
        // Objects to work with come first, and a few more on the way.
        if self.values.len() < self.settings.values && choice.percent(if self.values.is_empty() { 60 } else { 4 }) {
            return Some(self.new_value(choice));
        }
        // A value goes with its last binding only where the trace has let go of it before.
        if self.settings.programs && self.values.len() > 1 && choice.percent(6) {
            return choice.of(&self.values).map(|id| Operation::Drop { object: Object::Value(id) });
        }
        let few = self.variables.len() < 1 + self.settings.variables / 2;
        if self.variables.len() < self.settings.variables && choice.percent(if few { 50 } else { 5 }) {
            return Some(self.new_variable(choice));
        }
        if self.contexts.is_empty() && choice.percent(30) {
            return Some(self.copy(choice));
        }
        if let Some(tide) = self.settings.tide
            && choice.percent(tide.share)
        {
            return self.flow(tide, thread, choice);
        }
        let total: usize = self.themes.iter().map(|(_, weight)| weight).sum();
        let mut at = choice.below(total);
        let theme = self.themes.iter().find(|(_, weight)| {
            let chosen = at < *weight;
            at = at.saturating_sub(*weight);
            chosen
        })?;
        self.of_theme(theme.0, thread, choice)
    }
}
