//! Timing: contenders take turns within every round, and the median of the rounds counts.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Something that can be done a number of times.
pub type Work<'a> = Box<dyn FnMut(u64) + 'a>;

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How many rounds there are; the median of these is taken.
    pub rounds: usize,
    /// About how long one contender works in one round.
    pub batch: Duration,
}

/// What takes longer than this, once, is timed once.
const LONG: Duration = Duration::from_millis(30);

/// How often the work must be repeated to fill a batch, or how long it takes once if that is long;
/// warms it up, too.
fn calibrate(work: &mut Work<'_>, batch: Duration) -> Result<u64, Duration> {
    let mut repeats = 1;
    let mut time = |repeats| {
        let started = Instant::now();
        work(repeats);
        started.elapsed()
    };
    loop {
        let elapsed = time(repeats);
        if repeats == 1 && elapsed >= LONG {
            return Err(elapsed);
        }
        // What once took long may have been interrupted.
        if elapsed >= batch / 2 && time(repeats) >= batch / 2 || repeats > 1 << 30 {
            return Ok(repeats);
        }
        repeats *= 2;
    }
}

/// The median time of one repetition of each contender, in nanoseconds.
pub fn medians(contenders: &mut [Work<'_>], effort: Effort) -> Vec<f64> {
    let repeats: Vec<_> = contenders.iter_mut().map(|work| calibrate(work, effort.batch)).collect();
    let mut samples = vec![Vec::with_capacity(effort.rounds); contenders.len()];
    for _ in 0..effort.rounds {
        for ((work, &repeats), samples) in contenders.iter_mut().zip(&repeats).zip(&mut samples) {
            let Ok(repeats) = repeats else { continue };
            let started = Instant::now();
            work(repeats);
            samples.push(started.elapsed().as_secs_f64() * 1e9 / repeats as f64);
        }
    }
    samples
        .into_iter()
        .zip(repeats)
        .map(|(samples, repeats)| repeats.map_or_else(|once| once.as_secs_f64() * 1e9, |_| median(samples)))
        .collect()
}

/// How long an atomic addition takes that no other thread is in the way of, in nanoseconds: what whoever counts
/// atomically pays for each count.
pub fn atomic_addition(effort: Effort) -> f64 {
    let count = AtomicU64::new(0);
    let add = |repeats| {
        for _ in 0..repeats {
            black_box(&count).fetch_add(1, Ordering::Relaxed);
        }
    };
    medians(&mut [Box::new(add)], effort)[0]
}

/// The one in the middle of some samples; none have none.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
