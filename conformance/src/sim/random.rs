use noonmark_nts::Random;

/// Seeded random numbers: xoshiro256++ (Blackman and Vigna, 2018), its state filled by SplitMix64 from a seed and a stream's number.
///
/// Streams of one seed are independent, so that one path's draws do not shift another's. Not for secrets.
#[derive(Clone, Debug)]
pub struct Seeded {
    state: [u64; 4],
}

impl Seeded {
    /// The stream `stream` of the seed `seed`.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mixer = SplitMix(seed);
        let mut mixer = SplitMix(mixer.next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        Self { state: std::array::from_fn(|_| mixer.next()) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform over 0..1, both ends excluded.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Exponential with mean 1: −ln u.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Normal with mean 0 and deviation 1, by the polar method; the second value of each pair is dropped.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// One of `0..count`; 0 if there is nothing to choose from.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count.saturating_sub(1))
    }
}

/// What the machines under test draw from.
impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let octets = self.bits().to_le_bytes();
            chunk.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of SplitMix64 for the seed 1234567, published with its test suites.
    #[test]
    fn split_mix_gives_its_published_numbers() {
        let mut mixer = SplitMix(1_234_567);
        assert_eq!(mixer.next(), 6_457_827_717_110_365_317);
        assert_eq!(mixer.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, stream| Seeded::new(seed, stream).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    /// Mean, variance and third moment within five standard errors.
    #[test]
    fn distributions_have_their_moments() {
        const COUNT: usize = 200_000;
        fn check(name: &str, mut draw: impl FnMut() -> f64, expected: [f64; 3], slack: [f64; 3]) {
            let mut sums = [0.0; 3];
            for _ in 0..COUNT {
                let x = draw();
                sums[0] += x;
                sums[1] += x * x;
                sums[2] += x * x * x;
            }
            for (power, (sum, (expected, slack))) in
                sums.iter().zip(expected.iter().zip(slack)).enumerate()
            {
                let mean = sum / COUNT as f64;
                let error = slack / (COUNT as f64).sqrt() * 5.0;
                assert!((mean - expected).abs() < error, "{name}: moment {} is {mean}", power + 1);
            }
        }
        let mut random = Seeded::new(7, 0);
        check("uniform", || random.uniform(), [0.5, 1.0 / 3.0, 0.25], [0.3, 0.3, 0.3]);
        check("exponential", || random.exponential(), [1.0, 2.0, 6.0], [1.0, 4.5, 26.2]);
        check("normal", || random.normal(), [0.0, 1.0, 0.0], [1.0, 1.42, 3.9]);
    }
}
