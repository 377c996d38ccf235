//! FarmHash's `Fingerprint64` (farmhashna::Hash64), which FARM_FINGERPRINT is.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

fn fetch64(s: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&s[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn fetch32(s: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&s[at..at + 4]);
    u64::from(u32::from_le_bytes(bytes))
}

const fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

const fn hash_len16(u: u64, v: u64, mul: u64) -> u64 {
    let a = shift_mix((u ^ v).wrapping_mul(mul));
    shift_mix((v ^ a).wrapping_mul(mul)).wrapping_mul(mul)
}

const fn multiplier(length: usize) -> u64 {
    K2.wrapping_add((length as u64).wrapping_mul(2))
}

fn up_to_16(s: &[u8]) -> u64 {
    let length = s.len();
    if length >= 8 {
        let mul = multiplier(length);
        let a = fetch64(s, 0).wrapping_add(K2);
        let b = fetch64(s, length - 8);
        let c = b.rotate_right(37).wrapping_mul(mul).wrapping_add(a);
        let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(mul);
        return hash_len16(c, d, mul);
    }
    if length >= 4 {
        let a = fetch32(s, 0);
        return hash_len16((length as u64).wrapping_add(a << 3), fetch32(s, length - 4), multiplier(length));
    }
    if length > 0 {
        let (a, b, c) = (u64::from(s[0]), u64::from(s[length >> 1]), u64::from(s[length - 1]));
        let y = a.wrapping_add(b << 8);
        let z = (length as u64).wrapping_add(c << 2);
        return shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2);
    }
    K2
}

fn up_to_32(s: &[u8]) -> u64 {
    let length = s.len();
    let mul = multiplier(length);
    let a = fetch64(s, 0).wrapping_mul(K1);
    let b = fetch64(s, 8);
    let c = fetch64(s, length - 8).wrapping_mul(mul);
    let d = fetch64(s, length - 16).wrapping_mul(K2);
    hash_len16(
        a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d),
        a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c),
        mul,
    )
}

fn up_to_64(s: &[u8]) -> u64 {
    let length = s.len();
    let mul = multiplier(length);
    let a = fetch64(s, 0).wrapping_mul(K2);
    let b = fetch64(s, 8);
    let c = fetch64(s, length - 8).wrapping_mul(mul);
    let d = fetch64(s, length - 16).wrapping_mul(K2);
    let y = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let z = hash_len16(y, a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c), mul);
    let e = fetch64(s, 16).wrapping_mul(mul);
    let f = fetch64(s, 24);
    let g = y.wrapping_add(fetch64(s, length - 32)).wrapping_mul(mul);
    let h = z.wrapping_add(fetch64(s, length - 24)).wrapping_mul(mul);
    hash_len16(
        e.wrapping_add(f).rotate_right(43).wrapping_add(g.rotate_right(30)).wrapping_add(h),
        e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g),
        mul,
    )
}

fn weak_hash(s: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let (w, x, y, z) = (fetch64(s, at), fetch64(s, at + 8), fetch64(s, at + 16), fetch64(s, at + 24));
    let a = a.wrapping_add(w);
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    let a = a.wrapping_add(x).wrapping_add(y);
    let b = b.wrapping_add(a.rotate_right(44));
    (a.wrapping_add(z), b.wrapping_add(c))
}

/// The fingerprint of the bytes.
pub(super) fn farm(s: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let length = s.len();
    match length {
        0..=16 => return up_to_16(s),
        17..=32 => return up_to_32(s),
        33..=64 => return up_to_64(s),
        _ => {}
    }
    let mut x = SEED;
    let mut y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut z = shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2);
    let (mut v, mut w) = ((0_u64, 0_u64), (0_u64, 0_u64));
    x = x.wrapping_mul(K2).wrapping_add(fetch64(s, 0));
    let end = (length - 1) / 64 * 64;
    let last = end + ((length - 1) & 63) - 63;
    let mut at = 0;
    while at < end {
        x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(fetch64(s, at + 8)).rotate_right(37).wrapping_mul(K1);
        y = y.wrapping_add(v.1).wrapping_add(fetch64(s, at + 48)).rotate_right(42).wrapping_mul(K1);
        x ^= w.1;
        y = y.wrapping_add(v.0).wrapping_add(fetch64(s, at + 40));
        z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(K1);
        v = weak_hash(s, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak_hash(s, at + 32, z.wrapping_add(w.1), y.wrapping_add(fetch64(s, at + 16)));
        std::mem::swap(&mut z, &mut x);
        at += 64;
    }
    let mul = K1.wrapping_add((z & 0xff) << 1);
    let at = last;
    w.0 = w.0.wrapping_add(((length - 1) & 63) as u64);
    v.0 = v.0.wrapping_add(w.0);
    w.0 = w.0.wrapping_add(v.0);
    x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(fetch64(s, at + 8)).rotate_right(37).wrapping_mul(mul);
    y = y.wrapping_add(v.1).wrapping_add(fetch64(s, at + 48)).rotate_right(42).wrapping_mul(mul);
    x ^= w.1.wrapping_mul(9);
    y = y.wrapping_add(v.0.wrapping_mul(9)).wrapping_add(fetch64(s, at + 40));
    z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(mul);
    v = weak_hash(s, at, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
    w = weak_hash(s, at + 32, z.wrapping_add(w.1), y.wrapping_add(fetch64(s, at + 16)));
    std::mem::swap(&mut z, &mut x);
    hash_len16(
        hash_len16(v.0, w.0, mul).wrapping_add(shift_mix(y).wrapping_mul(K0)).wrapping_add(z),
        hash_len16(v.1, w.1, mul).wrapping_add(x),
        mul,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of BigQuery's documentation, and FarmHash's own for longer texts.
    #[test]
    fn fingerprints_are_bigquerys() {
        for (text, fingerprint) in [
            ("1footrue", -1_541_654_101_129_638_711),
            ("2applefalse", 2_794_438_866_806_483_259),
            ("3true", -4_880_158_226_897_771_312),
        ] {
            assert_eq!(farm(text.as_bytes()).cast_signed(), fingerprint, "{text}");
        }
        for (text, fingerprint) in [
            ("", 0x9ae1_6a3b_2f90_404f),
            ("0123456789=012345", 0x46a7_416e_d486_1e3b),
            ("Discard medicine more than two years old.", 0xe8f8_9ab6_df9b_dd25),
            ("For every action there is an equal and opposite government program.", 0x5518_2f88_59ec_a4ce),
        ] {
            assert_eq!(farm(text.as_bytes()), fingerprint, "{text}");
        }
    }
}
