//! What wakes one copy of the JavaScript face: there while somebody may have something to tell it, and no longer.
//!
//! A test runner that looks for open handles takes each of these for one, even if it keeps no process alive. Who may tell
//! something holds it: a limiter over Redis with its tasks, and the requests in flight. The last to let go releases it, on
//! whatever thread; Node makes the calls that were queued before that.

use std::sync::Arc;

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Result, Status, sys};

/// A call without arguments. Weak: it does not keep the process alive by itself.
pub(super) struct Wake(ThreadsafeFunction<(), (), (), Status, false, true>);

impl Wake {
    /// What calls `function`.
    pub(super) fn new(function: &Function<(), ()>) -> Result<Arc<Self>> {
        let function = function.build_threadsafe_function();
        Ok(Arc::new(Self(function.weak::<true>().build()?)))
    }

    /// Has JavaScript called, in a turn of its loop.
    pub(super) fn call(&self) {
        // Refused only while the environment goes down, and then nobody waits any more.
        self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// Changes whether it keeps the process alive. Refused only while the environment goes down, and then nothing does. The
    /// lock held meanwhile keeps the function from being released.
    pub(super) fn hold(
        &self,
        change: impl FnOnce(sys::napi_threadsafe_function) -> sys::napi_status,
    ) {
        let handle = &self.0.handle;
        handle.with_read_aborted(|aborted| {
            if !aborted {
                change(handle.get_raw());
            }
        });
    }
}

/// Wakes JavaScript when dropped: also by a thread that ends before it gets round to it.
pub(super) struct WakeOnDrop(pub(super) Arc<Wake>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.call();
    }
}
