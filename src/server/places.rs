//! So many at once and no more: the cap on connections, counted over all shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of places, each taken by one connection at a time.
#[derive(Debug)]
pub struct Places {
    taken: AtomicUsize,
    places_max: usize,
}

impl Places {
    pub fn new(places_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), places_max })
    }

    pub fn places_max(&self) -> usize {
        self.places_max
    }

    /// A place, until it is dropped; `None` while all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let is_free = self.taken.fetch_add(1, Ordering::Relaxed) < self.places_max;
        // Dropped at once, it gives back what was counted too much.
        let place = Place(Arc::clone(self));
        is_free.then_some(place)
    }
}

/// One of the [`Places`].
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::new(2);
        let first = places.take();
        let second = places.take();
        assert!(first.is_some() && second.is_some());
        assert!(places.take().is_none() && places.take().is_none(), "a refusal takes no place");
        drop(first);
        let third = places.take();
        assert!(third.is_some() && places.take().is_none());
    }
}
