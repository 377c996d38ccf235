//! One spelling for all JSON texts that say the same: what content hashes are made of.

use serde_json::value::RawValue;

use crate::{members, number::Number};

/// How deep values may be nested.
const MAX_DEPTH: usize = 128;

/// Writes the canonical form of `json` to `out`: RFC 8785's, but for numbers, which are never rounded.
///
/// No white space; the fields of an object sorted by their names' UTF-16 code units; strings with the fewest escapes; a
/// number as its significant digits and, where it is not 0, `e` and the power of ten of the last digit: `100`, `1e2` and
/// `100.0` are `1e2`, `-0.5` is `-5e-1`, zero is `0`. Fields that are null count as absent.
pub(crate) fn write(json: &str, out: &mut String) -> Result<(), String> {
    at_depth(json, 0, out)
}

fn at_depth(json: &str, depth: usize, out: &mut String) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("expected at most {MAX_DEPTH} values inside one another"));
    }
    match json.as_bytes().first() {
        Some(b'{') => object(json, depth, out),
        Some(b'[') => array(json, depth, out),
        Some(b'"') => {
            let text: String = serde_json::from_str(json).map_err(|error| error.to_string())?;
            string(&text, out)
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = Number::parse(json).ok_or_else(|| format!("the number {json} is beyond any use"))?;
            out.push_str(&number.canonical());
            Ok(())
        }
        _ => {
            out.push_str(json);
            Ok(())
        }
    }
}

fn object(json: &str, depth: usize, out: &mut String) -> Result<(), String> {
    let mut fields = members(json)?;
    fields.retain(|(_, value)| value.get() != "null");
    fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        string(name, out)?;
        out.push(':');
        at_depth(value.get(), depth + 1, out)?;
    }
    out.push('}');
    Ok(())
}

fn array(json: &str, depth: usize, out: &mut String) -> Result<(), String> {
    let elements: Vec<&RawValue> = crate::members::elements(json)?;
    out.push('[');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        at_depth(element.get(), depth + 1, out)?;
    }
    out.push(']');
    Ok(())
}

fn string(text: &str, out: &mut String) -> Result<(), String> {
    out.push_str(&serde_json::to_string(text).map_err(|error| error.to_string())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(json: &str) -> String {
        let mut out = String::new();
        write(json, &mut out).expect("a canonical form");
        out
    }

    #[test]
    fn spellings_of_one_value_are_one() {
        let expected = r#"{"a":[1e2,-5e-1,0,"é\n",true,null],"b":{"c":9007199254740993}}"#;
        for json in [
            r#"{"b":{"c":9007199254740993},"a":[100,-0.5,0,"é\n",true,null]}"#,
            r#"{ "a" : [1.0e2, -5E-1, -0.0, "\u00e9\u000a", true, null], "x": null, "b": {"c": 9007199254740993.0} }"#,
        ] {
            assert_eq!(canonical(json), expected, "{json}");
        }
        assert_ne!(canonical("9007199254740993"), canonical("9007199254740992"), "nothing is rounded");
        // U+FB33 sorts after U+1F600 by code units, before it by code points.
        assert_eq!(canonical("{\"\u{fb33}\":1,\"\u{1f600}\":2}"), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn what_has_no_one_meaning_has_no_canonical_form() {
        let mut out = String::new();
        assert!(write(r#"{"a":1,"a":2}"#, &mut out).is_err());
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        assert!(write(&deep, &mut out).is_err());
        assert!(write(r#""\ud800""#, &mut out).is_err(), "half a surrogate pair");
    }

    proptest! {
        #[test]
        fn order_and_layout_do_not_count(fields in proptest::collection::btree_map("[a-zé]{1,4}", any::<i64>(), 0..8)) {
            let forwards = serde_json::to_string(&fields).expect("JSON");
            let backwards: Vec<String> = fields.iter().rev().map(|(name, value)| format!(" {name:?} :\t{value}.0")).collect();
            let backwards = format!("{{{}}}", backwards.join(" ,\n"));
            prop_assert_eq!(canonical(&forwards), canonical(&backwards));
        }

        #[test]
        fn a_canonical_form_is_its_own(json in r#"(\{"a":(-?[1-9][0-9]{0,3}(\.[0-9]{1,3})?|"[a-z]{0,3}"|\[1,2\]|null)\})"#) {
            let once = canonical(&json);
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
