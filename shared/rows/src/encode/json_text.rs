//! JSON values that are kept as they are written.

/// BigQuery's bound on arrays and objects inside a JSON value.
pub(super) const MAX_NESTING: usize = 500;

/// What is wrong with a JSON value that parses, yet that BigQuery's JSON type does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonTextFault {
    /// It is nested deeper than [`MAX_NESTING`].
    TooDeep,
    /// A `\u` escape stands for half a character.
    LoneSurrogate,
}

/// Checks the JSON value `text`, whose syntax is known to be right. Most values need no look at all.
pub(super) fn check(text: &str) -> Result<(), JsonTextFault> {
    if text.len() < 2 * MAX_NESTING && !text.contains("\\u") {
        return Ok(());
    }
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                at += surrogate_pair_or_scalar(&bytes[at..]).ok_or(JsonTextFault::LoneSurrogate)?;
                continue;
            }
            b'\\' => at += 1,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_NESTING {
                    return Err(JsonTextFault::TooDeep);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The length of the escape or pair of escapes at the start of `bytes`, where it stands for a whole character.
fn surrogate_pair_or_scalar(bytes: &[u8]) -> Option<usize> {
    match code_unit(bytes)? {
        0xD800..=0xDBFF => matches!(code_unit(&bytes[6..])?, 0xDC00..=0xDFFF).then_some(12),
        0xDC00..=0xDFFF => None,
        _ => Some(6),
    }
}

fn code_unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(MAX_NESTING)), Ok(()));
        assert_eq!(check(&nested(MAX_NESTING + 1)), Err(JsonTextFault::TooDeep));
        assert_eq!(check(&format!("\"\\\"{}\"", "[".repeat(2000))), Ok(()));
    }

    #[test]
    fn half_characters_are_found() {
        assert_eq!(check(r#""\ud83d\ude00 \u00e9 \\ud83d""#), Ok(()));
        for bad in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#"["\uD83D", 1]"#] {
            assert_eq!(check(bad), Err(JsonTextFault::LoneSurrogate), "{bad}");
        }
    }
}
