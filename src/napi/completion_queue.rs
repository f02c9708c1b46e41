//! The way back to JavaScript: one buffer and one wake-up for all that finished meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{Float64Array, Function, FunctionRef, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status, sys};
use napi_derive::napi;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::abi::{AnomalyLogEntry, Event, RECORD_LENGTH, write_event};
use super::anomaly_log::{AnomalyTarget, anomaly_log};
use super::credentials::PasswordResult;
use super::io_thread::IoThread;
use super::native_fn::{Arguments, NativeFn, to_js};
use crate::limiter::{Completion, CompletionSink, StoreChange};
use crate::metrics::Label;
use crate::quota::Rules;
use crate::store::redis::Secret;
use crate::store::{Op, Request};

/// Between two turns of JavaScript that drain, while there is more: a timer can do no less.
const DRAIN_INTERVAL: Duration = Duration::from_millis(1);

/// Room that is kept for the next burst, in events.
const RETAINED_CAPACITY: usize = 1024;

/// What finished and has not been fetched. Shared with the I/O thread.
pub struct CompletionQueue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The text that belongs to the records last written, in their order.
    texts: VecDeque<Vec<String>>,
    /// A wake-up is under way. It is cleared before the buffer is emptied, under the same lock: an event that comes
    /// after that wakes JavaScript anew, one that came before is in the buffer.
    wake_pending: bool,
    /// What wakes JavaScript, while somebody holds it. Where nobody does, events wait for the next one.
    wake: Weak<Wake>,
    /// The connects that wait for a password from JavaScript.
    password_requests: HashMap<u32, oneshot::Sender<PasswordResult>>,
    next_password_request: u32,
}

impl CompletionQueue {
    /// Adds events. The first after a drain wakes JavaScript; the others ride along.
    pub(super) fn push(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self.state.lock();
        state.events.extend(events);
        let due = !state.wake_pending && !state.events.is_empty();
        let wake = if due { state.wake.upgrade() } else { None };
        state.wake_pending |= wake.is_some();
        drop(state);
        if let Some(wake) = wake {
            wake.call();
        }
    }

    /// Says that a wake-up is under way, if there is something left to drain: what comes meanwhile rides along.
    fn continue_draining(&self) -> bool {
        let mut state = self.state.lock();
        state.wake_pending = !state.events.is_empty();
        state.wake_pending
    }

    /// Asks JavaScript for the password of limiter `limiter`; `refused`: the server has just refused the last one.
    pub(super) fn request_password(
        &self,
        limiter: u32,
        refused: bool,
    ) -> oneshot::Receiver<PasswordResult> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.wake.strong_count() == 0 {
            // The limiter has been closed, and its connect goes on: nobody is there to ask.
            return receiver;
        }
        // Connects that gave up meanwhile.
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

// (wake)
// What wakes one copy of the JavaScript face: there while somebody may have something to tell it, and no longer.
//
// A test runner that looks for open handles takes each of these for one, even if it keeps no process alive. Who may tell
// something holds it: a limiter over Redis with its tasks, and the requests in flight. The last to let go releases it, on
// whatever thread; Node makes the calls that were queued before that.

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

/// Wakes JavaScript when dropped: also by a thread that ends before it gets round to it.
pub(super) struct WakeOnDrop(pub(super) Arc<Wake>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// Where records are written for JavaScript to read: its own memory, shared once, so that an answer costs no allocation.
pub struct Mailbox(RefCell<Float64Array>);

impl Mailbox {
    /// Writes into the memory. Only on the JavaScript thread, inside a call from it.
    pub(super) fn fill<R>(&self, fill: impl FnOnce(&mut [f64]) -> R) -> R {
        let mut array = self.0.borrow_mut();
        // SAFETY: the face made the array, keeps it to itself and never detaches or resizes it; this runs inside a call
        // from its thread, so no JavaScript reads it meanwhile, and the borrow above rules out a second writer.
        fill(unsafe { array.as_mut() })
    }
}

/// The JavaScript thread's end of the way back.
pub(super) struct JsEnd {
    completions: Arc<CompletionQueue>,
    mailbox: Mailbox,
    /// What wakes JavaScript calls it.
    callback: FunctionRef<(), ()>,
    /// Requests that JavaScript waits for. While there are any, the process stays alive.
    in_flight: Cell<u32>,
    /// Held while there are any.
    keep_alive: RefCell<Option<Arc<Wake>>>,
}

impl JsEnd {
    pub(super) fn completions(&self) -> &Arc<CompletionQueue> {
        &self.completions
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// What wakes JavaScript, made where there is none. What was to be told meanwhile wakes it at once.
    pub(super) fn wake(&self, env: sys::napi_env) -> Result<Arc<Wake>> {
        if let Some(wake) = self.completions.state.lock().wake.upgrade() {
            return Ok(wake);
        }
        // Not under the lock: to make it runs the application's async_hooks.
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
        // Refused only while the environment goes down, and then nobody waits.
        if before == 0
            && let Ok(wake) = self.wake(env)
        {
            // SAFETY: this is the environment's own thread, see `Wake::change_reference`.
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
            // SAFETY: as in `started`.
            wake.change_reference(|raw| unsafe { sys::napi_unref_threadsafe_function(env, raw) });
        }
    }
}

impl NativeFn for JsEnd {
    /// Writes as many records as the mailbox holds, oldest first, and returns how many. Fewer than it holds: that is all.
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
            // What a burst has left behind.
            state.events.shrink_to(RETAINED_CAPACITY);
            state.texts.shrink_to(RETAINED_CAPACITY);
        }
        drop(state);
        self.requests_finished(call.env(), finished);
        written
    }
}

/// One copy of the JavaScript face: what finished for it, and whether it keeps the process alive.
#[napi]
pub struct CompletionBuffer {
    js_end: Rc<JsEnd>,
}

#[napi]
impl CompletionBuffer {
    /// `mailbox` is where records are written, several of [`RECORD_LENGTH`] numbers; `wake` is called without arguments when
    /// there is something to drain.
    #[napi(constructor)]
    pub fn new(mailbox: Float64Array, wake: Function<(), ()>) -> Result<Self> {
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

    /// The function that drains: without arguments, it writes as many records as the mailbox holds and returns how many.
    #[napi]
    pub fn drainer(&self, env: Env) -> Result<Unknown<'static>> {
        to_js(env, Rc::clone(&self.js_end))
    }

    /// Wakes JavaScript in a later turn of its loop, if there is something left to drain. From another thread and a moment
    /// later: a wake-up that comes before this turn is over is served in it.
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
            // The embedded store has none. Where the system grants no thread either, it is in this turn.
            None => drop(thread::Builder::new().spawn(move || {
                thread::sleep(DRAIN_INTERVAL);
                drop(wake);
            })),
        }
        Ok(())
    }

    /// The text of the next record that has one, in the order of the records.
    #[napi]
    pub fn take_text(&self) -> Vec<String> {
        let mut state = self.js_end.completions.state.lock();
        state.texts.pop_front().unwrap_or_default()
    }

    /// The answer to a password record; `null` when the function failed, and then perhaps why: words without a secret.
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
            // The connect may have given up meanwhile.
            let _ = waiting.send(password.map(Secret::new).ok_or(reason));
        }
    }
}

impl CompletionBuffer {
    pub(super) fn js_end(&self) -> &Rc<JsEnd> {
        &self.js_end
    }
}

/// What tells one request from another on its way back.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    /// The face's number for the promise.
    pub(super) slot: u32,
    /// JavaScript's label for the request, which metrics and anomalies carry.
    pub(super) label: Label,
}

/// Where the answers of one limiter go.
pub struct JsSink {
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) limiter: u32,
    pub(super) rules: Rules,
    /// Held alone: what delivers over it may have something to tell.
    pub(super) _wake: Option<Arc<Wake>>,
    /// Where its anomalies go.
    pub(super) anomaly_target: Arc<AnomalyTarget>,
}

impl JsSink {
    /// The anomaly that `request` reports, if it does.
    pub(super) fn anomaly_event(
        &self,
        request: &Request,
        label: Label,
        requests: u32,
    ) -> Option<Event> {
        let rule = self.rules.anomaly?;
        let logged = match self.anomaly_target.0.load(Ordering::Relaxed) {
            AnomalyTarget::NONE => return None,
            AnomalyTarget::LISTENER => false,
            // What is not logged costs no more than this: a flood of ids may report thousands a second.
            _ => match anomaly_log().record(Instant::now()) {
                AnomalyLogEntry::Logged => true,
                AnomalyLogEntry::First => return Some(Event::UnloggedAnomalies),
                AnomalyLogEntry::Counted => return None,
            },
        };
        Some(Event::Anomaly {
            limiter: self.limiter,
            id: request.id.clone(),
            label,
            requests,
            threshold: rule.threshold(request.limit),
            logged,
        })
    }
}

impl CompletionSink for Arc<JsSink> {
    type RequestId = RequestId;

    fn label(request: &RequestId) -> Label {
        request.label
    }

    fn complete(&self, answers: Vec<Completion<'_, RequestId>>) {
        let mut events = Vec::with_capacity(answers.len());
        for (request, RequestId { slot, label }, answer) in answers {
            // Nobody waits for a count of denials; only what it reports is of interest.
            let has_waiter = !matches!(request.op, Op::Denied(_));
            match answer {
                Ok(answer) => {
                    if has_waiter {
                        events.push(Event::Decided { slot, answer });
                    }
                    let anomaly = answer.outcome.count.anomaly();
                    events.extend(anomaly.and_then(|n| self.anomaly_event(request, label, n)));
                }
                Err(error) if has_waiter => events.push(Event::Failed { slot, error }),
                Err(_) => {}
            }
        }
        self.completions.push(events);
    }

    fn flushed(&self, request: RequestId) {
        self.completions
            .push([Event::Flushed { slot: request.slot }]);
    }

    fn store_changed(&self, change: StoreChange) {
        self.completions.push([Event::StoreChanged {
            limiter: self.limiter,
            change,
        }]);
    }
}
