//! Context watchers.

use contextvars_spec::{Error, Operation, Outcome, Rule, WatcherId};

use crate::machine::Reference;
use crate::objects::Watcher;

impl Reference {
    /// WATCH-2, WATCH-3 (`PyContext_AddWatcher`).
    pub(crate) fn add_watcher(&mut self, name: WatcherId, operation: &Operation) -> Outcome {
        let Some(id) = self.objects.watchers.iter().position(Option::is_none) else {
            self.cite(Rule::Watch3);
            return Outcome::Error(Error::NoMoreWatchers);
        };
        self.cite(Rule::Watch2);
        if let Operation::AddWatcher { fails: true, .. } = operation {
            self.cite(Rule::Watch7);
        }
        self.objects.watchers[id] = Some(Watcher { name });
        Outcome::Count(id as u64)
    }

    /// WATCH-4 to WATCH-6 (`PyContext_ClearWatcher`).
    pub(crate) fn clear_watcher(&mut self, id: i32) -> Outcome {
        let slot = usize::try_from(id).ok().and_then(|slot| self.objects.watchers.get_mut(slot));
        let (rule, outcome) = match slot {
            None => (Rule::Watch5, Outcome::Error(Error::InvalidWatcher { id })),
            Some(slot) => match slot.take() {
                None => (Rule::Watch6, Outcome::Error(Error::WatcherNotSet { id })),
                Some(_) => (Rule::Watch4, Outcome::None),
            },
        };
        self.cite(rule);
        outcome
    }
}
