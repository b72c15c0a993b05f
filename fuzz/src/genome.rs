//! Bytes as a genome of the tester's generator, and their mutation.

use contextvars_difftest::campaign::{LENGTH, PROGRAMS};
use contextvars_difftest::generate::{Genome, genomes};
use contextvars_spec::Version;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How many bytes the settings are drawn from: the seed of proptest's XorShift.
pub const HEADER: usize = 16;

/// How many bytes a gene has.
pub const GENE: usize = 8;

/// How many genes are read at the most. Coverage finds its own lengths up to twice a campaign's.
pub const MAX_GENES: usize = 2 * LENGTH;

/// The genome of an input: settings drawn from the header, then one gene every eight bytes. What
/// is missing is zero.
///
/// Genes stand at fixed places, so that a mutation of one step leaves the others as they were.
#[must_use]
pub fn genome(data: &[u8]) -> Option<Genome> {
    let mut header = [0; HEADER];
    let (settings, genes) = data.split_at(data.len().min(HEADER));
    header[..settings.len()].copy_from_slice(settings);
    // All zero has no successor in XorShift.
    header[HEADER - 1] |= 0x80;
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::XorShift, &header));
    let mut genome = genomes(1, Version::V3_14, PROGRAMS).new_tree(&mut runner).ok()?.current();
    genome.genes = genes
        .chunks(GENE)
        .take(MAX_GENES)
        .map(|chunk| {
            let mut gene = [0; GENE];
            gene[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(gene)
        })
        .collect();
    Some(genome)
}

/// SplitMix64, for mutations and for seeds.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }
}

/// Changes whole genes of an input: inserts, deletes, repeats, moves or redraws some. Answers the
/// new length; None where there is no gene to change yet.
///
/// The fuzzer's own mutations know no boundaries: nearly all of them redraw every later step.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, random: &mut Random) -> Option<usize> {
    let genes = size.checked_sub(HEADER)? / GENE;
    let room = max_size.min(data.len()).checked_sub(HEADER)? / GENE;
    if genes == 0 {
        return None;
    }
    let mut list: Vec<[u8; GENE]> = data[HEADER..HEADER + genes * GENE].as_chunks().0.to_vec();
    let from = random.below(genes);
    let until = (from + 1 + random.below(8)).min(genes);
    match random.below(5) {
        0 => {
            for _ in 0..=random.below(4) {
                list.insert(from, random.bits().to_le_bytes());
            }
        }
        1 => drop(list.drain(from..until)),
        2 => {
            let at = random.below(genes);
            let copied = list[from..until].to_vec();
            list.splice(at..at, copied);
        }
        3 => {
            let moved: Vec<_> = list.drain(from..until).collect();
            let at = random.below(list.len() + 1);
            list.splice(at..at, moved);
        }
        _ => list[from] = random.bits().to_le_bytes(),
    }
    list.truncate(room.min(MAX_GENES));
    let bytes = list.as_flattened();
    data[HEADER..HEADER + bytes.len()].copy_from_slice(bytes);
    Some(HEADER + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_keep_to_the_buffer_and_to_whole_genes() {
        let mut random = Random(1);
        let mut data = vec![7; 1024];
        let mut size = HEADER + 3 * GENE + 5;
        let mut longest = 0;
        for _ in 0..10_000 {
            let room = HEADER + random.below(1024 - HEADER);
            match mutate(&mut data, size.min(room), room, &mut random) {
                Some(changed) => {
                    assert!(changed <= room && (changed - HEADER).is_multiple_of(GENE));
                    size = changed;
                }
                None => size = HEADER + GENE,
            }
            longest = longest.max(size);
        }
        assert!(longest > HEADER + 30 * GENE, "{longest}");
    }

    #[test]
    fn a_gene_is_its_bytes() {
        let mut data = vec![1; HEADER];
        data.extend([2, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(genome(&data).map(|genome| genome.genes), Some(vec![2, 3]));
    }
}
