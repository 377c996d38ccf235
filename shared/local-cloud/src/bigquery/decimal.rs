//! NUMERIC and BIGNUMERIC: text, bytes and their scaled integers.

use arrow::datatypes::i256;

/// One of the two decimal types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// 38 digits, 9 of them after the point.
    Numeric,
    /// 76 digits, 38 of them after the point.
    Bignumeric,
}

impl Decimal {
    /// Digits after the point.
    pub(crate) const fn scale(self) -> u32 {
        match self {
            Self::Numeric => 9,
            Self::Bignumeric => 38,
        }
    }

    const fn digits(self) -> u32 {
        match self {
            Self::Numeric => 38,
            Self::Bignumeric => 76,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "NUMERIC",
            Self::Bignumeric => "BIGNUMERIC",
        }
    }

    /// The scaled integer of a decimal text such as `-12.5` or `1e3`; digits that the type cannot hold are refused.
    pub(crate) fn parse(self, text: &str) -> Result<i256, String> {
        let invalid = || format!("Invalid {} value: {text}", self.name());
        let text = text.trim();
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| invalid())?),
            None => (rest, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && part.is_empty() || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let part = part.trim_end_matches('0');
        let mut digits: String = format!("{whole}{part}").trim_start_matches('0').to_owned();
        let mut shift = i64::from(exponent) + i64::from(self.scale()) - i64::try_from(part.len()).unwrap_or(i64::MAX);
        while shift < 0 && digits.ends_with('0') {
            digits.pop();
            shift += 1;
        }
        if digits.is_empty() {
            return Ok(i256::ZERO);
        }
        if shift < 0 {
            let scale = self.scale();
            return Err(format!("{}: more than {scale} digits after the decimal point", invalid()));
        }
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        if length.saturating_add(shift) > i64::from(self.digits()) {
            return Err(format!("{}: out of range", invalid()));
        }
        digits.extend(std::iter::repeat_n('0', usize::try_from(shift).unwrap_or_default()));
        let value = i256::from_string(&digits).ok_or_else(invalid)?;
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    /// The scaled integer of BigQuery's own bytes: little-endian two's complement.
    pub(crate) fn of_bytes(self, bytes: &[u8]) -> Result<i256, String> {
        let invalid = || format!("Invalid {} encoding of {} bytes", self.name(), bytes.len());
        let longest = if self == Self::Numeric { 16 } else { 32 };
        let Some(last) = bytes.last().filter(|_| bytes.len() <= longest) else { return Err(invalid()) };
        let mut all = [if last & 0x80 == 0 { 0 } else { 0xff }; 32];
        all[..bytes.len()].copy_from_slice(bytes);
        let value = i256::from_le_bytes(all);
        let limit = i256::from_i128(10).wrapping_pow(self.digits());
        if value >= limit || value <= limit.wrapping_neg() {
            return Err(format!("{}: out of range", invalid()));
        }
        Ok(value)
    }

    /// The scaled integer of a whole number.
    pub(crate) fn of_integer(self, number: i128) -> Result<i256, String> {
        self.parse(&number.to_string())
    }

    /// The shortest text of a scaled integer: no zeros at the end, no point where nothing follows it.
    pub(crate) fn format(self, value: i256) -> String {
        let negative = value.is_negative();
        let digits = value.wrapping_abs().to_string();
        let scale = self.scale() as usize;
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, part) = digits.split_at(digits.len() - scale);
        let part = part.trim_end_matches('0');
        let sign = if negative { "-" } else { "" };
        if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
    }

    /// Checks a scaled integer against a column's `precision` and `scale`.
    pub(crate) fn check(self, value: i256, precision: Option<u32>, scale: Option<u32>) -> Result<(), String> {
        let Some(precision) = precision else { return Ok(()) };
        let scale = scale.unwrap_or(0);
        let ten = i256::from_i128(10);
        let spare = self.scale().saturating_sub(scale);
        let limit = ten.wrapping_pow((precision + spare).min(self.digits()));
        let whole = value.checked_rem(ten.wrapping_pow(spare)) == Some(i256::ZERO);
        if whole && value.wrapping_abs() < limit {
            return Ok(());
        }
        Err(format!("{} does not fit {}({precision}, {scale})", self.format(value), self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_in_and_comes_out() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.50", "-0.5"),
            ("12345678901234567890123456789.123456789", "12345678901234567890123456789.123456789"),
            ("1.5e3", "1500"),
            ("25e-1", "2.5"),
            (".5", "0.5"),
            ("1000e-11", "0.00000001"),
        ] {
            let value = Decimal::Numeric.parse(text).expect(text);
            assert_eq!(Decimal::Numeric.format(value), expected, "{text}");
        }
        for bad in ["", ".", "1.0000000001", "1e30", "12a", "--1", "123456789012345678901234567890"] {
            assert!(Decimal::Numeric.parse(bad).is_err(), "{bad}");
        }
        let big = "-12345678901234567890123456789012345678.00000000000000000000000000000000000001";
        assert_eq!(Decimal::Bignumeric.format(Decimal::Bignumeric.parse(big).expect("parses")), big);
    }

    #[test]
    fn bytes_are_little_endian() {
        let value = Decimal::Numeric.of_bytes(&[0x00, 0xca, 0x9a, 0x3b]).expect("one");
        assert_eq!(Decimal::Numeric.format(value), "1");
        let minus = Decimal::Numeric.of_bytes(&[0xff]).expect("minus a billionth");
        assert_eq!(Decimal::Numeric.format(minus), "-0.000000001");
        assert!(Decimal::Numeric.of_bytes(&[]).is_err());
        assert!(Decimal::Numeric.of_bytes(&[0; 17]).is_err());
    }

    #[test]
    fn precision_and_scale_bind() {
        let value = |text| Decimal::Numeric.parse(text).expect(text);
        assert!(Decimal::Numeric.check(value("99.99"), Some(4), Some(2)).is_ok());
        assert!(Decimal::Numeric.check(value("100"), Some(4), Some(2)).is_err());
        assert!(Decimal::Numeric.check(value("0.001"), Some(4), Some(2)).is_err());
        assert!(Decimal::Numeric.check(value("7"), Some(1), None).is_ok());
    }
}
