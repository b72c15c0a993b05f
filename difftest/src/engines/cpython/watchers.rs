//! Context watchers: C callbacks that write down what they see.

use contextvars_spec::{CurrentContext, Error, Event, Outcome, WatcherId};
use pyo3::prelude::*;

use super::capi;
use super::errors::classify;
use super::objects::Objects;

/// The watchers of one trace, by CPython's identifiers. Traces take turns, so that no other is there.
#[derive(Default)]
pub(super) struct Watchers {
    names: [Option<WatcherId>; capi::WATCHERS],
}

impl Watchers {
    pub(super) fn add(&mut self, py: Python<'_>, name: WatcherId, fails: bool) -> PyResult<Outcome> {
        // CPython gives the lowest free identifier; the callback must know its own beforehand.
        let free = self.names.iter().position(Option::is_none);
        match capi::add_watcher(py, free.unwrap_or(0), fails) {
            None => Ok(Outcome::Unsupported),
            Some(Err(error)) => Ok(Outcome::Error(classify(py, &error, &[Error::NoMoreWatchers], py.None().bind(py)))),
            Some(Ok(id)) => {
                if free == Some(id) {
                    self.names[id] = Some(name);
                }
                Ok(Outcome::Count(id as u64))
            }
        }
    }

    pub(super) fn clear(&mut self, py: Python<'_>, id: i32) -> PyResult<Outcome> {
        match capi::clear_watcher(py, id) {
            None => Ok(Outcome::Unsupported),
            Some(Err(error)) => {
                let expected = [Error::InvalidWatcher { id }, Error::WatcherNotSet { id }];
                Ok(Outcome::Error(classify(py, &error, &expected, py.None().bind(py))))
            }
            Some(Ok(())) => {
                if let Some(name) = usize::try_from(id).ok().and_then(|slot| self.names.get_mut(slot)) {
                    *name = None;
                }
                Ok(Outcome::None)
            }
        }
    }

    /// What the watchers saw since the last call.
    pub(super) fn events(&self, objects: &Objects) -> Vec<Event> {
        let named = |address| match objects.context_at(address) {
            Some(context) => CurrentContext::Named(context),
            None => CurrentContext::Unnamed,
        };
        let seen = capi::take_seen().into_iter();
        seen.filter_map(|(slot, current)| Some(Event { watcher: self.names[slot]?, current: current.map_or(CurrentContext::Null, named) }))
            .collect()
    }

    /// Clears what the trace left.
    pub(super) fn clear_all(&mut self, py: Python<'_>) -> PyResult<()> {
        for id in 0..capi::WATCHERS {
            if self.names[id].is_some() {
                self.clear(py, id as i32)?;
            }
        }
        capi::take_seen();
        Ok(())
    }
}
