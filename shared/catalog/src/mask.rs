//! Which values of an event are not to be shown, and how each is hidden.

/// How a value is hidden. Of two for one place the later one counts: it tells less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// The network of an IP address stays: /24 of IPv4, /48 of IPv6.
    TruncateIp,
    /// HMAC-SHA256 under the deployment's key, in hexadecimal: equal values stay equal.
    Hash,
    /// Nothing stays.
    Drop,
}

impl Mask {
    /// The name in a catalog.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TruncateIp => "truncate_ip",
            Self::Hash => "hash",
            Self::Drop => "drop",
        }
    }
}

/// The masked places of an event as a tree of names. Names are compared without regard to case, as columns are; arrays are
/// passed through, so that a place inside an array is masked in each element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaskTree {
    /// How the value here is hidden as a whole.
    action: Option<Mask>,
    children: Vec<(String, MaskTree)>,
}

impl MaskTree {
    /// Masks the value at `path`, the names from the root down.
    pub fn insert(&mut self, path: &[String], mask: Mask) {
        let Some((name, rest)) = path.split_first() else {
            self.action = self.action.max(Some(mask));
            return;
        };
        match self.children.iter_mut().find(|(known, _)| same(known, name)) {
            Some((_, child)) => child.insert(rest, mask),
            None => {
                let mut child = Self::default();
                child.insert(rest, mask);
                self.children.push((name.clone(), child));
            }
        }
    }

    /// Whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.action.is_none() && self.children.is_empty()
    }

    /// How the value here is hidden as a whole; `None`: only parts of it are.
    pub fn action(&self) -> Option<Mask> {
        self.action
    }

    /// What is masked inside the field `name`; `None`: nothing.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|(known, _)| same(known, name)).map(|(_, child)| child)
    }

    /// Whether the value at these tokens of a JSON pointer is masked, or a part of it, or what it is part of.
    pub fn covers(&self, tokens: &[String]) -> bool {
        if self.action.is_some() {
            return true;
        }
        let Some((token, rest)) = tokens.split_first() else { return !self.is_empty() };
        match self.child(token) {
            Some(child) => child.covers(rest),
            None => is_index(token) && !self.is_empty() && self.covers(rest),
        }
    }

    /// Whether a key is needed.
    pub fn hashes(&self) -> bool {
        self.action == Some(Mask::Hash) || self.children.iter().any(|(_, child)| child.hashes())
    }

    /// Adds what `other` masks.
    pub fn merge(&mut self, other: &Self) {
        if let Some(mask) = other.action {
            self.insert(&[], mask);
        }
        for (name, child) in &other.children {
            match self.children.iter_mut().find(|(known, _)| same(known, name)) {
                Some((_, known)) => known.merge(child),
                None => self.children.push((name.clone(), child.clone())),
            }
        }
    }
}

/// As BigQuery compares the names of columns.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

/// Whether a token of a JSON pointer may be an index of an array.
pub(crate) fn is_index(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn places_are_found_in_any_case_and_through_arrays() {
        let mut tree = MaskTree::default();
        tree.insert(&path("user.email"), Mask::Hash);
        tree.insert(&path("ip"), Mask::TruncateIp);
        for covered in ["user", "USER.Email", "user.email.part", "user.0.email", "ip"] {
            assert!(tree.covers(&path(covered)), "{covered}");
        }
        for free in ["user.name", "other", "0", "email"] {
            assert_eq!(tree.covers(&path(free)), free == "0", "{free}");
        }
        assert!(tree.hashes());
    }

    #[test]
    fn the_mask_that_tells_less_counts() {
        let (mut a, mut b) = (MaskTree::default(), MaskTree::default());
        a.insert(&path("x"), Mask::Drop);
        b.insert(&path("X"), Mask::Hash);
        b.insert(&path("y.z"), Mask::Hash);
        a.merge(&b);
        assert_eq!(a.child("x").and_then(MaskTree::action), Some(Mask::Drop));
        assert!(a.covers(&path("y.z")));
    }
}
