//! A stream of bytes that only this server can have written: blocks, each with a signature that
//! depends on everything before it, and a last one that is empty.
//!
//! What a reader gets is what was written, from the beginning on; that nothing is missing at the
//! end is certain once it has come there. Neither side holds more than a block. What the bytes mean
//! is their user's business.

use std::io::{self, Read, Write};

use hubwire_proto::token::AccessKey;

/// Bytes of a signature.
const TAG_BYTES: usize = 32;

/// The most bytes of a block.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes that a stream is longer than its content, at most, for each started block and the end.
const FRAMING_BYTES: u64 = 4 + TAG_BYTES as u64;

/// How many bytes a stream of `content` bytes behind `header_len` bytes may take.
pub(crate) fn sealed_len(header_len: usize, content: u64) -> u64 {
    let blocks = content.div_ceil(BLOCK_BYTES as u64);
    (header_len + TAG_BYTES) as u64 + content + (blocks + 1) * FRAMING_BYTES
}

/// Why a sealed stream is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsealed {
    /// It ends too early, or has been changed, or was sealed with another key.
    #[error("it is damaged, or was not written with this server's internal key")]
    Broken,
}

impl From<Unsealed> for io::Error {
    fn from(error: Unsealed) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Signatures of which each covers the one before.
struct Chain {
    key: AccessKey,
    /// The last signature, and then the block that is to be signed.
    message: Vec<u8>,
}

impl Chain {
    fn begin(key: AccessKey, header: &[u8]) -> Self {
        let message = key.sign(header).to_vec();
        Self { key, message }
    }

    /// The last signature.
    fn tag(&self) -> &[u8] {
        &self.message[..TAG_BYTES]
    }

    /// The block so far.
    fn block(&self) -> &[u8] {
        &self.message[TAG_BYTES..]
    }

    /// Ends the block.
    fn sign(&mut self) {
        let tag = self.key.sign(&self.message);
        self.message.clear();
        self.message.extend(tag);
    }
}

/// Seals what is written to it. Nothing is complete before [`finish`](Self::finish).
pub(crate) struct SealedWriter<W> {
    inner: W,
    chain: Chain,
}

impl<W: Write> SealedWriter<W> {
    /// Begins with `header`, which is signed and readable.
    ///
    /// # Errors
    ///
    /// What `inner` says.
    pub(crate) fn begin(mut inner: W, key: AccessKey, header: &[u8]) -> io::Result<Self> {
        let chain = Chain::begin(key, header);
        inner.write_all(header)?;
        inner.write_all(chain.tag())?;
        Ok(Self { inner, chain })
    }

    /// Writes the end.
    ///
    /// # Errors
    ///
    /// What `inner` says.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.chain.block().is_empty() {
            self.write_block()?;
        }
        self.write_block()?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn write_block(&mut self) -> io::Result<()> {
        let len = u32::try_from(self.chain.block().len()).map_err(io::Error::other)?;
        self.inner.write_all(&len.to_le_bytes())?;
        self.inner.write_all(self.chain.block())?;
        self.chain.sign();
        self.inner.write_all(self.chain.tag())
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chain.block().len() == BLOCK_BYTES {
            self.write_block()?;
        }
        let room = BLOCK_BYTES - self.chain.block().len();
        let taken = &bytes[..bytes.len().min(room)];
        self.chain.message.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what a [`SealedWriter`] has written, as long as it is that.
pub(crate) struct SealedReader<R> {
    inner: R,
    chain: Chain,
    block: Vec<u8>,
    /// Bytes of the block that were read.
    read: usize,
    has_ended: bool,
}

impl<R: Read> SealedReader<R> {
    /// Begins after `header`, which was read from `inner` already.
    ///
    /// # Errors
    ///
    /// [`Unsealed`] and what `inner` says.
    pub(crate) fn begin(mut inner: R, key: AccessKey, header: &[u8]) -> io::Result<Self> {
        let tag: [u8; TAG_BYTES] = read_array(&mut inner)?;
        if !key.has_signed(header, &tag) {
            return Err(Unsealed::Broken.into());
        }
        Ok(Self {
            inner,
            chain: Chain::begin(key, header),
            block: Vec::new(),
            read: 0,
            has_ended: false,
        })
    }

    /// Makes sure that the end has come and nothing follows.
    ///
    /// # Errors
    ///
    /// [`Unsealed`] and what `inner` says.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let (mut more, mut behind) = ([0], [0]);
        if self.read(&mut more)? > 0 || self.inner.read(&mut behind)? > 0 {
            return Err(Unsealed::Broken.into());
        }
        Ok(())
    }

    fn read_block(&mut self) -> io::Result<()> {
        let len = u32::from_le_bytes(read_array(&mut self.inner)?);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > BLOCK_BYTES {
            return Err(Unsealed::Broken.into());
        }
        self.block.resize(len, 0);
        read_exact(&mut self.inner, &mut self.block)?;
        let tag: [u8; TAG_BYTES] = read_array(&mut self.inner)?;
        self.chain.message.extend_from_slice(&self.block);
        if !self.chain.key.has_signed(&self.chain.message, &tag) {
            return Err(Unsealed::Broken.into());
        }
        self.chain.message.clear();
        self.chain.message.extend(tag);
        self.read = 0;
        self.has_ended = len == 0;
        Ok(())
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() && !self.has_ended && !buffer.is_empty() {
            self.read_block()?;
        }
        let taken = buffer.len().min(self.block.len() - self.read);
        buffer[..taken].copy_from_slice(&self.block[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}

fn read_array<const N: usize>(inner: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    read_exact(inner, &mut array)?;
    Ok(array)
}

/// Too short a stream has lost its end.
fn read_exact(inner: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    inner
        .read_exact(buffer)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Unsealed::Broken.into(),
            _ => error,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"header";

    fn key(text: &str) -> AccessKey {
        AccessKey::new(text).unwrap()
    }

    fn seal(content: &[u8]) -> Vec<u8> {
        let mut writer = SealedWriter::begin(Vec::new(), key("k"), HEADER).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    fn open(sealed: &[u8], key: AccessKey) -> io::Result<Vec<u8>> {
        let (header, rest) = sealed.split_at(HEADER.len().min(sealed.len()));
        let mut reader = SealedReader::begin(rest, key, header)?;
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        reader.finish()?;
        Ok(content)
    }

    #[test]
    fn what_was_sealed_comes_back() {
        for len in [
            0,
            1,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            3 * BLOCK_BYTES,
        ] {
            let content: Vec<u8> = (0..=250).cycle().take(len).collect();
            let sealed = seal(&content);
            assert_eq!(open(&sealed, key("k")).unwrap(), content, "{len}");
            assert!(sealed.len() as u64 <= sealed_len(HEADER.len(), len as u64));
        }
    }

    #[test]
    fn no_change_goes_unnoticed() {
        let content = vec![7; BLOCK_BYTES + 100];
        let sealed = seal(&content);
        let check = |changed: &[u8], key: AccessKey| {
            let error = open(changed, key).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        };
        check(&sealed, key("another"));
        for at in (0..sealed.len()).step_by(997).chain(0..50) {
            let mut changed = sealed.clone();
            changed[at] ^= 0x10;
            check(&changed, key("k"));
        }
        for len in (0..sealed.len()).step_by(1009).chain([sealed.len() - 1]) {
            check(&sealed[..len], key("k"));
        }
        check(&[&sealed[..], &[0]].concat(), key("k"));
        // Without its first block, everything else whole.
        let begin = HEADER.len() + TAG_BYTES;
        let first = 4 + BLOCK_BYTES + TAG_BYTES;
        check(
            &[&sealed[..begin], &sealed[begin + first..]].concat(),
            key("k"),
        );
    }
}
