//! What Python's surface allows and forbids: properties of types and of argument parsing.

use contextvars_spec::{Action, Error, Exception, Object, Outcome, Rule, ThreadId};

use crate::machine::{Reference, bound};

fn raises(exception: Exception) -> Outcome {
    Outcome::Error(Error::Unspecified { exception })
}

impl Reference {
    /// VAR-5, TOKEN-8, CONTEXT-4, MISSING-2.
    pub(crate) fn hash(&mut self, object: Object) -> Outcome {
        let unhashable = Error::Unspecified { exception: Exception::TypeError };
        match object {
            Object::Variable(id) => {
                self.cite(Rule::Var5);
                Outcome::Hash(bound!(self.objects.variables.get(&id)).hash)
            }
            Object::Token(_) => {
                self.cite(Rule::Token8);
                Outcome::Error(unhashable)
            }
            Object::Context(_) => {
                self.cite(Rule::Context4);
                Outcome::Error(unhashable)
            }
            Object::Missing => {
                self.cite(Rule::Missing2);
                Outcome::None
            }
            Object::None | Object::Value(_) | Object::Iterator(_) => Outcome::None,
        }
    }

    /// `attempt`: VAR-2 to VAR-4, VAR-7, VAR-11 to VAR-13, TOKEN-5, TOKEN-10 to TOKEN-12, TOKEN-16,
    /// MISSING-2, MISSING-3, CONTEXT-2, CONTEXT-5 to CONTEXT-8, RUN-2, RUN-3, RUN-5, RUN-6.
    pub(crate) fn attempt(&mut self, thread: ThreadId, action: Action, object: Object) -> Outcome {
        if let Some(rule) = rule_of(action, object) {
            self.cite(rule);
        }
        match (action, object) {
            (_, Object::None | Object::Value(_) | Object::Iterator(_)) => Outcome::Unsupported,
            (Action::ConstructWithNameNotStr, _) => Outcome::Error(Error::NameNotStr),
            (Action::CountNameHashes, _) => Outcome::Count(1),
            (Action::Construct | Action::ConstructWithUnknownKeyword, Object::Token(_)) => Outcome::Error(Error::TokensOnlyByVariables),
            (Action::ConstructWithUnknownKeyword, Object::Context(_)) => Outcome::Error(Error::ContextTakesNoArguments),
            (Action::Construct | Action::WeakReference, Object::Context(_)) => Outcome::None,
            (Action::Subscript, Object::Variable(_) | Object::Token(_)) => Outcome::Text("GenericAlias".into()),
            // The exception depends on where the import system fails to find the type.
            (Action::Pickle | Action::CopyCopy, Object::Missing) => Outcome::Unsupported,
            (Action::Truth, Object::Context(id)) => {
                let length = self.objects.names.get(&id).map_or(0, |&index| self.objects.contexts[index].bindings.len());
                Outcome::Bool(length > 0)
            }
            (Action::Truth, _) => Outcome::Bool(true),
            (Action::IsMapping, _) => Outcome::Bool(matches!(object, Object::Context(_))),
            (Action::RunWithoutCallable, Object::Context(_)) => Outcome::Error(Error::CallableMissing),
            (Action::RunWithKeywords | Action::RunNotCallable, Object::Context(id)) => {
                let Some(&index) = self.objects.names.get(&id) else { return Outcome::Skipped };
                let ran = self.enter(thread, index, id).and_then(|()| self.exit(thread, index, id));
                match ran {
                    Err(error) => Outcome::Error(error),
                    Ok(()) if action == Action::RunNotCallable => raises(Exception::TypeError),
                    Ok(()) => Outcome::Count(2),
                }
            }
            (Action::ExitWithoutArguments, Object::Token(_)) => raises(Exception::TypeError),
            (
                Action::RunWithoutCallable
                | Action::RunWithKeywords
                | Action::RunNotCallable
                | Action::ExitWithoutArguments
                | Action::SetAttribute
                | Action::SetReadOnly,
                _,
            ) => raises(Exception::AttributeError),
            (
                Action::Construct
                | Action::ConstructWithUnknownKeyword
                | Action::Subscript
                | Action::Subclass
                | Action::WeakReference
                | Action::Pickle
                | Action::CopyCopy
                | Action::SetItem
                | Action::Order,
                _,
            ) => raises(Exception::TypeError),
        }
    }
}

/// The rule that an attempt exercises, if one speaks of it.
fn rule_of(action: Action, object: Object) -> Option<Rule> {
    use Action as A;
    Some(match (object, action) {
        (_, A::ConstructWithNameNotStr) => Rule::Var3,
        (_, A::CountNameHashes) => Rule::Var4,
        (Object::Variable(_), A::Construct | A::ConstructWithUnknownKeyword) => Rule::Var2,
        (Object::Variable(_), A::SetReadOnly) => Rule::Var7,
        (Object::Variable(_), A::Order) => Rule::Var11,
        (Object::Variable(_), A::Subscript) => Rule::Var13,
        (Object::Variable(_), A::Subclass | A::WeakReference | A::Pickle | A::CopyCopy | A::SetAttribute | A::SetItem) => Rule::Var12,
        (Object::Token(_), A::Construct | A::ConstructWithUnknownKeyword) => Rule::Token10,
        (Object::Token(_), A::SetReadOnly) => Rule::Token5,
        (Object::Token(_), A::Subscript) => Rule::Token12,
        (Object::Token(_), A::ExitWithoutArguments) => Rule::Token16,
        (Object::Token(_), A::Subclass | A::WeakReference | A::Pickle | A::CopyCopy | A::SetAttribute) => Rule::Token11,
        (Object::Missing, A::Truth) => Rule::Missing2,
        (Object::Missing, A::Construct | A::ConstructWithUnknownKeyword) => Rule::Missing3,
        (Object::Context(_), A::ConstructWithUnknownKeyword) => Rule::Context2,
        (Object::Context(_), A::WeakReference) => Rule::Context5,
        (Object::Context(_), A::Order) => Rule::Context7,
        (Object::Context(_), A::IsMapping) => Rule::Context8,
        (Object::Context(_), A::Subclass | A::Pickle | A::CopyCopy | A::SetItem | A::Subscript | A::SetAttribute) => Rule::Context6,
        (Object::Context(_), A::RunWithoutCallable) => Rule::Run2,
        (Object::Context(_), A::RunWithKeywords) => Rule::Run5,
        (Object::Context(_), A::RunNotCallable) => Rule::Run6,
        _ => return None,
    })
}
