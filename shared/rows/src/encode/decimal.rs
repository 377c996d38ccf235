//! Decimals by their text: no binary floating point stands between a producer's digits and a NUMERIC.

/// What NUMERIC, BIGNUMERIC and their parameters take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecimalRule {
    /// Digits after the point; further ones are rounded half away from zero, as BigQuery does.
    pub(super) scale: u32,
    /// Digits in all.
    pub(super) precision: u32,
    /// Whether the bound of BIGNUMERIC itself holds, which is no power of ten.
    pub(super) bignumeric: bool,
}

impl DecimalRule {
    pub(super) const NUMERIC: Self = Self { scale: 9, precision: 38, bignumeric: false };
    pub(super) const BIGNUMERIC: Self = Self { scale: 38, precision: 77, bignumeric: true };
}

/// Why a text is no decimal of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalFault {
    /// It is no decimal at all.
    Malformed,
    /// It has more digits before the point than the column takes.
    OutOfRange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    HalfAwayFromZero,
    TowardsZero,
}

/// 2^255 - 1, the largest BIGNUMERIC in units of 10^-38.
const BIGNUMERIC_MAX: &[u8] = b"57896044618658097711785492504343953926634992332820282019728792003956564819967";
/// The most digits that are ever kept: BIGNUMERIC's 77, and one for a carry.
const CAPACITY: usize = 80;

/// A decimal as a count of units of 10^-scale.
struct Units {
    negative: bool,
    digits: [u8; CAPACITY],
    len: usize,
}

impl Units {
    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

/// Appends the decimal `text` to `out` as plain decimal text that fits `rule`: no exponent, no needless zeros.
pub(super) fn write_decimal(text: &str, rule: DecimalRule, out: &mut Vec<u8>) -> Result<(), DecimalFault> {
    let units = units(text, rule.scale, Rounding::HalfAwayFromZero)?;
    let digits = units.digits();
    let exceeds_bignumeric = |digits: &[u8]| {
        let mut bound = [0; 77];
        bound.copy_from_slice(BIGNUMERIC_MAX);
        bound[76] += u8::from(units.negative);
        digits.len() == bound.len() && digits > &bound[..]
    };
    if digits.len() > rule.precision as usize || rule.bignumeric && exceeds_bignumeric(digits) {
        return Err(DecimalFault::OutOfRange);
    }
    if digits.is_empty() {
        out.push(b'0');
        return Ok(());
    }
    if units.negative {
        out.push(b'-');
    }
    let scale = rule.scale as usize;
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    if whole.is_empty() {
        out.push(b'0');
    }
    out.extend_from_slice(whole);
    let significant = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    if significant > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', scale - fraction.len()));
        out.extend_from_slice(&fraction[..significant]);
    }
    Ok(())
}

/// Microseconds of the seconds that `text` counts; what lies below a microsecond is cut off.
pub(super) fn microseconds(text: &str) -> Result<i64, DecimalFault> {
    let units = units(text, 6, Rounding::TowardsZero)?;
    if units.len > 18 {
        return Err(DecimalFault::OutOfRange);
    }
    let value = units.digits().iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Ok(if units.negative { -value } else { value })
}

fn units(text: &str, scale: u32, rounding: Rounding) -> Result<Units, DecimalFault> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || whole.len() + fraction.len() == 0 {
        return Err(DecimalFault::Malformed);
    }
    let zeros = whole.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
    let mut significant = whole.iter().chain(fraction).skip(zeros).copied();
    let mut units = Units { negative, digits: [b'0'; CAPACITY], len: 0 };
    let total = whole.len() + fraction.len() - zeros;
    if total == 0 {
        return Ok(units);
    }
    // The value is 0.D × 10^magnitude, D being the significant digits; the units keep `magnitude + scale` of them.
    let magnitude = (whole.len() as i64 - zeros as i64).saturating_add(exponent);
    let kept = magnitude.saturating_add(i64::from(scale));
    if kept < 0 {
        return Ok(units);
    }
    let kept = usize::try_from(kept).ok().filter(|kept| *kept < CAPACITY).ok_or(DecimalFault::OutOfRange)?;
    for (slot, digit) in units.digits.iter_mut().zip(significant.by_ref().take(kept)) {
        *slot = digit;
    }
    units.len = kept;
    if rounding == Rounding::HalfAwayFromZero && significant.next().is_some_and(|next| next >= b'5') {
        round_up(&mut units);
    }
    Ok(units)
}

/// Adds one unit.
fn round_up(units: &mut Units) {
    for at in (0..units.len).rev() {
        if units.digits[at] < b'9' {
            units.digits[at] += 1;
            return;
        }
        units.digits[at] = b'0';
    }
    units.digits.copy_within(0..units.len, 1);
    units.digits[0] = b'1';
    units.len += 1;
}

fn exponent(text: &[u8]) -> Result<i64, DecimalFault> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalFault::Malformed);
    }
    let value = digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(i64::from(i32::MAX))
    });
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, rule: DecimalRule) -> Result<String, DecimalFault> {
        let mut out = Vec::new();
        write_decimal(text, rule, &mut out)?;
        Ok(String::from_utf8(out).expect("ASCII"))
    }

    fn numeric(text: &str) -> Result<String, DecimalFault> {
        of(text, DecimalRule::NUMERIC)
    }

    #[test]
    fn text_is_kept_and_made_plain() {
        for (text, plain) in [
            ("0", "0"),
            ("-0.000", "0"),
            ("12.50", "12.5"),
            ("+7", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("0.000000001", "0.000000001"),
            ("99999999999999999999999999999.999999999", "99999999999999999999999999999.999999999"),
            ("123456789.123456789", "123456789.123456789"),
            ("0e999999999999", "0"),
            ("1e-999999999999", "0"),
        ] {
            assert_eq!(numeric(text).as_deref(), Ok(plain), "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_scale_are_rounded_half_away_from_zero() {
        for (text, plain) in [
            ("0.0000000005", "0.000000001"),
            ("0.00000000049", "0"),
            ("-1.9999999995", "-2"),
            ("9.9999999999", "10"),
            ("1.2345678904999999", "1.23456789"),
        ] {
            assert_eq!(numeric(text).as_deref(), Ok(plain), "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_or_too_large_is_refused() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "1_000", "0x1", "1.2.3", " 1", "NaN", "--1", "1e5.0"] {
            assert_eq!(numeric(text), Err(DecimalFault::Malformed), "{text}");
        }
        for text in
            ["1e29", "100000000000000000000000000000", "99999999999999999999999999999.9999999995", "1e999999999"]
        {
            assert_eq!(numeric(text), Err(DecimalFault::OutOfRange), "{text}");
        }
    }

    #[test]
    fn parameters_bind() {
        let rule = DecimalRule { scale: 2, precision: 5, bignumeric: false };
        assert_eq!(of("999.994", rule).as_deref(), Ok("999.99"));
        assert_eq!(of("999.995", rule), Err(DecimalFault::OutOfRange));
        let whole = DecimalRule { scale: 0, precision: 3, bignumeric: true };
        assert_eq!(of("999.4", whole).as_deref(), Ok("999"));
    }

    #[test]
    fn bignumeric_ends_where_its_bits_do() {
        let max = "578960446186580977117854925043439539266.34992332820282019728792003956564819967";
        let below = "-578960446186580977117854925043439539266.34992332820282019728792003956564819968";
        assert_eq!(of(max, DecimalRule::BIGNUMERIC).as_deref(), Ok(max));
        assert_eq!(of(below, DecimalRule::BIGNUMERIC).as_deref(), Ok(below));
        let beyond = "578960446186580977117854925043439539266.34992332820282019728792003956564819968";
        assert_eq!(of(beyond, DecimalRule::BIGNUMERIC), Err(DecimalFault::OutOfRange));
    }

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(microseconds("1706781886"), Ok(1_706_781_886_000_000));
        assert_eq!(microseconds("1706781886.1234569"), Ok(1_706_781_886_123_456));
        assert_eq!(microseconds("-0.5"), Ok(-500_000));
        assert_eq!(microseconds("1.5E9"), Ok(1_500_000_000_000_000));
        assert_eq!(microseconds("1e30"), Err(DecimalFault::OutOfRange));
    }
}
