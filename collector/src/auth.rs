//! Who may ask what: API keys `mk_<hex>` with a role.
//!
//! Stands before every request of the API. Invariant: a key is 256 random bits, shown once when it is made; what is stored is its
//! SHA-256, so that the database gives no key away. (A slow hash would guard guessable secrets; these can't be guessed.)

use sha2::{Digest, Sha256};

use crate::store::{Store, StoreError};

/// What a key may do; each role may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Viewer,
    Operator,
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The holder of a valid key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
    pub role: Role,
}

/// The principal of `key`; `None` if there is none, or it was revoked.
///
/// # Errors
/// [`StoreError`] if the database can't answer: neither yes nor no.
pub async fn authenticate(store: &Store, key: &str) -> Result<Option<Principal>, StoreError> {
    if !has_key_shape(key) {
        return Ok(None);
    }
    store.principal_of(&hash(key)).await
}

/// A new key, from the operating system's randomness.
pub fn new_key() -> String {
    format!("mk_{}", new_secret())
}

/// 256 random bits as hex.
pub fn new_secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// What is stored of a key or token.
pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn has_key_shape(key: &str) -> bool {
    key.strip_prefix("mk_").is_some_and(|rest| rest.len() == 64 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_differ_and_have_the_shape_that_is_checked() {
        let (a, b) = (new_key(), new_key());
        assert_ne!(a, b);
        assert!(has_key_shape(&a) && has_key_shape(&b));
        assert!(!has_key_shape("mk_"));
        assert!(!has_key_shape(&a[..66]));
        assert!(!has_key_shape(&a.replace("mk_", "xx_")));
    }

    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.as_str()), Some(role));
        }
        assert_eq!(Role::from_name("root"), None);
    }
}
