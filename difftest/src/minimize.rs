//! The smallest trace on which engines still differ: delta debugging, with engines that may hang, take all memory, or
//! break what later traces use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contextvars_spec::{Crash, Engine, EngineError, Limits, Observe, Step, validate_steps};
use proptest::strategy::ValueTree;

use crate::generate::{Genome, grow};
use crate::lockstep::{self, Divergence};
use crate::shrink;

/// From how many steps on a trace is long: while it is shrunk it is not observed after every step,
/// and it is not grown again, since either would take most of the time.
const LONG: usize = 300;

/// How much of the state is recorded of a trace that is shrunk, in objects and bindings: after every step
/// of most, and as much in all of one with dozens of variables as takes a millisecond.
const OBSERVED: usize = 1 << 12;

/// What an engine in a process of its own may take to answer a trace that is being shrunk: a hundred times as long
/// as most take, and eight times the memory. What hangs, or takes all that there is, is met again and again.
const WHILE_SHRINKING: Limits = Limits { is_fresh: true, patience: Duration::from_millis(50), memory: Some(32 << 20) };

/// What it may take where it is known to hang, and takes all of that whenever it shows.
const WHILE_IT_HANGS: Limits = Limits { patience: Duration::from_millis(25), ..WHILE_SHRINKING };

/// What it may take where nothing is shown within those limits.
const UNLIMITED: Limits = Limits { is_fresh: true, patience: Duration::MAX, memory: None };

/// How many times proptest's own shrinking is tried before delta debugging takes over.
const PROPTEST_ATTEMPTS: usize = 200;

/// What the trace shows by itself, since what earlier ones have broken of a process is not its doing. In the tester's
/// own process that cannot be told.
pub(crate) fn alone(
    steps: &[Step],
    observe: Observe,
    divergence: &Divergence,
    engines: &mut [Box<dyn Engine>],
) -> Result<Option<Divergence>, EngineError> {
    // Where a process has broken its memory, how much that is asked of it says what it comes to: as in a replay, too.
    for (limits, observe) in [(WHILE_SHRINKING, observe), (UNLIMITED, lockstep::closest(steps))] {
        if !isolate(engines, Some(limits)) {
            return Ok(Some(divergence.clone()));
        }
        let ran = lockstep::run(engines, steps, observe, None);
        isolate(engines, None);
        let shown = ran?.divergence;
        if shown.is_some() {
            return Ok(shown);
        }
    }
    Ok(None)
}

/// Proptest's shrinking, on settings and genes: coarse, quick, and blind to what steps mean. None where that does not
/// do, or would take too long.
pub(crate) fn by_genes(
    tree: &mut impl ValueTree<Value = Genome>,
    grown: &[Step],
    like: &Divergence,
    engines: &mut [Box<dyn Engine>],
    interrupt: &AtomicBool,
) -> Option<Vec<Step>> {
    if grown.len() >= LONG || like.hangs() {
        return None;
    }
    isolate(engines, Some(WHILE_SHRINKING));
    let best = with_concerned(like, engines, |engines| {
        let mut best = None;
        let mut moved = tree.simplify();
        for _ in 0..PROPTEST_ATTEMPTS {
            if !moved || interrupt.load(Ordering::Relaxed) {
                break;
            }
            let steps = grow(&tree.current(), Observe::Every(usize::MAX)).steps;
            moved = if answers_differ(&steps, like, engines) {
                best = Some(steps);
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        best
    });
    isolate(engines, None);
    best
}

/// Delta debugging, and the divergence that is left at the end of it, or where `interrupt` says to end. Engines whose
/// processes are quick to start have one for every trace, so that what is left shows by itself.
pub fn minimize(
    steps: &[Step],
    divergence: Divergence,
    engines: &mut [Box<dyn Engine>],
    interrupt: &AtomicBool,
) -> (Vec<Step>, Divergence) {
    with_concerned(&divergence.clone(), engines, |engines| {
        let limits = if divergence.hangs() { WHILE_IT_HANGS } else { WHILE_SHRINKING };
        // Of a try in a process of its own, that process takes more than half the time.
        let while_most_goes = Limits { is_fresh: false, ..limits };
        let isolates = isolate(engines, Some(while_most_goes));
        let mut most = by_answers(steps, &divergence, engines, interrupt);
        if !isolates {
            let fewer = by_states(steps, most.as_deref(), &divergence, engines, interrupt);
            let left = diverges(&fewer, &divergence, engines).unwrap_or(divergence);
            return (fewer, left);
        }
        let (mut steps, mut divergence) = (steps.to_vec(), divergence);
        loop {
            let (fewer, left) = apart_by_states(&steps, most, divergence, limits, engines, interrupt);
            // What a signal ends has broken its memory before, and what that comes to depends on all that was tried:
            // when it is begun again, more may go.
            isolate(engines, Some(while_most_goes));
            let is_signal = matches!(left.crash, Some(Crash::Signal(_)));
            most = if is_signal { by_answers(&fewer, &left, engines, interrupt) } else { None };
            // What shows only within the limits is found again by every round, and taken by none.
            let is_final = !is_signal || fewer == steps || most.as_ref() == Some(&fewer);
            (steps, divergence) = (fewer, left);
            if is_final {
                isolate(engines, None);
                return (steps, divergence);
            }
        }
    })
}

/// All that can go, with an engine in processes of its own, of what is left by answers, if that shows by itself.
fn apart_by_states(
    steps: &[Step],
    by_answers: Option<Vec<Step>>,
    divergence: Divergence,
    limits: Limits,
    engines: &mut [Box<dyn Engine>],
    interrupt: &AtomicBool,
) -> (Vec<Step>, Divergence) {
    let shows = |steps: &[Step], engines: &mut [Box<dyn Engine>]| {
        isolate(engines, Some(UNLIMITED));
        diverges(steps, &divergence, engines)
    };
    // What earlier traces had broken of the process, a new one does not show.
    let most = by_answers.filter(|most| shows(most, engines).is_some());
    for limits in [limits, UNLIMITED] {
        isolate(engines, Some(limits));
        let most = most.clone().or_else(|| self::by_answers(steps, &divergence, engines, interrupt));
        // What does not show within these limits would lose nothing.
        if diverges(most.as_deref().unwrap_or(steps), &divergence, engines).is_none() {
            continue;
        }
        let fewer = by_states(steps, most.as_deref(), &divergence, engines, interrupt);
        // What was only too slow hangs no more when it is given all the time that there is.
        if let Some(left) = shows(&fewer, engines) {
            return (fewer, left);
        }
    }
    (steps.to_vec(), divergence)
}

/// Most of what can go, by what shows soonest, if that shows anything.
fn by_answers(steps: &[Step], like: &Divergence, engines: &mut [Box<dyn Engine>], interrupt: &AtomicBool) -> Option<Vec<Step>> {
    let steps = without_the_rest(steps, like, engines);
    // Nothing fails any more once it is to end, and what has failed so far is what is left.
    let mut fails = |steps: &[Step]| !interrupt.load(Ordering::Relaxed) && answers_differ(steps, like, engines);
    fails(steps).then(|| shrink::shrink_roughly(steps, &mut fails))
}

/// All that can go, with a look at the state after every step: single steps, where it is known what is left by answers.
fn by_states(
    steps: &[Step],
    by_answers: Option<&[Step]>,
    like: &Divergence,
    engines: &mut [Box<dyn Engine>],
    interrupt: &AtomicBool,
) -> Vec<Step> {
    let (steps, size) = by_answers.map_or((steps, steps.len()), |left| (left, 1));
    shrink::shrink_from(steps, size, &mut |steps| !interrupt.load(Ordering::Relaxed) && diverges(steps, like, engines).is_some())
}

/// The steps without those after the first difference, which go at once, most often; but a program may name what one of
/// these makes.
fn without_the_rest<'a>(steps: &'a [Step], like: &Divergence, engines: &mut [Box<dyn Engine>]) -> &'a [Step] {
    let end = diverges(steps, like, engines).map_or(steps.len(), |found| steps.len().min(found.difference.step + 1));
    let left = &steps[..end];
    if validate_steps(left).is_ok() && diverges(left, like, engines).is_some() { left } else { steps }
}

/// Whether the same engine still differs, after every step or nearly. An engine that fails shows nothing.
pub(crate) fn diverges(steps: &[Step], like: &Divergence, engines: &mut [Box<dyn Engine>]) -> Option<Divergence> {
    differs(steps, like, engines, lockstep::closest_within(OBSERVED, steps))
}

/// As [`diverges`], but for what only the states between show: much sooner, since a state lists every
/// binding of every context.
fn answers_differ(steps: &[Step], like: &Divergence, engines: &mut [Box<dyn Engine>]) -> bool {
    let Some(shown) = differs(steps, like, engines, Observe::Every(usize::MAX)) else { return false };
    let ends = |divergence: &Divergence| matches!(divergence.crash, Some(Crash::Signal(_) | Crash::Exit(_)));
    if !ends(like) && !ends(&shown) {
        return true;
    }
    // An earlier trace may have broken the memory of the process. A new one is asked what is asked in the end, since
    // what broken memory comes to depends on that, too.
    engines.iter_mut().for_each(|engine| engine.distrust());
    diverges(steps, like, engines).is_some()
}

fn differs(steps: &[Step], like: &Divergence, engines: &mut [Box<dyn Engine>], observe: Observe) -> Option<Divergence> {
    let ran = lockstep::run(engines, steps, observe, None).ok()?;
    // Which of the two is at fault alone may show with fewer steps.
    let concerned = [Some(&like.right), like.left.as_ref()];
    ran.divergence.filter(|divergence| concerned.into_iter().flatten().any(|engine| engine.name == divergence.right.name))
}

/// Works with the two engines that a divergence is about; what the others answer does not matter to it.
fn with_concerned<R>(like: &Divergence, engines: &mut [Box<dyn Engine>], work: impl FnOnce(&mut [Box<dyn Engine>]) -> R) -> R {
    let at = engines.iter().position(|engine| engine.identity().name == like.right.name).unwrap_or(0).max(1);
    if at >= engines.len() {
        return work(engines);
    }
    engines[1..=at].rotate_right(1);
    let result = work(&mut engines[..2]);
    engines[1..=at].rotate_left(1);
    result
}

/// Whether any of the engines does so ([`Engine::isolate`]).
fn isolate(engines: &mut [Box<dyn Engine>], limits: Option<Limits>) -> bool {
    engines.iter_mut().map(|engine| engine.isolate(limits)).filter(|isolates| *isolates).count() > 0
}
