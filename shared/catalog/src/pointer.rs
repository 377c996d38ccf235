use std::fmt;

/// A JSON pointer (RFC 6901) to a value inside an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JsonPointer {
    text: String,
    tokens: Vec<String>,
}

impl JsonPointer {
    /// The most tokens of a pointer, well inside what parsers descend into.
    pub const MAX_TOKENS: usize = 100;

    /// Parses a pointer such as `/metadata/source`; `None` where it is none, points at the whole document, or has more
    /// than [`JsonPointer::MAX_TOKENS`] tokens.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let mut tokens = Vec::new();
        for token in rest.split('/') {
            let escapes_are_whole = token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
            if !escapes_are_whole {
                return None;
            }
            tokens.push(token.replace("~1", "/").replace("~0", "~"));
        }
        (tokens.len() <= Self::MAX_TOKENS).then(|| Self { text: text.to_owned(), tokens })
    }

    /// The pointer as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The unescaped reference tokens, from the root down; at least one.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_parsed_as_rfc_6901_says() {
        let tokens = |text| JsonPointer::parse(text).map(|pointer| pointer.tokens().to_vec());
        assert_eq!(tokens("/foo/0"), Some(vec!["foo".into(), "0".into()]));
        assert_eq!(tokens("/"), Some(vec![String::new()]));
        assert_eq!(tokens("/a~1b/m~0n/~01"), Some(vec!["a/b".into(), "m~n".into(), "~1".into()]));
        for bad in ["", "a", "a/b", "/~", "/~2", "/a~", "#/a"] {
            assert_eq!(tokens(bad), None, "{bad}");
        }
        assert_eq!(tokens(&"/a".repeat(101)), None);
    }
}
