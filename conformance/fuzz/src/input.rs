/// A fuzzer's octets, read as a plan: each choice takes some off the front. What is missing counts as zero.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// The whole plan.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Whether nothing is left to choose from.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One octet.
    pub fn octet(&mut self) -> u8 {
        let [octet] = self.array();
        octet
    }

    /// Two octets as a number.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// One octet as an index below `count`, or 0 if there is nothing to count.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.octet()).checked_rem(count).unwrap_or(0)
    }

    /// So many octets, filled up with zeros.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.at_most(N);
        core::array::from_fn(|at| taken.get(at).copied().unwrap_or(0))
    }

    /// Up to so many octets.
    pub fn at_most(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn all(&mut self) -> &'a [u8] {
        self.at_most(self.rest.len())
    }
}
