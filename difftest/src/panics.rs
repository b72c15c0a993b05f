//! Panics of what is under test, which are answers.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

/// What the function answers; nothing where it panics.
pub(crate) fn caught<R>(function: impl FnOnce() -> R) -> Option<R> {
    quietly(|| std::panic::catch_unwind(AssertUnwindSafe(function))).ok()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `function` without a word of the panics in it: shrinking meets the same one hundreds of times.
fn quietly<R>(function: impl FnOnce() -> R) -> R {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                others(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = function();
    QUIET.set(false);
    result
}
