//! `matchGlob` patterns: `*`, `**`, `?`, `[…]`, `{a,b}`
//! (<https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob>).

/// A parsed pattern; alternatives are expanded, so one of the token runs must match the whole name.
pub(crate) struct Glob(Vec<Vec<Token>>);

enum Token {
    Char(char),
    /// `?`: any character but `/`.
    One,
    /// `*`: any run of characters but `/`.
    Run,
    /// `**`: any run of characters.
    Deep,
    /// `[a-z]`, `[!a-z]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// How many alternatives a pattern may expand to.
const MAX_ALTERNATIVES: usize = 1000;

impl Glob {
    /// Parses a pattern; `None` where it is none.
    pub(crate) fn parse(pattern: &str) -> Option<Self> {
        let mut expanded = vec![String::new()];
        let mut rest = pattern;
        while let Some(open) = rest.find('{') {
            let close = open + rest[open..].find('}')?;
            let alternatives: Vec<&str> = rest[open + 1..close].split(',').collect();
            expanded = expanded
                .iter()
                .flat_map(|head| alternatives.iter().map(move |tail| format!("{head}{}{tail}", &rest[..open])))
                .collect();
            if expanded.len() > MAX_ALTERNATIVES {
                return None;
            }
            rest = &rest[close + 1..];
        }
        let runs = expanded.iter().map(|head| tokens(&format!("{head}{rest}")));
        runs.collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.0.iter().any(|tokens| matches(tokens, &name))
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        tokens.push(match char {
            '\\' => Token::Char(chars.next()?),
            '?' => Token::One,
            '*' if chars.next_if_eq(&'*').is_some() => Token::Deep,
            '*' => Token::Run,
            '[' => {
                let negated = chars.next_if(|next| matches!(next, '!' | '^')).is_some();
                let mut ranges = Vec::new();
                loop {
                    let first = chars.next()?;
                    if first == ']' && !ranges.is_empty() {
                        break;
                    }
                    let last = if chars.peek() == Some(&'-') {
                        chars.next();
                        chars.next()?
                    } else {
                        first
                    };
                    ranges.push((first, last));
                }
                Token::Class { negated, ranges }
            }
            other => Token::Char(other),
        });
    }
    Some(tokens)
}

/// One pass over the name with the set of places in the pattern that are reached: no pattern is slow.
fn matches(tokens: &[Token], name: &[char]) -> bool {
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    let skip_empty_runs = |reached: &mut [bool]| {
        for (at, token) in tokens.iter().enumerate() {
            if reached[at] && matches!(token, Token::Run | Token::Deep) {
                reached[at + 1] = true;
            }
        }
    };
    skip_empty_runs(&mut reached);
    for char in name {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match token {
                Token::Char(wanted) => next[at + 1] |= wanted == char,
                Token::One => next[at + 1] |= *char != '/',
                Token::Run => next[at] |= *char != '/',
                Token::Deep => next[at] = true,
                Token::Class { negated, ranges } => {
                    let is_in = ranges.iter().any(|(first, last)| (first..=last).contains(&char));
                    next[at + 1] |= is_in != *negated && *char != '/';
                }
            }
        }
        skip_empty_runs(&mut next);
        reached = next;
    }
    reached[tokens.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, name, expected) in [
            ("foo*bar", "fooabar", true),
            ("foo*bar", "foo/bar", false),
            ("foo**bar", "foo/a/bar", true),
            ("foo?bar", "foo/bar", false),
            ("*.avro", "a/b.avro", false),
            ("**.avro", "a/b.avro", true),
            ("s/dt=2024-0[1-3]-*/**", "s/dt=2024-02-01/hr=10/x.avro", true),
            ("s/dt=2024-0[!1-3]-*/**", "s/dt=2024-02-01/hr=10/x.avro", false),
            ("{a,b}/*.{json,avro}", "b/x.avro", true),
            ("{a,b}/*.{json,avro}", "c/x.avro", false),
            ("\\*", "*", true),
            ("", "", true),
        ] {
            assert_eq!(Glob::parse(pattern).is_some_and(|glob| glob.matches(name)), expected, "{pattern} {name}");
        }
        assert!(Glob::parse("[a").is_none());
        assert!(Glob::parse("{a").is_none());
        assert!(!Glob::parse(&"**a".repeat(200)).is_some_and(|glob| glob.matches(&"a".repeat(1000).replace('a', "b"))));
    }
}
