//! What one gene does: an operation of a theme, on objects that the trace has.

use contextvars_spec::{Action, ContextId, IteratorId, Object, Operation, ReferenceId, ThreadId, TokenId, VariableId, Version, WatcherId};

use super::choice::Choice;
use super::grow::{Grower, Kind};
use super::settings::Theme;

impl Grower<'_> {
    /// An operation of the theme, where there is what it works on.
    pub(super) fn of_theme(&mut self, theme: Theme, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        let default = |grower: &mut Self, choice: &mut Choice| choice.percent(35).then(|| grower.value(choice));
        Some(match theme {
            Theme::Get => Operation::VarGet { variable: choice.of(&self.variables)?, default: default(self, choice) },
            Theme::Set if choice.percent(8) => self.set_again(thread, choice)?,
            Theme::Set => Operation::VarSet {
                variable: choice.of(&self.variables)?,
                value: self.value(choice),
                token: TokenId(self.number(Kind::Token)),
            },
            Theme::Reset if choice.percent(35) => {
                let token = self.unbinder(thread, choice)?;
                self.reset(token, choice)?
            }
            Theme::Reset => {
                let token = self.token_operand(choice);
                Operation::VarReset { variable: self.variable_for(token, choice)?, token }
            }
            Theme::TokenAttributes => {
                let token = choice.of(&self.tokens)?;
                if choice.percent(50) { Operation::TokenVar { token } } else { Operation::TokenOldValue { token } }
            }
            Theme::Copy => self.copy(choice),
            Theme::Run => match (self.model.open_runs(thread), choice.below(10)) {
                (1.., 0) => Operation::Raise {},
                (1.., 1..=4) | (4.., _) => Operation::Return {},
                _ => Operation::Run { context: choice.of(&self.contexts)? },
            },
            Theme::EnterExit => {
                if choice.percent(50) {
                    Operation::Enter { context: self.context_operand(choice) }
                } else {
                    Operation::Exit { context: self.context_to_exit(thread, choice) }
                }
            }
            Theme::Mapping => {
                let context = choice.of(&self.contexts)?;
                let key = self.key(choice);
                match choice.below(8) {
                    0 | 1 => Operation::GetItem { context, key },
                    2 | 3 => Operation::Contains { context, key },
                    4 | 5 => Operation::ContextGet { context, key, default: default(self, choice) },
                    6 => Operation::ContextLen { context },
                    // The one answer of those that any object has which tells of a context's bindings.
                    _ => Operation::Attempt { action: Action::Truth, object: Object::Context(context) },
                }
            }
            Theme::Iteration => self.iterate(choice)?,
            Theme::Equality => {
                let pair = if choice.percent(80) {
                    (choice.of(&self.contexts).map(Object::Context)?, choice.of(&self.contexts).map(Object::Context)?)
                } else {
                    (self.object(choice), self.object(choice))
                };
                let (left, right) = pair;
                if choice.percent(75) { Operation::Equal { left, right } } else { Operation::NotEqual { left, right } }
            }
            Theme::Repr => {
                let object = self.object(choice);
                match choice.below(3) {
                    0 => Operation::Hash { object },
                    1 => Operation::VarName { variable: choice.of(&self.variables)? },
                    _ => Operation::Repr { object },
                }
            }
            Theme::Surface => self.attempt(choice),
            Theme::WeakReferences => {
                if choice.percent(40) {
                    let context = choice.of(&self.contexts)?;
                    Operation::WeakReference { context, reference: ReferenceId(self.number(Kind::Reference)) }
                } else {
                    Operation::Dereference { reference: choice.of(&self.references)? }
                }
            }
            Theme::Deletion => {
                let object = self.object(choice);
                // A value that the trace no longer names goes with its last binding, which only a
                // program shows.
                let deletable = match object {
                    Object::None | Object::Missing => false,
                    Object::Value(_) => self.settings.programs,
                    Object::Variable(_) | Object::Token(_) | Object::Context(_) | Object::Iterator(_) => true,
                };
                if !deletable {
                    return None;
                }
                Operation::Drop { object }
            }
            Theme::Capi => self.capi(choice)?,
            Theme::Threads => {
                if self.threads.len() < self.settings.threads {
                    Operation::StartThread { started: ThreadId(self.number(Kind::Thread)) }
                } else if !thread.is_main() && choice.percent(if self.model.open_runs(thread) > 0 { 50 } else { 10 }) {
                    Operation::EndThread {}
                } else {
                    Operation::HasCurrentContext {}
                }
            }
            // As at the end of the trace: a cached pointer may outlive its value.
            Theme::Cache if self.settings.programs => return None,
            Theme::Cache => Operation::Cache { variable: choice.of(&self.variables)? },
            Theme::ContextVer => match choice.below(8) {
                0 => Operation::SetContextVer { context_ver: u64::MAX - choice.below(3) as u64 },
                1 => Operation::HasCurrentContext {},
                _ => Operation::ContextVer {},
            },
            Theme::Modern => {
                if self.settings.python < Version::V3_14 {
                    return None;
                }
                match if self.settings.watchful && choice.percent(80) { 0 } else { choice.below(8) } {
                    0 | 1 => Operation::AddWatcher { fails: choice.percent(20), watcher: WatcherId(self.number(Kind::Watcher)) },
                    2 => Operation::ClearWatcher { id: choice.below(12) as i32 - 2 },
                    3 | 4 => Operation::TokenEnter { token: choice.of(&self.tokens)? },
                    _ => Operation::TokenExit { token: choice.of(&self.tokens)? },
                }
            }
        })
    }

    pub(super) fn copy(&mut self, choice: &mut Choice) -> Operation {
        let source = choice.of(&self.contexts);
        if self.contexts.len() >= self.settings.contexts
            && let Some(&oldest) = self.contexts.first()
            && self.has(Theme::Deletion)
        {
            return Operation::Drop { object: Object::Context(oldest) };
        }
        let context = ContextId(self.number(Kind::Context));
        match (choice.below(8), source) {
            (0, _) => Operation::Context { context },
            (1, _) => Operation::CapiNew { context },
            (2, _) => Operation::CapiCopyCurrent { context },
            (3 | 4, Some(source)) => Operation::ContextCopy { source, context },
            (5, _) => Operation::CapiCopy { source: self.context_operand(choice), context },
            _ => Operation::CopyContext { context },
        }
    }

    fn iterate(&mut self, choice: &mut Choice) -> Option<Operation> {
        let step = choice.below(8);
        if step < 2 || self.iterators.is_empty() {
            let context = choice.of(&self.contexts)?;
            let iterator = IteratorId(self.number(Kind::Iterator));
            return Some(match choice.below(4) {
                0 => Operation::Iter { context, iterator },
                1 => Operation::Keys { context, iterator },
                2 => Operation::Values { context, iterator },
                _ => Operation::Items { context, iterator },
            });
        }
        let iterator = choice.of(&self.iterators)?;
        Some(if step == 2 { Operation::IteratorLen { iterator } } else { Operation::Next { iterator } })
    }

    fn capi(&mut self, choice: &mut Choice) -> Option<Operation> {
        let variable = if choice.percent(4) { self.object(choice) } else { Object::Variable(choice.of(&self.variables)?) };
        Some(match choice.below(3) {
            0 => {
                let default = choice.percent(35).then(|| self.value(choice));
                Operation::CapiVarGet { variable, default }
            }
            1 => Operation::CapiVarSet { variable, value: self.value(choice), token: TokenId(self.number(Kind::Token)) },
            _ => {
                let token = self.token_operand(choice);
                let fitting = self.variable_for(token, choice).map_or(variable, Object::Variable);
                Operation::CapiVarReset { variable: fitting, token }
            }
        })
    }

    fn attempt(&mut self, choice: &mut Choice) -> Operation {
        const ACTIONS: [Action; 19] = [
            Action::ConstructWithUnknownKeyword,
            Action::ConstructWithNameNotStr,
            Action::CountNameHashes,
            Action::Construct,
            Action::Subscript,
            Action::Subclass,
            Action::WeakReference,
            Action::Pickle,
            Action::CopyCopy,
            Action::SetAttribute,
            Action::SetReadOnly,
            Action::SetItem,
            Action::Order,
            Action::Truth,
            Action::RunWithoutCallable,
            Action::RunWithKeywords,
            Action::RunNotCallable,
            Action::IsMapping,
            Action::ExitWithoutArguments,
        ];
        // The last two need 3.14.
        let known = if self.settings.python < Version::V3_14 { ACTIONS.len() - 2 } else { ACTIONS.len() };
        Operation::Attempt { action: ACTIONS[choice.below(known)], object: self.object(choice) }
    }

    /// An object of any kind, for operands of the wrong one.
    fn object(&mut self, choice: &mut Choice) -> Object {
        match choice.below(6) {
            0 => choice.of(&self.variables).map(Object::Variable),
            1 => choice.of(&self.tokens).map(Object::Token),
            2 => choice.of(&self.contexts).map(Object::Context),
            3 => choice.of(&self.values).map(Object::Value),
            4 => choice.of(&self.iterators).map(Object::Iterator),
            _ => None,
        }
        .unwrap_or(if choice.percent(50) { Object::None } else { Object::Missing })
    }

    fn key(&mut self, choice: &mut Choice) -> Object {
        if choice.percent(6) {
            return self.object(choice);
        }
        choice.of(&self.variables).map_or(Object::None, Object::Variable)
    }

    fn token_operand(&mut self, choice: &mut Choice) -> Object {
        if choice.percent(4) {
            return self.object(choice);
        }
        choice.of(&self.tokens).map_or(Object::None, Object::Token)
    }

    /// The variable that fits the token, most of the time.
    fn variable_for(&mut self, token: Object, choice: &mut Choice) -> Option<VariableId> {
        if let Object::Token(token) = token
            && choice.percent(85)
            && let Some(variable) = self.model.token_variable(token)
            && self.variables.contains(&variable)
        {
            return Some(variable);
        }
        choice.of(&self.variables)
    }

    /// The current context where it has a name, most of the time.
    fn context_to_exit(&mut self, thread: ThreadId, choice: &mut Choice) -> Object {
        if choice.percent(80)
            && let Some(current) = self.model.current(thread)
        {
            return Object::Context(current);
        }
        self.context_operand(choice)
    }

    fn context_operand(&mut self, choice: &mut Choice) -> Object {
        if choice.percent(4) {
            return self.object(choice);
        }
        choice.of(&self.contexts).map_or(Object::None, Object::Context)
    }
}
