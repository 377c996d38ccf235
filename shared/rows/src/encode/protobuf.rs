//! The few pieces of protobuf's wire format that rows are made of.

/// Wire type of `int32`, `int64` and `bool`.
pub(super) const VARINT: u32 = 0;
/// Wire type of `double`.
pub(super) const FIXED64: u32 = 1;
/// Wire type of `string`, `bytes` and messages.
pub(super) const LENGTH_DELIMITED: u32 = 2;

/// The tag of a field.
pub(super) const fn tag(number: u32, wire_type: u32) -> u32 {
    (number << 3) | wire_type
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_tag(out: &mut Vec<u8>, tag: u32) {
    put_varint(out, u64::from(tag));
}

pub(super) fn put_int64(out: &mut Vec<u8>, tag: u32, value: i64) {
    put_tag(out, tag);
    put_varint(out, value as u64);
}

pub(super) fn put_double(out: &mut Vec<u8>, tag: u32, value: f64) {
    put_tag(out, tag);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    put_tag(out, tag);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Begins a message: its tag, and one byte in which its length goes. Ended by [`end_message`].
pub(super) fn begin_message(out: &mut Vec<u8>, tag: u32) -> usize {
    put_tag(out, tag);
    out.push(0);
    out.len()
}

/// Writes the length of the message whose first byte stands at `start`; its bytes move only where the length needs more
/// than the one byte that waits for it.
pub(super) fn end_message(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let mut encoded = [0_u8; 10];
    let mut width = 0;
    let mut rest = length;
    loop {
        let more = rest >= 0x80;
        encoded[width] = (rest as u8 & 0x7F) | if more { 0x80 } else { 0 };
        width += 1;
        rest >>= 7;
        if !more {
            break;
        }
    }
    out.resize(out.len() + width - 1, 0);
    out.copy_within(start..start + length, start + width - 1);
    out[start - 1..start - 1 + width].copy_from_slice(&encoded[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_are_patched() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = b"before".to_vec();
            let start = begin_message(&mut out, tag(1, LENGTH_DELIMITED));
            out.extend(std::iter::repeat_n(7, length));
            end_message(&mut out, start);
            let mut expected = b"before".to_vec();
            put_bytes(&mut expected, tag(1, LENGTH_DELIMITED), &vec![7; length]);
            assert_eq!(out, expected, "{length}");
        }
    }
}
