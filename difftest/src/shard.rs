//! A run that is split over many jobs.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use thiserror::Error;

/// One part of a run, written `2/8`: of the cases 0, 1, 2, … it has every eighth, from case 1 on.
///
/// The shards of a run have together exactly its cases, each once, if seed and engines are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: u64,
    count: NonZeroU64,
}

/// A text names no part of a run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShardError {
    /// It is not two numbers.
    #[error("`{0}` is not a shard; write its number and how many there are, such as `2/8`")]
    Form(String),
    /// There are no parts.
    #[error("`{0}` splits the run into no shards; write at least 1 after the `/`")]
    None(String),
    /// The number is not of the parts.
    #[error("`{text}` is not one of {count} shards; write a number from 1 to {count} before the `/`")]
    OutOfRange {
        /// The text.
        text: String,
        /// How many shards it says there are.
        count: NonZeroU64,
    },
}

impl Shard {
    /// The whole run.
    pub const WHOLE: Self = Self { index: 0, count: NonZeroU64::MIN };

    /// The case of the whole run that is number `own` of the shard, from 0; absent beyond 2^64.
    #[must_use]
    pub fn case(self, own: u64) -> Option<u64> {
        own.checked_mul(self.count.get())?.checked_add(self.index)
    }

    /// Whether the case of the whole run is one of the shard.
    #[must_use]
    pub fn has(self, case: u64) -> bool {
        case % self.count.get() == self.index
    }

    /// How many of a run's cases the shard has.
    #[must_use]
    pub fn share_of(self, cases: u64) -> u64 {
        cases.saturating_sub(self.index).div_ceil(self.count.get())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let form = || ShardError::Form(text.to_owned());
        let (number, count) = text.split_once('/').ok_or_else(form)?;
        let (number, count): (u64, u64) = (number.parse().map_err(|_| form())?, count.parse().map_err(|_| form())?);
        let count = NonZeroU64::new(count).ok_or_else(|| ShardError::None(text.to_owned()))?;
        match number.checked_sub(1) {
            Some(index) if index < count.get() => Ok(Self { index, count }),
            _ => Err(ShardError::OutOfRange { text: text.to_owned(), count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shards_have_every_case_once(count in 1u64..20, cases in 0u64..200) {
            let mut all = Vec::new();
            for number in 1..=count {
                let shard: Shard = format!("{number}/{count}").parse()?;
                prop_assert_eq!(shard.to_string(), format!("{number}/{count}"));
                let own: Vec<_> = (0..shard.share_of(cases)).filter_map(|own| shard.case(own)).collect();
                prop_assert!(shard.case(own.len() as u64) >= Some(cases));
                prop_assert!((0..cases).all(|case| shard.has(case) == own.contains(&case)));
                all.extend(own);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..cases).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_shard_is_refused_with_the_mend() {
        for text in ["", "1", "/", "1/", "/2", "a/b", "1/2/3", "-1/2", "1.5/2", "1/99999999999999999999", "0/0", "1/0", "0/2", "3/2"] {
            let error = text.parse::<Shard>().expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("write"), "{error}");
        }
        assert_eq!("18446744073709551615/18446744073709551615".parse::<Shard>().map(|shard| shard.case(1)), Ok(None));
    }
}
