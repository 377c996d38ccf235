use super::shop_answers;

#[tokio::test]
async fn texts_are_worked_on() {
    shop_answers(&[
        ("SELECT LENGTH('héé'), BYTE_LENGTH('hé'), CHAR_LENGTH('abc'), LENGTH(b'abc'), UPPER('aé'), LOWER('ÀB'), INITCAP('hello world-wide')", "3, 3, 3, 3, AÉ, àb, Hello World-Wide"),
        ("SELECT SUBSTR('apple', 2), SUBSTR('apple', 2, 2), SUBSTR('apple', -2), SUBSTR('apple', 0, 2), SUBSTR('apple', -9, 3), SUBSTRING('apple', 9)", "pple, pp, le, ap, app, "),
        ("SELECT LEFT('apple', 2), RIGHT('apple', 3), REVERSE('abc'), REPEAT('ab', 3), REPLACE('banana', 'an', 'x'), REPLACE('a', '', 'x')", "ap, ple, cba, ababab, bxxa, a"),
        ("SELECT TRIM('  a '), LTRIM('xxa', 'x'), RTRIM('abc', 'bc'), TRIM('xyax', 'xy')", "a, a, a, a"),
        ("SELECT LPAD('7', 3, '0'), RPAD('a', 3), LPAD('hello', 2), CONCAT('a', 'b', 'c')", "007, a  , he, abc"),
        ("SELECT STARTS_WITH('abc', 'ab'), ENDS_WITH('abc', 'bc'), STRPOS('abc', 'c'), STRPOS('abc', 'x'), INSTR('banana', 'an', 1, 2), INSTR('banana', 'an', -1)", "true, true, 3, 0, 4, 4"),
        ("SELECT CONTAINS_SUBSTR('the Blue house', 'BLUE'), CONTAINS_SUBSTR(('a', 'red'), 'RED'), CONTAINS_SUBSTR('x', 'y')", "true, true, false"),
        ("SELECT SPLIT('a-b', '-'), SPLIT('', ','), ASCII('A'), CHR(66), UNICODE('é'), TRANSLATE('abc', 'ac', 'x'), CODE_POINTS_TO_STRING([65, 66])", "[a b], [], 65, B, 233, xb, AB"),
        ("SELECT REGEXP_CONTAINS('foo@x.com', r'@[a-z]+\\.com$'), REGEXP_EXTRACT('id=42;', r'id=(\\d+)'), REGEXP_EXTRACT('abc', 'z'), REGEXP_REPLACE('a1b22', r'\\d+', '#')", "true, 42, NULL, a#b#"),
        ("SELECT REGEXP_EXTRACT_ALL('a1b22c', r'\\d+'), REGEXP_REPLACE('john smith', r'(\\w+) (\\w+)', r'\\2 \\1'), REGEXP_EXTRACT('aXbX', '.X', 1, 2), REGEXP_INSTR('abcabc', 'c', 4)", "[1 22], smith john, bX, 6"),
        ("SELECT REGEXP_CONTAINS('a', '(')", "invalidQuery: Cannot parse regular expression: unclosed group: ( at [1:8]"),
        ("SELECT FORMAT('00-%t-00', NULL), FORMAT('%T|%6t', NULL, CAST(NULL AS STRING)), FORMAT('%d', NULL), FORMAT('%s-%t', NULL, 1), FORMAT('%t %f', 1, CAST(NULL AS FLOAT64))", "00-NULL-00, NULL|  NULL, NULL, NULL, NULL"),
        ("SELECT FORMAT('%T %T %T %T', 'a', 1.5, DATE '2024-02-01', TRUE), FORMAT('%T', 'say \"x\"')", "\"a\" 1.5 DATE \"2024-02-01\" true, 'say \"x\"'"),
        ("SELECT FORMAT('%d-%s', 5, 'x'), FORMAT('%05d|%5s|%-4d|%.2f|%t|100%%', 42, 'ab', 7, 1.005, DATE '2024-02-01')", "5-x, 00042|   ab|7   |1.00|2024-02-01|100%"),
        ("SELECT TO_BASE64(b'abc'), FROM_BASE64('YWJj'), TO_HEX(b'\\xff\\x00'), FROM_HEX('6162'), SAFE_CONVERT_BYTES_TO_STRING(b'ab')", "YWJj, b\"abc\", ff00, b\"ab\", ab"),
        ("SELECT 'it\\'s', \"dq\", r'a\\n', '''tri'ple''', 'tab\\tx', '\\u00e9', b'x', rb'\\d'", "it's, dq, a\\n, tri'ple, tab\tx, é, b\"x\", b\"\\\\d\""),
        ("SELECT STRING_AGG(UPPER(customer), '|' ORDER BY id) FROM orders # the end\n-- really\n/* yes */;", "ADA|BOB|ADA|EVE|BOB"),
    ])
    .await;
}
