//! String and bytes literals: `sqlparser` is told to leave escapes alone, so that they are read as GoogleSQL reads them.

use sqlparser::ast::Value as Sql;

use super::value::Value;

/// The text or bytes of a literal; `None` where it is another kind of literal.
pub(super) fn of_sql(literal: &Sql) -> Option<Result<Value<'static>, String>> {
    let string = |raw: &str, quote: &str| unescape(raw, quote, false).and_then(text);
    let bytes = |raw: &str, quote: &str| unescape(raw, quote, true).map(|bytes| Value::Bytes(bytes.into()));
    Some(match literal {
        Sql::SingleQuotedString(raw) => string(raw, "'"),
        Sql::DoubleQuotedString(raw) => string(raw, "\""),
        Sql::TripleSingleQuotedString(raw) => string(raw, "'''"),
        Sql::TripleDoubleQuotedString(raw) => string(raw, "\"\"\""),
        Sql::SingleQuotedByteStringLiteral(raw) => bytes(raw, "'"),
        Sql::DoubleQuotedByteStringLiteral(raw) => bytes(raw, "\""),
        Sql::TripleSingleQuotedByteStringLiteral(raw) => bytes(raw, "'''"),
        Sql::TripleDoubleQuotedByteStringLiteral(raw) => bytes(raw, "\"\"\""),
        Sql::SingleQuotedRawStringLiteral(raw)
        | Sql::DoubleQuotedRawStringLiteral(raw)
        | Sql::TripleSingleQuotedRawStringLiteral(raw)
        | Sql::TripleDoubleQuotedRawStringLiteral(raw) => Ok(Value::string(raw.as_str())),
        _ => return None,
    })
}

fn text(bytes: Vec<u8>) -> Result<Value<'static>, String> {
    String::from_utf8(bytes).map(Value::string).map_err(|_| "Illegal escape sequence: not UTF-8".into())
}

fn unescape(raw: &str, quote: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with(quote) {
            return Err("Syntax error: concatenated string literals need whitespace or comments between them".into());
        }
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.chars().next().ok_or("Illegal escape sequence: \\ at the end")?;
        let illegal = || format!("Illegal escape sequence: \\{escape}");
        let (length, radix) = match escape {
            'x' | 'X' => (2, 16),
            'u' if !bytes => (4, 16),
            'U' if !bytes => (8, 16),
            '0'..='3' => (3, 8),
            _ => (0, 0),
        };
        if length > 0 {
            let start = usize::from(radix == 16);
            let digits = rest.get(start..start + length).ok_or_else(illegal)?;
            let code = u32::from_str_radix(digits, radix).map_err(|_| illegal())?;
            rest = &rest[start + length..];
            if bytes {
                out.push(u8::try_from(code).map_err(|_| illegal())?);
            } else {
                out.extend(char::from_u32(code).ok_or_else(illegal)?.encode_utf8(&mut [0; 4]).as_bytes());
            }
            continue;
        }
        out.push(match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '?' | '"' | '\'' | '`' => u8::try_from(escape).map_err(|_| illegal())?,
            _ => return Err(illegal()),
        });
        rest = &rest[1..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_googles() {
        let read = |raw: &str| of_sql(&Sql::SingleQuotedString(raw.into())).expect("a string");
        assert_eq!(read(r"a\n\t\'\x41\u00e9\101\\"), Ok(Value::string("a\n\t'Aé\u{41}\\")));
        assert!(read(r"\q").is_err());
        assert!(read("it''s").is_err());
        let bytes = of_sql(&Sql::DoubleQuotedByteStringLiteral(r"a\xff".into())).expect("bytes");
        assert_eq!(bytes, Ok(Value::Bytes(vec![b'a', 0xff].into())));
        let raw = of_sql(&Sql::SingleQuotedRawStringLiteral(r"\d+".into())).expect("a string");
        assert_eq!(raw, Ok(Value::string(r"\d+")));
    }
}
