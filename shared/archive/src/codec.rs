//! The codecs of Avro blocks (<https://avro.apache.org/docs/1.12.0/specification/#required-codecs>). apache-avro has them too, and
//! makes a new compressor for every block; these are kept, which is most of the speed of small blocks.

use catalog::Codec;
use snap::raw::{Decoder, Encoder};
use zstd::bulk::Compressor;

/// Level 1: on messages of JSON a few per cent larger than the default, at several times the speed.
const ZSTD_LEVEL: i32 = 1;
/// The fastest level of deflate, for the same reason.
const DEFLATE_LEVEL: u8 = 1;
/// What follows a snappy block: the CRC-32 of what it holds, big-endian.
const SNAPPY_CHECKSUM: usize = 4;

/// A block could not be compressed, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Zstandard said so.
    #[error("zstandard failed")]
    Zstd(#[source] std::io::Error),
    /// Snappy said so.
    #[error("snappy failed")]
    Snappy(#[from] snap::Error),
    /// A snappy block has another checksum than what it holds.
    #[error("the checksum of a snappy block is wrong")]
    Checksum,
    /// Deflate said so.
    #[error("deflate failed: {0}")]
    Deflate(String),
}

/// Compresses one block after another.
pub(crate) enum Encode {
    Zstd(Box<Compressor<'static>>),
    Snappy(Box<Encoder>),
    Deflate,
    Null,
}

impl Encode {
    pub(crate) fn new(codec: Codec) -> Result<Self, CodecError> {
        Ok(match codec {
            Codec::Zstd => Self::Zstd(Box::new(Compressor::new(ZSTD_LEVEL).map_err(CodecError::Zstd)?)),
            Codec::Snappy => Self::Snappy(Box::new(Encoder::new())),
            Codec::Deflate => Self::Deflate,
            Codec::Null => Self::Null,
        })
    }

    /// Puts the compressed `block` in place of what `into` holds.
    pub(crate) fn block(&mut self, block: &[u8], into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.clear();
        match self {
            Self::Zstd(compressor) => {
                into.reserve(zstd::zstd_safe::compress_bound(block.len()));
                compressor.compress_to_buffer(block, into).map_err(CodecError::Zstd)?;
            }
            Self::Snappy(encoder) => {
                into.resize(snap::raw::max_compress_len(block.len()), 0);
                let length = encoder.compress(block, into)?;
                into.truncate(length);
                into.extend_from_slice(&crc32fast::hash(block).to_be_bytes());
            }
            Self::Deflate => *into = miniz_oxide::deflate::compress_to_vec(block, DEFLATE_LEVEL),
            Self::Null => into.extend_from_slice(block),
        }
        Ok(())
    }
}

/// What a block of that codec holds.
pub(crate) fn decode(codec: Codec, block: &[u8]) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::Zstd => zstd::stream::decode_all(block).map_err(CodecError::Zstd),
        Codec::Snappy => {
            let (block, checksum) = block.split_last_chunk::<SNAPPY_CHECKSUM>().ok_or(CodecError::Checksum)?;
            let held = Decoder::new().decompress_vec(block)?;
            if crc32fast::hash(&held).to_be_bytes() == *checksum { Ok(held) } else { Err(CodecError::Checksum) }
        }
        Codec::Deflate => {
            miniz_oxide::inflate::decompress_to_vec(block).map_err(|error| CodecError::Deflate(error.to_string()))
        }
        Codec::Null => Ok(block.to_vec()),
    }
}

/// The codec's name in an Avro file's header.
pub(crate) fn avro_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Zstd => "zstandard",
        Codec::Snappy => "snappy",
        Codec::Deflate => "deflate",
        Codec::Null => "null",
    }
}

/// The codec of that name in an Avro file's header.
pub(crate) fn of_avro_name(name: &str) -> Option<Codec> {
    [Codec::Zstd, Codec::Snappy, Codec::Deflate, Codec::Null].into_iter().find(|codec| avro_name(*codec) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_it_was() {
        let block: Vec<u8> = (0..100_000_u32).flat_map(|at| (at % 1000).to_le_bytes()).collect();
        for codec in [Codec::Zstd, Codec::Snappy, Codec::Deflate, Codec::Null] {
            let (mut encode, mut into) = (Encode::new(codec).expect("a codec"), Vec::new());
            for block in [&block[..], b"", b"x", &block[7..]] {
                encode.block(block, &mut into).expect("compressed");
                assert_eq!(decode(codec, &into).expect("a block"), block, "{codec:?}");
            }
            assert_eq!(of_avro_name(avro_name(codec)), Some(codec));
        }
        assert!(decode(Codec::Snappy, b"abc").is_err() && decode(Codec::Zstd, b"abc").is_err());
    }
}
