use super::shop_answers;

#[tokio::test]
async fn numbers_are_computed() {
    shop_answers(&[
        ("SELECT ABS(-3), ABS(-2.5), SIGN(-4), MOD(7, 3), MOD(-7, 3), DIV(7, 2), DIV(-7, 2)", "3, 2.5, -1, 1, -1, 3, -3"),
        ("SELECT ROUND(2.5), ROUND(-2.5), ROUND(2.345, 2), ROUND(1234.5, -2), TRUNC(-2.7), TRUNC(2.789, 1)", "3.0, -3.0, 2.35, 1200.0, -2.0, 2.7"),
        ("SELECT CEIL(1.2), FLOOR(-1.2), CEILING(2), ROUND(NUMERIC '2.5'), FLOOR(NUMERIC '-1.5')", "2.0, -2.0, 2.0, 3, -2"),
        ("SELECT SQRT(16), POW(2, 10), LN(1), LOG(8, 2), LOG10(1000), EXP(0)", "4.0, 1024.0, 0.0, 3.0, 3.0, 1.0"),
        ("SELECT IEEE_DIVIDE(1, 0), IS_INF(IEEE_DIVIDE(1, 0)), IS_NAN(IEEE_DIVIDE(0, 0)), RANGE_BUCKET(25, [10, 20, 30])", "inf, true, true, 2"),
        ("SELECT SQRT(-1)", "invalidQuery: Argument to SQRT cannot be negative: -1.0"),
        ("SELECT SAFE.SQRT(-1), SAFE.LN(0), SAFE.SUBSTR('foo', 0, -2)", "NULL, NULL, NULL"),
        ("SELECT RAND() < 1, LENGTH(GENERATE_UUID())", "true, 36"),
        ("SELECT FARM_FINGERPRINT('1footrue'), TO_HEX(SHA256('abc'))", "-1541654101129638711, ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
    .await;
}

#[tokio::test]
async fn values_are_cast() {
    shop_answers(&[
        ("SELECT CAST('12' AS INT64), CAST(' 1.5 ' AS FLOAT64), CAST(2.5 AS INT64), CAST(-2.5 AS INT64), CAST('0x1F' AS INT64)", "12, 1.5, 3, -3, 31"),
        ("SELECT CAST(1 AS STRING), CAST(1.0 AS STRING), CAST(TRUE AS STRING), CAST(1e20 AS STRING), CAST(NUMERIC '1.50' AS STRING)", "1, 1.0, true, 1e+20, 1.5"),
        ("SELECT CAST(at AS STRING), CAST(day AS STRING), CAST(at AS DATE), CAST(day AS TIMESTAMP), CAST(at AS DATETIME) FROM orders WHERE id = 1", "2024-02-01 10:00:00+00, 2024-02-01, 2024-02-01, 2024-02-01 00:00:00+00, 2024-02-01 10:00:00"),
        ("SELECT CAST(TIMESTAMP '2024-02-01 10:04:46.12 UTC' AS STRING), CAST(TIMESTAMP '2024-02-01T10:04:46.123456Z' AS STRING)", "2024-02-01 10:04:46.120+00, 2024-02-01 10:04:46.123456+00"),
        ("SELECT CAST('2024-02-01' AS DATE), CAST('2024-02-01 10:04:46+02' AS TIMESTAMP), CAST('10:04:46' AS TIME), CAST('2024-02-01T01:02:03' AS DATETIME)", "2024-02-01, 2024-02-01 08:04:46+00, 10:04:46, 2024-02-01 01:02:03"),
        ("SELECT CAST('abc' AS INT64)", "invalidQuery: Bad int64 value: abc"),
        ("SELECT SAFE_CAST('abc' AS INT64), SAFE_CAST('2024-13-01' AS DATE), SAFE_CAST('yes' AS BOOL), SAFE_CAST('TRUE' AS BOOL)", "NULL, NULL, NULL, true"),
        ("SELECT CAST(1.005 AS NUMERIC), CAST('1.123456789012' AS NUMERIC), CAST(NUMERIC '2.5' AS INT64), CAST(3 AS BIGNUMERIC)", "1.005, 1.123456789, 3, 3"),
        ("SELECT CAST('ab' AS BYTES), CAST(b'ab' AS STRING), CAST(1 AS BOOL), CAST(FALSE AS INT64), CAST(NULL AS STRING)", "b\"ab\", ab, true, 0, NULL"),
        ("SELECT CAST([1, 2] AS ARRAY<FLOAT64>), CAST(STRUCT(1, 'a') AS STRUCT<x INT64, y STRING>).y", "[1.0 2.0], a"),
        ("SELECT CAST(1 AS DATE)", "invalidQuery: Invalid cast from INT64 to DATE at [1:13]"),
        ("SELECT CAST(9.3e18 AS INT64)", "invalidQuery: Illegal conversion of floating point number to an integer: 9.3e+18"),
    ])
    .await;
}
