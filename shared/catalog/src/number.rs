use std::cmp::Ordering;

/// A JSON number by its value and not by its spelling, so that 1, 1.0 and 10e-1 are equal and nothing is rounded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    /// The significant digits, without zeros at either end; empty: zero.
    digits: Vec<u8>,
    /// The power of ten of the last digit.
    exponent: i64,
}

impl Number {
    /// The one spelling of the number: its digits and the power of ten of the last.
    pub(crate) fn canonical(&self) -> String {
        let digits: String = self.digits.iter().map(|digit| char::from(*digit)).collect();
        let sign = if self.negative { "-" } else { "" };
        match (digits.as_str(), self.exponent) {
            ("", _) => "0".to_owned(),
            (digits, 0) => format!("{sign}{digits}"),
            (digits, exponent) => format!("{sign}{digits}e{exponent}"),
        }
    }

    /// Reads a number in JSON's grammar. `None`: it is none, or its exponent is beyond any use.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0').collect();
        if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }

    /// The number times this power of ten, without what is after the point. `None`: it has too many digits for any use.
    pub(crate) fn scaled(&self, power: i64) -> Option<i128> {
        let exponent = self.exponent.checked_add(power)?;
        let last = i64::try_from(self.digits.len()).ok()?.checked_add(exponent.min(0))?.max(0);
        let zeros = exponent.max(0);
        // An i128 holds 38 digits.
        if last.checked_add(zeros)? > 38 {
            return None;
        }
        let digits = self.digits[..usize::try_from(last).ok()?].iter().copied();
        let zeros = std::iter::repeat_n(b'0', usize::try_from(zeros).ok()?);
        let value = digits
            .chain(zeros)
            .try_fold(0_i128, |value, digit| value.checked_mul(10)?.checked_add(i128::from(digit - b'0')))?;
        Some(if self.negative { -value } else { value })
    }

    /// Which of the two is greater.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if self.negative => other.magnitude(self),
            Ordering::Equal => self.magnitude(other),
            unequal => unequal,
        }
    }

    /// Which is farther from zero. Digits without zeros at their ends compare as text does, once they begin at one place.
    fn magnitude(&self, other: &Self) -> Ordering {
        let first = |number: &Self| number.exponent.saturating_add(number.digits.len() as i64);
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            _ => first(self).cmp(&first(other)).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let equal =
            [("1", "1.0"), ("100", "1e2"), ("0", "-0.000"), ("1.50", "15E-1"), ("0e9", "0"), ("-12", "-1.2e+1")];
        for (a, b) in equal {
            assert_eq!(Number::parse(a), Number::parse(b), "{a} = {b}");
            assert!(Number::parse(a).is_some(), "{a}");
        }
        for (a, b) in
            [("1", "-1"), ("9007199254740993", "9007199254740992"), ("1", "10"), ("0.1", "0.10000000000000001")]
        {
            assert_ne!(Number::parse(a), Number::parse(b), "{a} ≠ {b}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let sorted = ["-1e9", "-2", "-1.5", "-0.001", "0", "1e-9", "0.09", "0.1", "9", "10", "11", "9007199254740993"];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                let order = Number::parse(a).expect(a).order(&Number::parse(b).expect(b));
                assert_eq!(order, at.cmp(&other), "{a} and {b}");
            }
        }
    }

    #[test]
    fn numbers_are_scaled_without_rounding() {
        for (text, power, expected) in [
            ("1.5", 3, Some(1_500)),
            ("-1.9999", 3, Some(-1_999)),
            ("1.706781886E9", 9, Some(1_706_781_886_000_000_000)),
            ("1e-30", 9, Some(0)),
            ("0", 9, Some(0)),
            ("0.00000000012345", 9, Some(0)),
            ("1e29", 9, None),
            ("1e9223372036854775807", 9, None),
            ("99999999999999999999999999999999999999", 0, Some(99_999_999_999_999_999_999_999_999_999_999_999_999)),
        ] {
            assert_eq!(Number::parse(text).expect(text).scaled(power), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "a", "1e99999999999999999999", ".5", "1a"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
