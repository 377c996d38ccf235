//! Bytes, codes and hashes.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Bound, Call, SqlError, Type, Value, fingerprint};
use crate::bigquery::sql::scalar::Scalar;

const S: Type = Type::String;
const B: Type = Type::Bytes;

pub(super) fn call(call: &Call) -> Option<Result<Bound, SqlError>> {
    let text_or_bytes = if call.starts_with(&B) { [B] } else { [S] };
    let digest = |algorithm: &'static digest::Algorithm| {
        call.strict(&text_or_bytes, B, move |args| {
            Ok(Value::Bytes(digest::digest(algorithm, args[0].bytes()).as_ref().to_vec().into()))
        })
    };
    Some(match (call.name.as_str(), call.args.len()) {
        ("TO_BASE64", 1) => call.strict(&[B], S, |args| Ok(Value::string(STANDARD.encode(args[0].bytes())))),
        ("FROM_BASE64", 1) => call.strict(&[S], B, |args| {
            let text: String = args[0].str().split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(text).map_err(|_| "Failed to decode invalid base64 string")?;
            Ok(Value::Bytes(bytes.into()))
        }),
        ("TO_HEX", 1) => call.strict(&[B], S, |args| {
            Ok(Value::string(args[0].bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }),
        ("FROM_HEX", 1) => call.strict(&[S], B, |args| {
            let text = args[0].str();
            let padded = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
            let invalid = || format!("Failed to decode invalid hexadecimal string: {text}");
            let bytes = (0..padded.len()).step_by(2).map(|at| {
                let pair = padded.get(at..at + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
                pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(invalid)
            });
            Ok(Value::Bytes(bytes.collect::<Result<Vec<u8>, String>>()?.into()))
        }),
        ("SAFE_CONVERT_BYTES_TO_STRING", 1) => {
            call.strict(&[B], S, |args| Ok(Value::string(String::from_utf8_lossy(args[0].bytes()))))
        }
        ("SHA1", 1) => digest(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        ("SHA256", 1) => digest(&digest::SHA256),
        ("SHA512", 1) => digest(&digest::SHA512),
        ("FARM_FINGERPRINT", 1) => call.strict(&text_or_bytes, Type::Int64, |args| {
            Ok(Value::Int(fingerprint::farm(args[0].bytes()).cast_signed()))
        }),
        ("GENERATE_UUID", 0) => {
            let function =
                Scalar::new("GENERATE_UUID", Vec::new(), S, |_| Ok(Value::string(uuid::Uuid::new_v4().to_string())));
            Ok(Bound::new(function.volatile().call(Vec::new()), S))
        }
        _ => return None,
    })
}
