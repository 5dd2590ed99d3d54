//! The cookies we hold and have not spent.

use std::collections::VecDeque;

/// Unspent cookies for one server under one set of keys, oldest first.
///
/// RFC 8915 §9.1: a cookie seen twice links two requests, so [`Jar::take`] is the only way out, and only what nobody has seen comes
/// back.
#[derive(Default)]
pub(crate) struct Jar {
    cookies: VecDeque<Vec<u8>>,
}

impl Jar {
    /// A jar with the first [`JAR_SIZE`] of `cookies`; empty ones are left out.
    pub(crate) fn filled(cookies: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut jar = Self::default();
        for cookie in cookies {
            jar.put(cookie);
        }
        jar
    }

    /// Keeps a cookie the server gave; one too many is dropped, so a server cannot make us remember more.
    pub(crate) fn put(&mut self, cookie: Vec<u8>) {
        if self.cookies.len() < JAR_SIZE && !cookie.is_empty() {
            self.cookies.push_back(cookie);
        }
    }

    /// Takes a cookie for good.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.cookies.pop_front()
    }

    /// Takes back the cookie taken last, which never left this machine.
    pub(crate) fn put_back(&mut self, cookie: Vec<u8>) {
        if self.cookies.len() < JAR_SIZE {
            self.cookies.push_front(cookie);
        }
    }

    /// How many cookies are left.
    pub(crate) fn len(&self) -> usize {
        self.cookies.len()
    }

    /// How many placeholders bring the stock back to [`JAR_SIZE`], once a cookie was taken for the request:
    /// the answer brings one cookie for the spent one and one for each placeholder (RFC 8915 §5.7).
    pub(crate) fn placeholders_wanted(&self) -> usize {
        JAR_SIZE.saturating_sub(1 + self.cookies.len())
    }
}

/// As many cookies as RFC 8915 §4.1.6 has a server give.
pub(crate) const JAR_SIZE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(count: u8) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(|n| vec![n; 4])
    }

    #[test]
    fn a_jar_never_holds_more_than_eight() {
        assert_eq!(Jar::filled(cookies(20)).len(), 8);
    }

    #[test]
    fn cookies_leave_in_the_order_they_came_and_only_once() {
        let mut jar = Jar::filled(cookies(3));
        let taken: Vec<_> = std::iter::from_fn(|| jar.take()).map(|cookie| cookie[0]).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(jar.len(), 0);
    }

    #[test]
    fn placeholders_return_the_stock_to_eight() {
        for stock in 1..=8 {
            let mut jar = Jar::filled(cookies(stock));
            jar.take();
            let wanted = jar.placeholders_wanted();
            assert_eq!(jar.len() + 1 + wanted, 8, "from a stock of {stock}");
            assert!(wanted <= 7);
        }
    }

    #[test]
    fn an_empty_cookie_is_no_cookie() {
        assert_eq!(Jar::filled([Vec::new(), vec![1; 4]]).len(), 1);
    }
}
