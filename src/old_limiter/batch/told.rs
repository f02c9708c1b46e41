//! Who waits until all lanes have counted.

use std::sync::Arc;

use parking_lot::Mutex;

use super::settler::Settler;
use crate::old_limiter::CompletionSink;

/// Held by every lane that has something to count. Dropped by the last of them, it tells.
pub(super) struct Told<K: CompletionSink> {
    settler: Arc<Settler<K>>,
    /// `None`: nobody waits.
    ticket: Mutex<Option<K::RequestId>>,
}

impl<K: CompletionSink> Told<K> {
    pub(super) fn new(settler: Arc<Settler<K>>, ticket: K::RequestId) -> Self {
        Self {
            settler,
            ticket: Mutex::new(Some(ticket)),
        }
    }

    /// There was nothing to wait for.
    pub(super) fn never(&self) {
        self.take();
    }

    fn take(&self) -> Option<K::RequestId> {
        let mut ticket = self.ticket.lock();
        ticket.take()
    }
}

impl<K: CompletionSink> Drop for Told<K> {
    fn drop(&mut self) {
        if let Some(ticket) = self.take() {
            self.settler.sink.flushed(ticket);
        }
    }
}
