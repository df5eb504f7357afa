//! The `cache` import: bytes that are dear to fetch and harmless to lose, shared by the instances of one provider.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a key; a longer one is never kept.
const MAX_KEY: usize = 1024;
/// What an entry costs beyond its key and value.
const OVERHEAD: usize = 128;

/// Bounded by bytes: where room is needed, what expires first goes first.
pub(crate) struct Cache {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    used: usize,
    entries: HashMap<String, (Vec<u8>, Instant)>,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::default() }
    }

    pub(crate) fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    pub(crate) fn put(&self, key: String, value: Vec<u8>, ttl: Duration, now: Instant) {
        let cost = key.len() + value.len() + OVERHEAD;
        let Some(until) = now.checked_add(ttl) else { return };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.remove(&key);
        if key.len() > MAX_KEY || cost > self.capacity {
            return;
        }
        if inner.used + cost > self.capacity {
            inner.make_room(self.capacity - cost, now);
        }
        inner.used += cost;
        inner.entries.insert(key, (value, until));
    }
}

impl Inner {
    fn remove(&mut self, key: &str) {
        if let Some((value, _)) = self.entries.remove(key) {
            self.used -= key.len() + value.len() + OVERHEAD;
        }
    }

    /// Drops what is over, then what is over soonest, down to half of `room`, so that this is seldom needed.
    fn make_room(&mut self, room: usize, now: Instant) {
        let mut order: Vec<(Instant, String)> = self.entries.iter().map(|(key, (_, until))| (*until, key.clone())).collect();
        order.sort();
        for (until, key) in order {
            if until > now && self.used <= room / 2 {
                break;
            }
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_never_holds_more_than_its_capacity() {
        let (cache, now) = (Cache::new(10_000), Instant::now());
        for at in 0..1000_u64 {
            cache.put(format!("key {at}"), vec![0; 500], Duration::from_secs(1 + at), now);
            assert!(cache.inner.lock().unwrap().used <= 10_000);
        }
        assert!(cache.get("key 999", now).is_some() && cache.get("key 0", now).is_none());
        cache.put("large".to_owned(), vec![0; 10_000], Duration::from_secs(1), now);
        cache.put("k".repeat(2000), vec![0], Duration::from_secs(1), now);
        assert!(cache.get("large", now).is_none() && cache.get(&"k".repeat(2000), now).is_none());
    }

    #[test]
    fn an_entry_is_gone_when_its_time_is_over() {
        let (cache, now) = (Cache::new(10_000), Instant::now());
        cache.put("k".to_owned(), vec![1], Duration::from_secs(5), now);
        assert_eq!(cache.get("k", now + Duration::from_secs(4)), Some(vec![1]));
        assert_eq!(cache.get("k", now + Duration::from_secs(5)), None);
        cache.put("k".to_owned(), vec![2], Duration::from_millis(u64::MAX), now);
    }
}
