//! Delivers events to JavaScript: a queue, and one wake-up for all events that arrive before JavaScript drains it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{Float64Array, Function, FunctionRef, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Error, Result, Status, sys};
use napi_derive::napi;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::abi::{AnomalyLogEntry, Event, RECORD_LENGTH, write_event};
use super::anomaly_log::{ANOMALY_LOG, AnomalyTarget};
use super::credentials::PasswordResult;
use super::io_thread::IoThread;
use super::native_fn::{Arguments, NativeFn, to_js};
use crate::limiter::Completion;
use crate::metrics::Label;
use crate::quota::{Id, Limit, Rules};
use crate::store::redis::Secret;

/// Between two drains while events remain. A timer has no shorter delay.
const DRAIN_INTERVAL: Duration = Duration::from_millis(1);

/// Capacity retained for the next burst, in events.
const RETAINED_CAPACITY: usize = 1024;

/// Events that JavaScript has not fetched. Shared with the I/O thread.
pub(super) struct CompletionQueue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The texts of the records last written, in their order.
    texts: VecDeque<Vec<String>>,
    /// A wake-up has been requested. Cleared before the queue is emptied, under the same lock: a later event wakes
    /// JavaScript again, an earlier one is in the queue.
    wake_pending: bool,
    /// Wakes JavaScript, as long as a limiter or a request holds it. Without one, events remain for the next.
    wake: Weak<Wake>,
    /// Connects that wait for a password from JavaScript.
    password_requests: HashMap<u32, oneshot::Sender<PasswordResult>>,
    next_password_request: u32,
}

impl CompletionQueue {
    /// Adds events. The first after a drain wakes JavaScript; the others are delivered by the same wake-up.
    pub(super) fn push(&self, events: impl IntoIterator<Item = Event>) {
        if let Some(wake) = self.add(events) {
            wake.call();
        }
    }

    /// As [`push`](Self::push), with the wake-up left to the caller.
    #[must_use]
    fn add(&self, events: impl IntoIterator<Item = Event>) -> Option<Arc<Wake>> {
        let mut state = self.state.lock();
        state.events.extend(events);
        let due = !state.wake_pending && !state.events.is_empty();
        let wake = if due { state.wake.upgrade() } else { None };
        state.wake_pending |= wake.is_some();
        wake
    }

    /// Whether events remain. If so, a wake-up counts as requested: later events do not request another.
    fn continue_draining(&self) -> bool {
        let mut state = self.state.lock();
        state.wake_pending = !state.events.is_empty();
        state.wake_pending
    }

    /// Requests the password of `limiter` from JavaScript. `refused`: the server has just refused the previous one.
    pub(super) fn request_password(
        &self,
        limiter: u32,
        refused: bool,
    ) -> oneshot::Receiver<PasswordResult> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.wake.strong_count() == 0 {
            // The limiter has been closed while a connect was running. The dropped sender ends it.
            return receiver;
        }
        // Connects that have given up.
        state
            .password_requests
            .retain(|_, waiting| !waiting.is_closed());
        let request = state.next_password_request;
        state.next_password_request = request.wrapping_add(1);
        state.password_requests.insert(request, sender);
        drop(state);
        self.push([Event::PasswordRequested {
            limiter,
            request,
            refused,
        }]);
        receiver
    }
}

/// Wakes one copy of the JavaScript module: a call without arguments. Weak: it does not keep the process alive by itself.
///
/// A test runner that searches for open handles counts each of these, even those that keep no process alive. So it exists
/// only as long as an event may follow: a limiter over Redis holds it for its completions, and so do the requests in flight. The
/// last one releases it, on any thread; Node still makes the calls that were queued before.
pub(super) struct Wake(ThreadsafeFunction<(), (), (), Status, false, true>);

impl Wake {
    /// A wake-up that calls `function`.
    pub(super) fn new(function: &Function<(), ()>) -> Result<Arc<Self>> {
        let function = function.build_threadsafe_function();
        Ok(Arc::new(Self(function.weak::<true>().build()?)))
    }

    /// Calls the function from the event loop, possibly still in the current tick.
    pub(super) fn call(&self) {
        // Refused only while the environment is torn down, when no promise can settle any more.
        self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// Changes whether it keeps the process alive. Skipped only while the environment is torn down. The read lock prevents
    /// the function's release during `change`.
    pub(super) fn change_reference(
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

/// Wakes JavaScript when dropped, which also happens if the thread or task ends early.
pub(super) struct WakeOnDrop(pub(super) Arc<Wake>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// The memory of JavaScript into which records are written. It is shared once, so that an answer needs no allocation.
pub(super) struct Mailbox(RefCell<Float64Array>);

impl Mailbox {
    /// Lets `fill` write into the memory. Only on the JavaScript thread, inside a call from it.
    pub(super) fn fill<R>(&self, fill: impl FnOnce(&mut [f64]) -> R) -> R {
        let mut array = self.0.borrow_mut();
        // SAFETY: lib/bridge.js created the array, keeps it private and never detaches or resizes it; this runs inside a
        // call from its thread, so no JavaScript reads it meanwhile, and the borrow above rules out a second writer.
        fill(unsafe { array.as_mut() })
    }
}

/// The JavaScript thread's end of the queue.
pub(super) struct JsEnd {
    completions: Arc<CompletionQueue>,
    mailbox: Mailbox,
    /// The function that a wake-up calls.
    callback: FunctionRef<(), ()>,
    /// Requests whose promises are pending. While there are any, the process stays alive.
    in_flight: Cell<u32>,
    /// Set while requests are in flight.
    keep_alive: RefCell<Option<Arc<Wake>>>,
}

impl JsEnd {
    pub(super) fn completions(&self) -> &Arc<CompletionQueue> {
        &self.completions
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The wake-up, created if there is none. Events already in the queue are woken for at once.
    pub(super) fn wake(&self, env: sys::napi_env) -> Result<Arc<Wake>> {
        if let Some(wake) = self.completions.state.lock().wake.upgrade() {
            return Ok(wake);
        }
        // Not under the lock: its creation runs the application's async_hooks.
        let wake = Wake::new(&self.callback.borrow_back(&Env::from_raw(env))?)?;
        let mut state = self.completions.state.lock();
        if let Some(other) = state.wake.upgrade() {
            return Ok(other);
        }
        state.wake = Arc::downgrade(&wake);
        let due = !state.wake_pending && !state.events.is_empty();
        state.wake_pending |= due;
        drop(state);
        if due {
            wake.call();
        }
        Ok(wake)
    }

    /// One more request is in flight.
    pub(super) fn request_started(&self, env: sys::napi_env) {
        let before = self.in_flight.replace(self.in_flight.get() + 1);
        // An error occurs only while the environment is torn down, when no promise can settle any more.
        if before == 0
            && let Ok(wake) = self.wake(env)
        {
            // SAFETY: this is the environment's own thread, and `change_reference` keeps the function alive.
            wake.change_reference(|raw| unsafe { sys::napi_ref_threadsafe_function(env, raw) });
            self.keep_alive.replace(Some(wake));
        }
    }

    fn requests_finished(&self, env: sys::napi_env, count: u32) {
        let left = self.in_flight.get().saturating_sub(count);
        let before = self.in_flight.replace(left);
        if before > 0
            && left == 0
            && let Some(wake) = self.keep_alive.take()
        {
            // SAFETY: as in `request_started`.
            wake.change_reference(|raw| unsafe { sys::napi_unref_threadsafe_function(env, raw) });
        }
    }
}

impl NativeFn for JsEnd {
    /// Writes records until the mailbox is full or the queue empty, oldest first. Returns how many.
    fn call(&self, call: &Arguments) -> u32 {
        let mut state = self.completions.state.lock();
        state.wake_pending = false;
        let mut finished = 0;
        let written = self.mailbox.fill(|mailbox| {
            let mut written = 0;
            for record in mailbox.as_chunks_mut::<RECORD_LENGTH>().0 {
                let Some(event) = state.events.pop_front() else {
                    break;
                };
                finished += u32::from(event.completes_request());
                if let Some(text) = write_event(event, record) {
                    state.texts.push_back(text);
                }
                written += 1;
            }
            written
        });
        if state.events.is_empty() {
            // Releases what a burst has allocated.
            state.events.shrink_to(RETAINED_CAPACITY);
            state.texts.shrink_to(RETAINED_CAPACITY);
        }
        drop(state);
        self.requests_finished(call.env(), finished);
        written
    }
}

/// The completion queue of one copy of the JavaScript module. Keeps the process alive while requests are in flight.
#[napi]
pub struct CompletionBuffer {
    js_end: Rc<JsEnd>,
}

#[napi]
impl CompletionBuffer {
    /// Records are written into `mailbox`, whose length is a multiple of [`RECORD_LENGTH`]. `wake` is called without
    /// arguments when there are events to drain.
    ///
    /// # Errors
    /// A mailbox of another length.
    #[napi(constructor)]
    pub fn new(mailbox: Float64Array, wake: Function<(), ()>) -> Result<Self> {
        if mailbox.is_empty() || !mailbox.len().is_multiple_of(RECORD_LENGTH) {
            let problem = format!("the mailbox's length must be a multiple of {RECORD_LENGTH}");
            return Err(Error::from_reason(problem));
        }
        Ok(Self {
            js_end: Rc::new(JsEnd {
                completions: Arc::new(CompletionQueue {
                    state: Mutex::default(),
                }),
                mailbox: Mailbox(RefCell::new(mailbox)),
                callback: wake.create_ref()?,
                in_flight: Cell::new(0),
                keep_alive: RefCell::default(),
            }),
        })
    }

    /// The drain function: takes no arguments, writes records into the mailbox and returns how many. A full mailbox means
    /// that there may be more.
    #[napi]
    pub fn drainer(&self, env: Env) -> Result<Unknown<'static>> {
        to_js(env, Rc::clone(&self.js_end))
    }

    /// Schedules another drain on a later tick of the event loop, if events remain. It goes through the I/O thread with a
    /// delay of 1 ms: a wake-up during the current tick would be served in it and starve other callbacks.
    #[napi]
    pub fn schedule_drain(&self, env: Env) -> Result<()> {
        if !self.js_end.completions.continue_draining() {
            return Ok(());
        }
        let wake = WakeOnDrop(self.js_end.wake(env.raw())?);
        match IoThread::current() {
            Some(io) => {
                io.handle().spawn(async move {
                    tokio::time::sleep(DRAIN_INTERVAL).await;
                    drop(wake);
                });
            }
            // The embedded store has no I/O thread. If the system grants no thread, the drain happens in this tick.
            None => drop(thread::Builder::new().spawn(move || {
                thread::sleep(DRAIN_INTERVAL);
                drop(wake);
            })),
        }
        Ok(())
    }

    /// The texts of the next record that has any, in the order of the records.
    #[napi]
    pub fn take_text(&self) -> Vec<String> {
        let mut state = self.js_end.completions.state.lock();
        state.texts.pop_front().unwrap_or_default()
    }

    /// Answers a password request. `null`: the function failed, for `reason`, a text without a secret, if it is known.
    #[napi]
    pub fn answer_password(&self, request: u32, password: Option<String>, reason: Option<String>) {
        let waiting = self
            .js_end
            .completions
            .state
            .lock()
            .password_requests
            .remove(&request);
        if let Some(waiting) = waiting {
            // The connect may have given up.
            let _ = waiting.send(password.map(Secret::new).ok_or(reason));
        }
    }
}

impl CompletionBuffer {
    pub(super) fn js_end(&self) -> &Rc<JsEnd> {
        &self.js_end
    }
}

/// Converts the completions of one limiter to events.
pub(super) struct JsSink {
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) limiter: u32,
    pub(super) rules: Rules,
    /// Keeps the wake-up alive as long as completions may come.
    pub(super) _wake: Option<Arc<Wake>>,
    pub(super) anomaly_target: Arc<AnomalyTarget>,
}

impl JsSink {
    /// The event for an anomaly of an id, unless it only counts.
    pub(super) fn anomaly_event(
        &self,
        id: Id,
        limit: Limit,
        label: Label,
        requests: u32,
    ) -> Option<Event> {
        let rule = self.rules.anomaly?;
        let logged = match self.anomaly_target.get() {
            AnomalyTarget::NONE => return None,
            AnomalyTarget::LISTENER => false,
            // An anomaly that is not logged costs no more than this: a flood of ids may report thousands a second.
            _ => match ANOMALY_LOG.lock().record(Instant::now()) {
                AnomalyLogEntry::Logged => true,
                AnomalyLogEntry::First => return Some(Event::UnloggedAnomalies),
                AnomalyLogEntry::Counted => return None,
            },
        };
        Some(Event::Anomaly {
            limiter: self.limiter,
            id,
            label,
            requests,
            threshold: rule.threshold(limit),
            logged,
        })
    }

    /// The event for a completion, if JavaScript hears of it.
    fn event(&self, completion: Completion) -> Option<Event> {
        Some(match completion {
            Completion::Decided { request_id, answer } => Event::Decided {
                slot: request_id.slot,
                answer,
            },
            Completion::Failed { request_id, error } => Event::Failed {
                slot: request_id.slot,
                error,
            },
            Completion::Anomaly {
                request_id,
                id,
                limit,
                requests,
            } => return self.anomaly_event(id, limit, request_id.label, requests),
            Completion::Flushed { request_id } => Event::Flushed {
                slot: request_id.slot,
            },
            Completion::StoreChanged(change) => Event::StoreChanged {
                limiter: self.limiter,
                change,
            },
        })
    }

    /// Delivers completions, in order. Returns the wake-up that is due.
    pub(super) fn deliver(
        &self,
        completions: impl Iterator<Item = Completion>,
    ) -> Option<Arc<Wake>> {
        let events = completions.filter_map(|completion| self.event(completion));
        self.completions.add(events)
    }
}
