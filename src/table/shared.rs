//! What an open table shares with its sealed part: copied only if it changes while the other is still in use.

use std::ops::Deref;
use std::sync::Arc;

/// A value of its own, until it is shared.
#[derive(Debug)]
pub enum Shared<T> {
    Own(T),
    Shared(Arc<T>),
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self::Own(T::default())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        match self {
            Self::Own(value) => value,
            Self::Shared(value) => value,
        }
    }
}

impl<T: Clone + Default> Shared<T> {
    /// The value to be changed: its own from now on.
    #[inline(always)]
    pub fn own(&mut self) -> &mut T {
        if let Self::Shared(_) = self {
            self.part();
        }
        match self {
            Self::Own(value) => value,
            Self::Shared(_) => unreachable!("it was parted"),
        }
    }

    #[cold]
    #[inline(never)]
    fn part(&mut self) {
        if let Self::Shared(value) = std::mem::take(self) {
            *self = Self::Own(Arc::unwrap_or_clone(value));
        }
    }

    /// Another hold of the value as it is now.
    pub fn share(&mut self) -> Arc<T> {
        let value = match std::mem::take(self) {
            Self::Own(value) => Arc::new(value),
            Self::Shared(value) => value,
        };
        *self = Self::Shared(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_copied_only_if_it_changes_while_the_other_is_in_use() {
        let mut shared = Shared::Own(vec![1]);
        let sealed = shared.share();
        assert!(std::ptr::eq(&*shared, &*sealed));
        assert!(std::ptr::eq(&*shared.share(), &*sealed));
        shared.own().push(2);
        assert_eq!((&*shared, &*sealed), (&vec![1, 2], &vec![1]));
        let before = shared.as_ptr();
        drop(shared.share());
        shared.own()[0] = 3;
        assert_eq!((shared.as_ptr(), &*shared), (before, &vec![3, 2]));
    }
}
