//! The changes of the contexts' maps, for whoever follows their shape.

use contextvars_spec::{Value, VariableId};

use crate::bindings::fold;
use crate::machine::Reference;
use crate::objects::ContextIndex;

/// What happened to the map of a context. Contexts are numbered as they are made, base contexts and
/// those that have no name included; a context that no change speaks of is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapChange {
    /// A context was made with the map of another (COPY-1).
    Copied {
        /// Whose map.
        source: usize,
        /// The new context.
        copy: usize,
    },
    /// A binding was made or replaced (SET-1, RESET-7).
    Bound {
        /// In which context.
        context: usize,
        /// The variable.
        variable: VariableId,
        /// Its hash, folded to the 32 bits that the map uses (ORDER-3).
        hash: u32,
        /// The value.
        value: Value,
        /// How many bindings the map has then.
        len: usize,
    },
    /// A binding was removed (RESET-6).
    Unbound {
        /// In which context.
        context: usize,
        /// The variable.
        variable: VariableId,
        /// Its folded hash.
        hash: u32,
    },
}

impl Reference {
    /// A fresh state that keeps a journal of what happens to maps.
    #[must_use]
    pub fn with_journal() -> Self {
        let mut model = Self::new();
        model.journal = Some(Vec::new());
        model
    }

    /// The journal since the last call; empty where none is kept.
    pub fn take_changes(&mut self) -> Vec<MapChange> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn note_copied(&mut self, source: ContextIndex, copy: ContextIndex) {
        if let Some(journal) = &mut self.journal {
            journal.push(MapChange::Copied { source, copy });
        }
    }

    pub(crate) fn note_bound(&mut self, context: ContextIndex, variable: VariableId, value: Value) {
        let (hash, len) = (self.folded_hash(variable), self.objects.contexts[context].bindings.len());
        if let Some(journal) = &mut self.journal {
            journal.push(MapChange::Bound { context, variable, hash, value, len });
        }
    }

    pub(crate) fn note_unbound(&mut self, context: ContextIndex, variable: VariableId) {
        let hash = self.folded_hash(variable);
        if let Some(journal) = &mut self.journal {
            journal.push(MapChange::Unbound { context, variable, hash });
        }
    }

    fn folded_hash(&self, variable: VariableId) -> u32 {
        self.objects.variables.get(&variable).map_or(0, |variable| fold(variable.hash))
    }
}
