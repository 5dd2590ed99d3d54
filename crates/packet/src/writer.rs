use crate::field::{FIELD_HEADER_LEN, FIELD_MAX, FIELD_MIN, LAST_FIELD_MIN};
use crate::{EncodeError, FieldKind, HEADER_LEN, Header, Mac, Version};

/// Writes a packet into the caller's buffer: header, then extension fields, then perhaps a MAC.
///
/// Nothing it refuses leaves a trace in what [`written`](Self::written) returns. Fields are zero-padded to a multiple of
/// four octets and to the 16 that RFC 7822 §3 demands. The one thing it cannot see is which field is the last: if no
/// MAC follows, write that one with [`last_field`](Self::last_field), or make it long enough, since 20 or 24 octets at
/// the end would be read as a MAC.
#[derive(Debug)]
pub struct PacketWriter<'a> {
    buffer: &'a mut [u8],
    len: usize,
    version: Version,
}

impl<'a> PacketWriter<'a> {
    /// Starts with the header.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`] if the buffer has less than 48 octets.
    pub fn new(buffer: &'a mut [u8], header: &Header) -> Result<Self, EncodeError> {
        let room = buffer.len();
        let octets =
            buffer.first_chunk_mut().ok_or(EncodeError::NoRoom { needed: HEADER_LEN, room })?;
        header.write(octets);
        Ok(Self { buffer, len: HEADER_LEN, version: header.version })
    }

    /// Adds a field, padded to at least 16 octets.
    ///
    /// # Errors
    /// No room, or a body above 65528 octets.
    pub fn field(&mut self, kind: FieldKind, body: &[u8]) -> Result<(), EncodeError> {
        self.field_of(kind, body.len(), FIELD_MIN, |_, room| room.copy_from_slice(body))
    }

    /// Adds the last field of a packet that will have no MAC, padded to at least 28 octets.
    ///
    /// # Errors
    /// No room, or a body above 65528 octets.
    pub fn last_field(&mut self, kind: FieldKind, body: &[u8]) -> Result<(), EncodeError> {
        self.field_of(kind, body.len(), LAST_FIELD_MIN, |_, room| room.copy_from_slice(body))
    }

    /// Adds a field whose body of `body_len` octets `fill` writes; it finds zeros. Padded to at least 16 octets.
    ///
    /// # Errors
    /// No room, or a body above 65528 octets; then `fill` was not called.
    pub fn field_with(
        &mut self,
        kind: FieldKind,
        body_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), EncodeError> {
        self.field_of(kind, body_len, FIELD_MIN, |_, body| fill(body))
    }

    /// Adds a field computed over all that precedes it: `fill` gets those octets and the body, which is zero. This is
    /// how an NTS authenticator covers its packet (RFC 8915 §5.6). Padded to at least 16 octets.
    ///
    /// # Errors
    /// No room, or a body above 65528 octets; then `fill` was not called.
    pub fn field_over(
        &mut self,
        kind: FieldKind,
        body_len: usize,
        fill: impl FnOnce(&[u8], &mut [u8]),
    ) -> Result<(), EncodeError> {
        self.field_of(kind, body_len, FIELD_MIN, fill)
    }

    /// Closes with a MAC.
    ///
    /// # Errors
    /// No room, or a digest of a length that would not be read back as a MAC: other than 16 or 20 octets in version 4,
    /// 16 to 64 in a multiple of four before.
    pub fn mac(mut self, mac: &Mac<'_>) -> Result<&'a mut [u8], EncodeError> {
        let len = mac.digest.len();
        let longest = if self.version == Version::V4 { 20 } else { 64 };
        if !(16..=longest).contains(&len) || !len.is_multiple_of(4) {
            return Err(EncodeError::DigestLength { len });
        }
        let (_, room) = self.extend(4 + len)?;
        let (key_id, digest) = room.split_at_mut(4);
        key_id.copy_from_slice(&mac.key_id.to_be_bytes());
        digest.copy_from_slice(mac.digest);
        Ok(self.finish())
    }

    /// Closes with a crypto-NAK. After a field of 16 or 20 octets it would be read as part of a MAC.
    ///
    /// # Errors
    /// No room.
    pub fn crypto_nak(mut self) -> Result<&'a mut [u8], EncodeError> {
        self.extend(4)?;
        Ok(self.finish())
    }

    /// Octets written so far; never less than 48.
    #[expect(clippy::len_without_is_empty, reason = "it starts with a header")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The packet so far.
    pub fn written(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[]) // `len` never passes the buffer
    }

    /// The finished packet: the part of the buffer used.
    pub fn finish(self) -> &'a mut [u8] {
        self.buffer.get_mut(..self.len).unwrap_or(&mut []) // `len` never passes the buffer
    }

    fn field_of(
        &mut self,
        kind: FieldKind,
        body_len: usize,
        min: usize,
        fill: impl FnOnce(&[u8], &mut [u8]),
    ) -> Result<(), EncodeError> {
        if body_len > FIELD_MAX - FIELD_HEADER_LEN {
            return Err(EncodeError::FieldTooLong { body: body_len });
        }
        let len = (FIELD_HEADER_LEN + body_len).next_multiple_of(4).max(min);
        let (before, field) = self.extend(len)?;
        let (header, room) = field.split_at_mut(FIELD_HEADER_LEN);
        let (body, _padding) = room.split_at_mut(body_len);
        let [kind_high, kind_low] = kind.0.to_be_bytes();
        let [len_high, len_low] = (len as u16).to_be_bytes(); // at most FIELD_MAX
        header.copy_from_slice(&[kind_high, kind_low, len_high, len_low]);
        fill(before, body);
        Ok(())
    }

    /// Takes `needed` zeroed octets into the packet; returns them with all before.
    fn extend(&mut self, needed: usize) -> Result<(&[u8], &mut [u8]), EncodeError> {
        let (before, rest) = self.buffer.split_at_mut(self.len);
        let room = rest.len();
        let added = rest.get_mut(..needed).ok_or(EncodeError::NoRoom { needed, room })?;
        added.fill(0);
        self.len += needed;
        Ok((before, added))
    }
}
