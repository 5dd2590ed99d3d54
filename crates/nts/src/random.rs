/// A source of octets nobody can predict, passed in by the caller: this crate owns no randomness of its own.
///
/// Any `FnMut(&mut [u8])` is one, so a test can pass a counter and a program its pool.
pub trait Random {
    /// Overwrites every octet of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Random for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// `N` octets from `random`.
pub(crate) fn octets<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut out = [0; N];
    random.fill(&mut out);
    out
}
