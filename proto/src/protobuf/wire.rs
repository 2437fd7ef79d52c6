//! The wire format of Protocol Buffers: fields out of bytes, bytes out of fields.
//!
//! Which field means what is known to the codec alone.

/// How deep groups, the obsolete kind of nesting, may nest in a field that is skipped.
const MAX_GROUP_DEPTH: u32 = 100;

/// Bytes that are no message in the wire format, or not one of the expected types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end within a field.
    #[error("it ends within a field")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("a number is longer than 64 bits")]
    NumberLength,
    /// A field has the number 0, or one above 2^29 - 1.
    #[error("a field has an impossible number")]
    FieldNumber,
    /// A wire type that is not defined, or a group that ends without having begun.
    #[error("a field has an unknown wire type")]
    WireType,
    /// Groups nested too deep.
    #[error("groups are nested too deep")]
    Depth,
    /// A field of the schema whose value has another type.
    #[error("a field has a value of the wrong type")]
    ValueType,
    /// A string that is not UTF-8.
    #[error("a string is not valid UTF-8")]
    Utf8,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Any kind of integer, and truth values.
    Number(u64),
    /// Bytes, a string or a message.
    Bytes(&'a [u8]),
    /// A kind that our messages do not use.
    Other,
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> Result<u64, WireError> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(WireError::ValueType),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::ValueType),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, WireError> {
        simdutf8::basic::from_utf8(self.bytes()?).map_err(|_| WireError::Utf8)
    }
}

/// The fields of one message, in their order. Ends behind the first error.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let (number, wire_type) = self.tag()?;
        Ok((number, self.value(number, wire_type, 0)?))
    }

    fn tag(&mut self) -> Result<(u32, u32), WireError> {
        let tag = u32::try_from(self.varint()?).map_err(|_| WireError::FieldNumber)?;
        match tag >> 3 {
            0 => Err(WireError::FieldNumber),
            number => Ok((number, tag & 7)),
        }
    }

    fn value(&mut self, number: u32, wire_type: u32, depth: u32) -> Result<Value<'a>, WireError> {
        match wire_type {
            0 => self.varint().map(Value::Number),
            1 => self.take(8).map(|_| Value::Other),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                self.take(length).map(Value::Bytes)
            }
            3 => self.skip_group(number, depth).map(|()| Value::Other),
            5 => self.take(4).map(|_| Value::Other),
            _ => Err(WireError::WireType),
        }
    }

    /// Moves behind the end of the group `number`, which has just begun.
    fn skip_group(&mut self, number: u32, depth: u32) -> Result<(), WireError> {
        if depth == MAX_GROUP_DEPTH {
            return Err(WireError::Depth);
        }
        loop {
            match self.tag()? {
                (ended, 4) if ended == number => return Ok(()),
                (inner, wire_type) => self.value(inner, wire_type, depth + 1)?,
            };
        }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly every tag and every short length is one byte.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(MAX_VARINT_LEN) {
            // The tenth byte has room for one bit.
            if index == MAX_VARINT_LEN - 1 && byte > 1 {
                return Err(WireError::NumberLength);
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(WireError::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

const MAX_VARINT_LEN: usize = 10;

/// Bytes of a field with a number up to 15 that holds `length` bytes.
pub(super) const fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Bytes of a field with a number up to 15 that holds `value`.
pub(super) const fn number_field_len(value: u64) -> usize {
    1 + varint_len(value)
}

/// Appends the head of a field that holds `length` bytes, which the caller appends.
pub(super) fn put_head(out: &mut Vec<u8>, number: u8, length: usize) {
    put_tag(out, number, 2);
    put_varint(out, length as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    put_head(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    put_tag(out, number, 0);
    put_varint(out, value);
}

fn put_tag(out: &mut Vec<u8>, number: u8, wire_type: u8) {
    debug_assert!((1..16).contains(&number));
    out.push(number << 3 | wire_type);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

const fn varint_len(value: u64) -> usize {
    // At least one byte, then one for each started group of seven bits.
    ((value | 1).ilog2() / 7 + 1) as usize
}
