//! The Avro object container file (<https://avro.apache.org/docs/1.12.0/specification/#object-container-files>), as far as a file that
//! grows, and a merge of files, need it: a header, then blocks that are compressed each for itself.

use bytes::{Buf, Bytes, BytesMut};

const MAGIC: &[u8; 4] = b"Obj\x01";
/// The length of a sync marker.
const SYNC: usize = 16;
/// The longest header and the longest block that are believed. A block ends at some 256 KiB, or with one message of 10 MB.
const LONGEST: usize = 64 << 20;

/// Why a file is no container, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It does not begin as a container does.
    #[error("the file does not begin as an Avro object container file")]
    Magic,
    /// A number, a length or a text makes no sense.
    #[error("the file has {0} that makes no sense")]
    Malformed(&'static str),
    /// A block does not end with the file's sync marker.
    #[error("a block does not end with the file's sync marker")]
    Sync,
    /// The file ends inside its header or a block.
    #[error("the file ends in the middle")]
    Truncated,
}

/// What a container's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// The schema's JSON.
    pub(crate) schema: String,
    /// Avro's name of the codec.
    pub(crate) codec: String,
    sync: [u8; SYNC],
}

/// A block as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// How many records it holds.
    pub(crate) records: u64,
    /// The records, compressed.
    pub(crate) bytes: Bytes,
}

impl Header {
    pub(crate) fn new(schema: &str, codec: &str, sync: [u8; SYNC]) -> Self {
        Self { schema: schema.to_owned(), codec: codec.to_owned(), sync }
    }

    /// Appends the header.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        long(2, out);
        for (name, value) in [("avro.schema", &self.schema), ("avro.codec", &self.codec)] {
            bytes(name.as_bytes(), out);
            bytes(value.as_bytes(), out);
        }
        long(0, out);
        out.extend_from_slice(&self.sync);
    }

    /// Appends a block of a file with this header.
    pub(crate) fn write_block(&self, records: u64, block: &[u8], out: &mut Vec<u8>) {
        long(records as i64, out);
        bytes(block, out);
        out.extend_from_slice(&self.sync);
    }
}

/// Appends Avro's long: a zigzag number of variable length.
pub(crate) fn long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends Avro's bytes, or a string: the length and what it is the length of.
pub(crate) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value);
}

/// Takes a container apart as its bytes come. It keeps one block.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    buffer: BytesMut,
    header: Option<Header>,
}

impl Blocks {
    /// Takes the next bytes of the file.
    pub(crate) fn feed(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    /// The header, once it has come.
    pub(crate) fn header(&mut self) -> Result<Option<&Header>, ContainerError> {
        if self.header.is_none() {
            let mut scan = Scan { rest: &self.buffer };
            let Some(header) = partial(scan.header(), self.buffer.len())? else { return Ok(None) };
            let length = self.buffer.len() - scan.rest.len();
            self.buffer.advance(length);
            self.header = Some(header);
        }
        Ok(self.header.as_ref())
    }

    /// The next block that has come whole.
    pub(crate) fn next(&mut self) -> Result<Option<Block>, ContainerError> {
        let Some(sync) = self.header()?.map(|header| header.sync) else { return Ok(None) };
        let mut scan = Scan { rest: &self.buffer };
        let Some((records, length)) = partial(scan.block(&sync), self.buffer.len())? else { return Ok(None) };
        let whole = self.buffer.len() - scan.rest.len();
        let mut block = self.buffer.split_to(whole).freeze();
        block.truncate(whole - SYNC);
        Ok(Some(Block { records, bytes: block.split_off(block.len() - length) }))
    }

    /// The file has ended: nothing may be left.
    pub(crate) fn finish(self) -> Result<(), ContainerError> {
        if self.header.is_some() && self.buffer.is_empty() { Ok(()) } else { Err(ContainerError::Truncated) }
    }
}

/// What ends too early may go on with the next bytes, unless there are too many already.
fn partial<T>(scanned: Result<T, ContainerError>, length: usize) -> Result<Option<T>, ContainerError> {
    match scanned {
        Ok(found) => Ok(Some(found)),
        Err(ContainerError::Truncated) if length <= LONGEST => Ok(None),
        Err(error) => Err(error),
    }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn header(&mut self) -> Result<Header, ContainerError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(ContainerError::Magic);
        }
        let (mut schema, mut codec) = (None, "null".to_owned());
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                self.long()?; // the size of the map's part in bytes
            }
            for _ in 0..count.unsigned_abs() {
                let name = self.bytes("a name of metadata")?;
                let value = self.bytes("a value of metadata")?;
                let text = || std::str::from_utf8(value).map(str::to_owned).ok();
                match name {
                    b"avro.schema" => schema = text(),
                    b"avro.codec" => codec = text().ok_or(ContainerError::Malformed("a codec"))?,
                    _ => {}
                }
            }
        }
        let schema = schema.ok_or(ContainerError::Malformed("a schema"))?;
        let sync = self.sync()?;
        Ok(Header { schema, codec, sync })
    }

    /// How many records a block holds, and the length of its bytes.
    fn block(&mut self, sync: &[u8; SYNC]) -> Result<(u64, usize), ContainerError> {
        let records = u64::try_from(self.long()?).map_err(|_| ContainerError::Malformed("a number of records"))?;
        let length = self.bytes("a block")?.len();
        if self.sync()? != *sync {
            return Err(ContainerError::Sync);
        }
        Ok((records, length))
    }

    fn sync(&mut self) -> Result<[u8; SYNC], ContainerError> {
        self.take(SYNC)?.try_into().map_err(|_| ContainerError::Truncated)
    }

    fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], ContainerError> {
        let length = usize::try_from(self.long()?).map_err(|_| ContainerError::Malformed(what))?;
        if length > LONGEST {
            return Err(ContainerError::Malformed(what));
        }
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ContainerError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ContainerError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64, ContainerError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(ContainerError::Malformed("a number"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn files_come_apart_at_any_step(blocks in collection::vec((1..99_u64, collection::vec(any::<u8>(), 0..300)), 0..9), step in 1..99_usize) {
            let header = Header::new("{}", "null", [7; SYNC]);
            let mut file = Vec::new();
            header.write(&mut file);
            blocks.iter().for_each(|(records, block)| header.write_block(*records, block, &mut file));
            let (mut reader, mut found) = (Blocks::default(), Vec::new());
            for part in file.chunks(step) {
                reader.feed(part);
                while let Some(block) = reader.next().expect("a sound file") {
                    found.push((block.records, block.bytes.to_vec()));
                }
            }
            prop_assert_eq!(reader.header().expect("a header"), Some(&header));
            reader.finish().expect("the end");
            prop_assert_eq!(found, blocks);
        }

        #[test]
        fn numbers_are_what_they_were(number in any::<i64>()) {
            let mut out = Vec::new();
            long(number, &mut out);
            prop_assert_eq!(Scan { rest: &out }.long().expect("a number"), number);
        }

        #[test]
        fn no_bytes_panic(noise in collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
            let mut file = if head { b"Obj\x01\x02\x16avro.schema\x04{}\x00".to_vec() } else { Vec::new() };
            file.extend(noise);
            let mut reader = Blocks::default();
            reader.feed(&file);
            while let Ok(Some(_)) = reader.next() {}
        }
    }

    #[test]
    fn a_file_that_ends_early_is_told() {
        let header = Header::new("{}", "null", [7; SYNC]);
        let mut file = Vec::new();
        header.write(&mut file);
        header.write_block(1, b"abc", &mut file);
        for length in 0..file.len() {
            let mut reader = Blocks::default();
            reader.feed(&file[..length]);
            while reader.next().expect("a sound start").is_some() {}
            let is_whole = header_length(&header) == length;
            assert_eq!(reader.finish().is_ok(), is_whole, "{length} bytes");
        }
        *file.last_mut().expect("bytes") ^= 1;
        let mut reader = Blocks::default();
        reader.feed(&file);
        assert!(matches!(reader.next(), Err(ContainerError::Sync)));
    }

    fn header_length(header: &Header) -> usize {
        let mut out = Vec::new();
        header.write(&mut out);
        out.len()
    }
}
