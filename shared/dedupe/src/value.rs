//! Values as bytes: what a ledger keeps for a key. Settled keys, of which there are most, take nine bytes, and eight in Redis
//! (`redis/keys.lua`).
//!
//! ```text
//! C  time 13 digits  owner 16  base offset 8, big endian  write stream  NUL  payload hash 8
//!                                    claimed; the time is the ledger's, in milliseconds; without the last two: not told
//! D  payload hash 8                                                       done
//! P  payload hash 8  reason code  NUL  pointer  NUL  detail               rejecting
//! X  payload hash 8                                                       rejected
//! ```
//! What stands between a claim's time and the NUL is its identity: two claims are equal where these bytes are.

use std::time::Duration;

use event::{Reason, Rejection};
use exactly_once::{Claim, Expected, NewState, Owner, PayloadHash, Restored, Time, Want, rules::Stored};

/// The first byte of a claimed key's value.
pub(crate) const CLAIMED: u8 = b'C';
/// The digits of a claim's time.
const TIME_DIGITS: usize = 13;
/// The most of a rejection's detail that a key keeps.
const DETAIL_BYTES: usize = 1024;

/// A claim without its time.
pub(crate) fn identity(claim: &Claim) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + claim.write_stream.len());
    bytes.extend_from_slice(claim.owner.as_bytes());
    bytes.extend_from_slice(&claim.base_offset.to_be_bytes());
    bytes.extend_from_slice(claim.write_stream.as_bytes());
    bytes
}

/// A time, as a claim has it.
pub(crate) fn time(at: Time) -> String {
    format!("{:0width$}", at.since_start().as_millis(), width = TIME_DIGITS)
}

/// What a claim call says of one key: the hash that is kept with the claim, then the identity to take over, if any.
pub(crate) fn want(want: &Want) -> Vec<u8> {
    let instead_of = want.instead_of.as_ref().map(identity).unwrap_or_default();
    [&want.payload.bits().to_be_bytes()[..], &instead_of].concat()
}

/// What must stand, as the swap script compares it.
pub(crate) fn expected(expected: &Expected) -> Vec<u8> {
    match expected {
        Expected::Absent => Vec::new(),
        Expected::Claimed(claim) => [&[CLAIMED][..], &identity(claim)].concat(),
        Expected::Rejecting(payload) => hashed(b'P', *payload),
        Expected::Rejected(payload) => hashed(b'X', *payload),
    }
}

/// A done key's value.
pub(crate) fn done(payload: PayloadHash) -> Vec<u8> {
    hashed(b'D', payload)
}

/// The value that a swap sets, and for how long.
pub(crate) fn new_state(new: &NewState) -> (Vec<u8>, Option<Duration>) {
    match new {
        // The swap script puts the time in.
        NewState::Claimed(claim) => ([&[CLAIMED][..], &identity(claim)].concat(), None),
        NewState::Done { payload, window } => (done(*payload), Some(*window)),
        NewState::Rejecting { payload, rejection } => (rejecting(*payload, rejection), None),
        NewState::Rejected { payload, window } => (hashed(b'X', *payload), Some(*window)),
    }
}

/// A restored key's value.
pub(crate) fn restored(restored: &Restored) -> Vec<u8> {
    match restored {
        Restored::Done { payload } => done(*payload),
        Restored::Rejected { payload } => hashed(b'X', *payload),
    }
}

/// A value at rest.
#[cfg_attr(not(feature = "journal"), expect(dead_code, reason = "Redis writes values in its scripts"))]
pub(crate) fn encode(stored: &Stored) -> Vec<u8> {
    match stored {
        Stored::Claimed { claim, payload, at } => {
            let mut bytes = vec![CLAIMED];
            bytes.extend_from_slice(time(*at).as_bytes());
            bytes.extend_from_slice(&identity(claim));
            bytes.push(0);
            bytes.extend_from_slice(&payload.bits().to_be_bytes());
            bytes
        }
        Stored::Done { payload, .. } => done(*payload),
        Stored::Rejecting { payload, rejection } => rejecting(*payload, rejection),
        Stored::Rejected { payload, .. } => hashed(b'X', *payload),
    }
}

/// Reads a value; `until` is when the key is forgotten, where it ever is. `None`: no ledger wrote it.
pub(crate) fn decode(bytes: &[u8], until: Time) -> Option<Stored> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        b'C' => {
            let (time, rest) = rest.split_at_checked(TIME_DIGITS)?;
            let (owner, rest) = rest.split_first_chunk::<16>()?;
            let (base_offset, stream) = rest.split_first_chunk::<8>()?;
            let (stream, payload) = match stream.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    let (stream, payload) = stream.split_at(end);
                    (stream, PayloadHash::from_bits(u64::from_be_bytes(payload[1..].try_into().ok()?)))
                }
                // A claim of an older version.
                None => (stream, PayloadHash::UNKNOWN),
            };
            let millis = std::str::from_utf8(time).ok()?.parse().ok()?;
            let claim = Claim {
                owner: Owner::from_bytes(*owner),
                write_stream: std::str::from_utf8(stream).ok()?.into(),
                base_offset: i64::from_be_bytes(*base_offset),
            };
            Some(Stored::Claimed { claim, payload, at: Time::new(Duration::from_millis(millis)) })
        }
        b'D' | b'P' | b'X' => {
            let (payload, rest) = rest.split_first_chunk::<8>()?;
            let payload = PayloadHash::from_bits(u64::from_be_bytes(*payload));
            match kind {
                b'D' => rest.is_empty().then_some(Stored::Done { payload, until }),
                b'X' => rest.is_empty().then_some(Stored::Rejected { payload, until }),
                _ => Some(Stored::Rejecting { payload, rejection: rejection(rest)? }),
            }
        }
        _ => None,
    }
}

fn hashed(kind: u8, payload: PayloadHash) -> Vec<u8> {
    [&[kind][..], &payload.bits().to_be_bytes()].concat()
}

fn rejecting(payload: PayloadHash, rejection: &Rejection) -> Vec<u8> {
    let mut bytes = hashed(b'P', payload);
    bytes.extend_from_slice(rejection.reason.code().as_bytes());
    bytes.push(0);
    bytes.extend(rejection.pointer.iter().flat_map(|pointer| pointer.bytes()).filter(|byte| *byte != 0));
    bytes.push(0);
    let detail = &rejection.detail;
    bytes.extend_from_slice(&detail.as_bytes()[..detail.floor_char_boundary(DETAIL_BYTES)]);
    bytes
}

fn rejection(bytes: &[u8]) -> Option<Rejection> {
    let mut parts = std::str::from_utf8(bytes).ok()?.splitn(3, '\0');
    let (code, pointer, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let pointer = (!pointer.is_empty()).then(|| pointer.to_owned());
    let (reason, detail) = match Reason::ALL.into_iter().find(|reason| reason.code() == code) {
        Some(reason) => (reason, detail.to_owned()),
        // A newer version wrote it, whose reasons are more.
        None => (Reason::RowRejected, format!("{code}: {detail}")),
    };
    Some(Rejection { reason, pointer, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim { owner: Owner::from_bytes([7; 16]), write_stream: "Cig0".into(), base_offset: -3 }
    }

    #[cfg(feature = "journal")]
    #[test]
    fn values_survive_the_trip() {
        let until = Time::new(Duration::from_secs(9));
        let payload = PayloadHash::from_bits(u64::MAX - 1);
        let rejection = Rejection::at(Reason::TypeMismatch, "/a/b", "expected INT64, found \"x\"");
        for stored in [
            Stored::Claimed { claim: claim(), payload, at: Time::new(Duration::from_millis(1_700_000_000_123)) },
            Stored::Done { payload, until },
            Stored::Rejecting { payload, rejection },
            Stored::Rejecting { payload, rejection: Rejection::new(Reason::NoRoute, "") },
            Stored::Rejected { payload, until },
        ] {
            assert_eq!(decode(&encode(&stored), until), Some(stored));
        }
    }

    #[test]
    fn claims_of_older_versions_are_read() {
        let old = [b"C1700000000123".as_slice(), &identity(&claim())].concat();
        let Some(Stored::Claimed { claim: read, payload, .. }) = decode(&old, Time::START) else { panic!("{old:?}") };
        assert_eq!((read, payload), (claim(), PayloadHash::UNKNOWN));
        assert_eq!(decode(&[&old[..], &[0, 1, 2]].concat(), Time::START), None, "a hash that was cut");
    }

    #[test]
    fn a_reason_of_a_newer_version_is_kept_as_text() {
        let read = decode(b"P12345678too_new\0/a\0it is", Time::START);
        let Some(Stored::Rejecting { rejection, .. }) = read else { panic!("{read:?}") };
        assert_eq!(rejection, Rejection::at(Reason::RowRejected, "/a", "too_new: it is"));
    }

    #[test]
    fn settled_values_are_small() {
        assert_eq!(done(PayloadHash::from_bits(1)).len(), 9);
    }

    #[test]
    fn long_details_are_cut_at_a_character() {
        let rejection = Rejection::new(Reason::NoRoute, "é".repeat(DETAIL_BYTES));
        let value = rejecting(PayloadHash::from_bits(0), &rejection);
        let Some(Stored::Rejecting { rejection, .. }) = decode(&value, Time::START) else {
            panic!("a rejection");
        };
        assert_eq!(rejection.detail.len(), DETAIL_BYTES);
    }

    #[test]
    fn strange_values_are_none_of_ours() {
        for bytes in [&b""[..], b"Z", b"C12", b"D1234567", b"D123456789", b"P12345678no_route\0", b"C170000000012x"] {
            assert_eq!(decode(bytes, Time::START), None, "{bytes:?}");
        }
        assert_eq!(identity(&claim()).len(), 28);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(kind in 0..5_usize, rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let bytes = [&b"CDPX?"[kind..=kind], &rest].concat();
            let _ = decode(&bytes, Time::START);
        }
    }
}
