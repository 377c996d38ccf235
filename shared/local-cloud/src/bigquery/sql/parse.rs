//! From text to syntax tree, with the few things of GoogleSQL that `sqlparser` does not know put into words that it does.

use sqlparser::{
    ast::Statement,
    dialect::BigQueryDialect,
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Word},
};

use super::SqlError;

/// Parses the one statement of `sql`.
pub(super) fn parse(sql: &str) -> Result<Statement, SqlError> {
    let dialect = BigQueryDialect;
    let tokens = Tokenizer::new(&dialect, sql).with_unescape(false).tokenize_with_location().map_err(
        |TokenizerError { message, location }| SqlError::invalid(format!("Syntax error: {message}")).at(location),
    )?;
    let tokens = typed_arrays(raw_bytes(safe_names(placeholders(type_brackets(tokens)?))));
    if tokens.iter().all(|t| matches!(t.token, Token::Whitespace(_) | Token::SemiColon | Token::EOF)) {
        return Err(SqlError::invalid("Syntax error: Unexpected end of statement"));
    }
    let end = tokens.last().map_or(Location { line: 1, column: 1 }, |token| token.span.end);
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens).with_recursion_limit(200);
    let statement = parser.parse_statement().map_err(|error| syntax_error(error, end))?;
    let mut ended = false;
    while parser.consume_token(&Token::SemiColon) {
        ended = true;
    }
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(statement),
        _ if ended => Err(SqlError::not_implemented("A script of several statements").at_span(next.span)),
        token => {
            let message = format!("Syntax error: Expected end of input but got {}", shown(&token));
            Err(SqlError::invalid(message).at_span(next.span))
        }
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(Word { quote_style: None, value, .. }) => format!("identifier \"{value}\""),
        other => format!("\"{other}\""),
    }
}

/// `sqlparser` puts the place into the text: `… at Line: 1, Column: 5`; it has none at the end of the statement.
fn syntax_error(error: ParserError, end: Location) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return SqlError::invalid("The statement is nested too deeply"),
    };
    let (message, place) = text.split_once(" at Line: ").unwrap_or((&text, ""));
    let message = message.replacen("Expected: ", "Expected ", 1).replacen(", found: ", " but got ", 1);
    let error = SqlError::invalid(format!("Syntax error: {}", message.replace("but got EOF", "but got end of script")));
    let numbers = place.split_once(", Column: ");
    match numbers.and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?))) {
        Some((line, column)) => error.at(Location { line, column }),
        None if text.ends_with("EOF") => error.at(end),
        None => error,
    }
}

fn is_word(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none()
        && words.iter().any(|w| word.value.eq_ignore_ascii_case(w)))
}

/// The place of the next token that is no white space.
fn next_place(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from..tokens.len()).find(|i| !matches!(tokens[*i].token, Token::Whitespace(_)))
}

/// `>>` that closes two types becomes two tokens; operators that the parser does not know are refused by name.
fn type_brackets(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut out = Vec::with_capacity(tokens.len());
    let (mut depth, mut after_type) = (0_usize, false);
    for TokenWithSpan { token, span } in tokens {
        let refuse = |what: &str| Err(SqlError::not_implemented(what).at_span(span));
        let opens = after_type && token == Token::Lt;
        if !matches!(token, Token::Whitespace(_)) {
            after_type = is_word(&token, &["ARRAY", "STRUCT"]);
        }
        match token {
            Token::Lt if opens => depth += 1,
            Token::Gt => depth = depth.saturating_sub(1),
            Token::ShiftRight if depth >= 2 => {
                depth -= 2;
                let middle = Location { line: span.start.line, column: span.start.column + 1 };
                out.push(TokenWithSpan { token: Token::Gt, span: Span { start: span.start, end: middle } });
                out.push(TokenWithSpan { token: Token::Gt, span: Span { start: middle, end: span.end } });
                continue;
            }
            Token::ShiftRight => return refuse("Operator >>"),
            Token::ShiftLeft => return refuse("Operator <<"),
            Token::VerticalBarRightAngleBracket => return refuse("Pipe syntax"),
            Token::SemiColon => depth = 0,
            _ => {}
        }
        out.push(TokenWithSpan { token, span });
    }
    Ok(out)
}

/// Numbers the `?` parameters in the order of the text: `?1`, `?2`, ….
fn placeholders(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let unnumbered = tokens.iter_mut().filter(|t| t.token == Token::Placeholder("?".into()));
    for (i, token) in unnumbered.enumerate() {
        token.token = Token::Placeholder(format!("?{}", i + 1));
    }
    tokens
}

/// The name after `SAFE.` is a name, whatever syntax of its own the function has without it.
fn safe_names(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for at in 2..tokens.len() {
        let after_safe = tokens[at - 1].token == Token::Period && is_word(&tokens[at - 2].token, &["SAFE"]);
        if let (true, Token::Word(word)) = (after_safe, &tokens[at].token) {
            tokens[at].token = Token::make_word(&word.value, Some('`'));
        }
    }
    tokens
}

/// `rb'…'` becomes a bytes literal whose backslashes are escaped.
fn raw_bytes(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let prefixed = out.last().is_some_and(|t| is_word(&t.token, &["rb", "br"]) && t.span.end == token.span.start);
        let escaped = |text: &str| text.replace('\\', "\\\\");
        let literal = match &token.token {
            Token::SingleQuotedString(text) => Some(Token::SingleQuotedByteStringLiteral(escaped(text))),
            Token::DoubleQuotedString(text) => Some(Token::DoubleQuotedByteStringLiteral(escaped(text))),
            Token::TripleSingleQuotedString(text) => Some(Token::TripleSingleQuotedByteStringLiteral(escaped(text))),
            Token::TripleDoubleQuotedString(text) => Some(Token::TripleDoubleQuotedByteStringLiteral(escaped(text))),
            _ => None,
        };
        match literal.filter(|_| prefixed) {
            Some(literal) => {
                out.pop();
                out.push(TokenWithSpan { token: literal, span: token.span });
            }
            None => out.push(token),
        }
    }
    out
}

/// `ARRAY<T>[…]` becomes `CAST([…] AS ARRAY<T>)`.
fn typed_arrays(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = tokens.len();
    while at > 0 {
        at -= 1;
        if let Some((bracket, end)) = typed_array(&tokens, at) {
            let span = tokens[at].span;
            let word = |text: &str| TokenWithSpan { token: Token::make_word(text, None), span };
            let plain = |token| TokenWithSpan { token, span };
            let mut rewritten = vec![word("CAST"), plain(Token::LParen)];
            rewritten.extend_from_slice(&tokens[bracket..=end]);
            rewritten.extend([plain(Token::Whitespace(sqlparser::tokenizer::Whitespace::Space)), word("AS")]);
            rewritten.push(plain(Token::Whitespace(sqlparser::tokenizer::Whitespace::Space)));
            rewritten.extend_from_slice(&tokens[at..bracket]);
            rewritten.push(plain(Token::RParen));
            tokens.splice(at..=end, rewritten);
        }
    }
    tokens
}

/// Where a typed array that starts at `at` has its `[` and its `]`.
fn typed_array(tokens: &[TokenWithSpan], at: usize) -> Option<(usize, usize)> {
    if !is_word(&tokens[at].token, &["ARRAY"]) {
        return None;
    }
    let open = next_place(tokens, at + 1).filter(|i| tokens[*i].token == Token::Lt)?;
    let mut depth = 0;
    let close = (open..tokens.len()).find(|i| {
        match tokens[*i].token {
            Token::Lt => depth += 1,
            Token::Gt => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let bracket = next_place(tokens, close + 1).filter(|i| tokens[*i].token == Token::LBracket)?;
    let mut depth = 0;
    let end = (bracket..tokens.len()).find(|i| {
        match tokens[*i].token {
            Token::LBracket => depth += 1,
            Token::RBracket => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    Some((bracket, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_with_types_are_casts() {
        let sql = "SELECT ARRAY<STRUCT<a INT64, b ARRAY<STRING>>>[(1, ['x'])], rb'\\d', ?, ?";
        let statement = parse(sql).expect("parses").to_string();
        assert_eq!(statement, "SELECT CAST([(1, ['x'])] AS ARRAY<STRUCT<a INT64, b ARRAY<STRING>>>), B'\\\\d', ?1, ?2");
    }

    #[test]
    fn faults_have_their_place() {
        let error = parse("SELECT 1\nFROM (").expect_err("no table");
        assert_eq!((error.line, error.message.starts_with("Syntax error: ")), (Some(2), true), "{error}");
        assert_eq!(parse("SELECT 1; SELECT 2").expect_err("two").reason.as_str(), "notImplemented");
        assert_eq!(parse("SELECT 1 << 2").expect_err("shift").reason.as_str(), "notImplemented");
        assert!(parse("SELECT a, end FROM t").is_err());
        assert!(parse(" ; ").is_err());
    }
}
