//! References to what a thread's calls share, handed from one call to the next.
//!
//! The future of a call must own what it looks at when it ends, so a layer clones its `Arc` for each: two
//! locked instructions. A thread serves one call after another, and nearly all of its calls share the
//! same thing; so the call that ends leaves its reference to the one that begins. For the two
//! layers that do this it is a hundredth of a line in ping-pong. The price: the last reference lives until
//! the thread ends, or serves something else.

use std::{cell::Cell, ops::Deref, sync::Arc, thread::LocalKey};

/// Where a thread keeps the reference that the last call left.
pub(crate) type Place<T> = Cell<Option<Arc<T>>>;

/// What may be left for the next call on the thread.
pub(crate) trait Spare: Sized + 'static {
    /// Where.
    fn place() -> &'static LocalKey<Place<Self>>;
}

/// An `Arc` that is left for the next call on the thread where it is dropped.
#[derive(Debug)]
pub(crate) struct Lent<T: Spare>(Option<Arc<T>>);

impl<T: Spare> Lent<T> {
    /// Another reference to the same.
    #[inline]
    pub(crate) fn of(shared: &Arc<T>) -> Self {
        let left = T::place().with(Cell::take);
        Self(Some(left.filter(|left| Arc::ptr_eq(left, shared)).unwrap_or_else(|| shared.clone())))
    }
}

impl<T: Spare> Deref for Lent<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().expect("there until it is dropped")
    }
}

impl<T: Spare> Drop for Lent<T> {
    #[inline]
    fn drop(&mut self) {
        // A thread that ends keeps nothing.
        let _ = T::place().try_with(|place| place.set(self.0.take()));
    }
}

/// Gives a type its place.
macro_rules! spare {
    ($of:ty) => {
        impl $crate::spare::Spare for $of {
            #[inline]
            fn place() -> &'static ::std::thread::LocalKey<$crate::spare::Place<Self>> {
                ::std::thread_local! {
                    static PLACE: $crate::spare::Place<$of> = const { ::std::cell::Cell::new(None) };
                }
                &PLACE
            }
        }
    };
}

pub(crate) use spare;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Shared;

    spare!(Shared);

    #[test]
    fn a_call_takes_over_the_reference_that_the_last_one_left() {
        let shared = Arc::new(Shared);
        drop(Lent::of(&shared));
        assert_eq!(Arc::strong_count(&shared), 2, "one is left");
        let (first, second) = (Lent::of(&shared), Lent::of(&shared));
        assert_eq!(Arc::strong_count(&shared), 3, "the first took it over");
        drop((first, second));
        assert_eq!(Arc::strong_count(&shared), 2, "one is enough");
    }

    #[test]
    fn what_another_thing_left_is_not_taken_for_this_one() {
        let [mine, other] = [Shared, Shared].map(Arc::new);
        drop(Lent::of(&other));
        assert!(std::ptr::eq(&raw const *Lent::of(&mine), Arc::as_ptr(&mine)));
        assert_eq!(Arc::strong_count(&other), 1);
    }

    #[test]
    fn a_thread_that_ends_keeps_nothing() {
        let shared = Arc::new(Shared);
        let lent = Lent::of(&shared);
        std::thread::spawn(move || drop(lent)).join().expect("nothing panics there");
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
