//! Where an object's bytes lie: an object name is no path, so each is mapped to one that is safe and its own.
//!
//! The plain form keeps names readable: `a/b/c.avro` lies at `a/b/c.avro`. Bytes that a file system may not take are
//! `%XX`. The flat form takes every name, below a hidden folder, at most 200 characters a component; it is used where
//! the plain form does not exist or is taken (the objects `a` and `a/b` may both exist; a file and a folder `a` may not).

/// The folder of the flat form, inside the bucket's folder.
const FLAT_FOLDER: &str = ".names";
/// The longest component of a path in bytes, as common file systems have it, with room for an ending.
const MAX_COMPONENT: usize = 240;
/// The longest plain path in bytes.
const MAX_PATH: usize = 900;
/// The longest component of the flat form in bytes.
const FLAT_COMPONENT: usize = 200;

/// The readable path of `name` below the bucket's folder; `None` where it has none.
pub(crate) fn plain(name: &str) -> Option<String> {
    let mut path = String::with_capacity(name.len());
    for (index, component) in name.split('/').enumerate() {
        // A leading dot is also how the hidden folder would be named, and `..` how a path climbs out.
        if component.is_empty() || component.starts_with('.') || component.ends_with(['.', ' ']) {
            return None;
        }
        if index > 0 {
            path.push('/');
        }
        let start = path.len();
        escape(component, is_plain, &mut path);
        if path.len() - start > MAX_COMPONENT {
            return None;
        }
    }
    (path.len() <= MAX_PATH).then_some(path)
}

/// The path that every name has, below the bucket's folder.
pub(crate) fn flat(name: &str) -> String {
    format!("{FLAT_FOLDER}/{}", components(name))
}

/// `name` as path components of a bounded length: injective, also where the file system ignores case. All but the last
/// component end in `+`, which no escaped name holds, so that no folder has the name of a file.
pub(crate) fn components(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 8);
    escape(name, is_flat, &mut escaped);
    let mut path = String::with_capacity(escaped.len() + escaped.len() / FLAT_COMPONENT * 2 + 1);
    let mut rest = escaped.as_str();
    while rest.len() > FLAT_COMPONENT {
        let (component, after) = rest.split_at(FLAT_COMPONENT); // escaped is ASCII: every place is a boundary
        path.push_str(component);
        path.push_str("+/");
        rest = after;
    }
    path.push_str(rest);
    path.push('_'); // also keeps the empty rest, and the names that Windows reserves, from being file names
    path
}

/// The name whose [`components`] these are.
#[cfg(test)]
fn name_of(components: &str) -> Option<String> {
    let escaped: String = components.strip_suffix('_')?.split('/').map(|part| part.trim_end_matches('+')).collect();
    let mut bytes = Vec::new();
    let mut rest = escaped.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn escape(text: &str, keep: fn(u8) -> bool, into: &mut String) {
    use std::fmt::Write;
    for byte in text.bytes() {
        if keep(byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02x}"); // writing to a String cannot fail
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.=@,()[]{}!$&'+~^# ".contains(&byte)
}

fn is_flat(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-=@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn readable_names_stay_readable() {
        let name = "courier-chat/dt=2024-02-01/hr=10/20240201T100446Z-1.avro";
        assert_eq!(plain(name).as_deref(), Some(name));
        assert_eq!(plain("a b/ü:*\n").as_deref(), Some("a b/%c3%bc%3a%2a%0a"));
    }

    #[test]
    fn names_that_are_no_paths_have_no_plain_form() {
        for name in [
            "..",
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a/",
            "a//b",
            ".hidden",
            "a/.names/b",
            "a./b",
            &"x".repeat(241),
            &"x/".repeat(500),
        ] {
            assert_eq!(plain(name), None, "{name}");
        }
    }

    #[test]
    fn every_name_has_its_own_flat_path_that_stays_inside() {
        let long = "é".repeat(512);
        let names = [
            "a",
            "A",
            "a/b",
            "a%2fb",
            "..",
            "../../x",
            "/",
            "a\0b",
            "a+",
            "a+/b",
            "a_",
            "con",
            "%",
            "é",
            "e\u{301}",
            &long,
            &long[..400],
            &"x".repeat(200),
            &"x".repeat(201),
        ];
        let mut seen = HashSet::new();
        for name in names {
            let path = components(name);
            assert!(seen.insert(path.to_lowercase()), "{name} shares {path}");
            assert_eq!(name_of(&path).as_deref(), Some(name));
            assert!(
                path.split('/').all(|part| !part.is_empty() && part.len() <= 201 && !part.starts_with('.')),
                "{path}"
            );
        }
        // No path is a folder of another.
        for path in &seen {
            assert!(!seen.iter().any(|other| other.starts_with(&format!("{path}/"))), "{path}");
        }
    }
}
