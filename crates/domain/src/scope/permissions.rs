//! The five SMART permissions, `cruds`, in that order only.

use std::fmt;

/// A set of SMART permissions: create, read, update, delete, search.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Permissions(u8);

const LETTERS: [(char, u8); 5] = [('c', 16), ('r', 8), ('u', 4), ('d', 2), ('s', 1)];

impl Permissions {
    /// None at all; no scope may have it.
    pub const NONE: Self = Self(0);
    /// `c`: create.
    pub const CREATE: Self = Self(16);
    /// `r`: read, vread, instance history.
    pub const READ: Self = Self(8);
    /// `u`: update, patch.
    pub const UPDATE: Self = Self(4);
    /// `d`: delete.
    pub const DELETE: Self = Self(2);
    /// `s`: search, type and system history.
    pub const SEARCH: Self = Self(1);

    /// Reads the letters of SMART 2: at least one, each at most once, in the order `cruds`.
    pub fn parse_v2(text: &str) -> Option<Self> {
        let mut rest = LETTERS.iter();
        let mut bits = 0;
        for letter in text.chars() {
            bits |= rest.find(|(known, _)| *known == letter)?.1;
        }
        (bits != 0).then_some(Self(bits))
    }

    /// Reads the words of SMART 1: `read` is `rs`, `write` is `cud`.
    pub fn parse_v1(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::READ.union(Self::SEARCH)),
            "write" => Some(Self::CREATE.union(Self::UPDATE).union(Self::DELETE)),
            _ => None,
        }
    }

    /// The SMART 1 word for exactly this set, if it has one.
    pub fn v1(self) -> Option<&'static str> {
        ["read", "write"].into_iter().find(|word| Self::parse_v1(word) == Some(self))
    }

    /// Whether nothing is permitted.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every permission of `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Permissions in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Permissions in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LETTERS
            .iter()
            .filter(|(_, bit)| self.0 & bit != 0)
            .try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}
