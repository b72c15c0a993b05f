//! Sixteen tags compared at once.

/// How many tags are compared at once.
pub(super) const WIDTH: usize = 16;

/// The positions at which a tag stands, as the bits of a mask.
#[inline]
pub(super) fn positions(tags: &[u8; WIDTH], tag: u8) -> u32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    return sse2(tags, tag);
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    portable(tags, tag)
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
fn sse2(tags: &[u8; WIDTH], tag: u8) -> u32 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: the build has SSE2, and sixteen bytes are read of an array of sixteen.
    unsafe {
        let found = _mm_cmpeq_epi8(_mm_loadu_si128(tags.as_ptr().cast::<__m128i>()), _mm_set1_epi8(tag.cast_signed()));
        _mm_movemask_epi8(found).cast_unsigned()
    }
}

/// Eight bytes of a word at a time: a byte that is zero after the exclusive or borrows into its top bit.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
#[inline]
fn portable(tags: &[u8; WIDTH], tag: u8) -> u32 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let half = |at: usize| {
        let word = u64::from_le_bytes(std::array::from_fn(|byte| tags[at + byte])) ^ (u64::from(tag) * 0x0101_0101_0101_0101);
        // The top bit of each byte that is zero, exactly: no carry leaves a byte.
        let zero = !(((word & LOW) + LOW) | word | LOW);
        // Those eight bits, side by side.
        ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    };
    half(0) | half(8) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same() {
        let mut tags = [0; WIDTH];
        // Miri takes a thousand times as long.
        for round in 0..if cfg!(miri) { 50 } else { 10_000u64 } {
            for (at, tag) in tags.iter_mut().enumerate() {
                // Few different tags, so that they repeat, and the extremes.
                *tag = [0, 1, 127, 128, 129, 254, 255, 7]
                    [(round.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at as u32 * 7) >> 61) as usize];
            }
            for tag in [0, 1, 2, 7, 127, 128, 129, 254, 255] {
                let expected = tags.iter().enumerate().filter(|(_, other)| **other == tag).map(|(at, _)| 1 << at).sum();
                assert_eq!(portable(&tags, tag), expected);
                assert_eq!(positions(&tags, tag), expected);
            }
        }
    }
}
