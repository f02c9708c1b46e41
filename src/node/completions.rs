//! The way back to JavaScript: one buffer and one wake-up for all that finished meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use napi::bindgen_prelude::{Float64Array, Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status, sys};
use napi_derive::napi;
use tokio::sync::oneshot;

use super::bound::{Call, Callee, bind};
use super::record::{Event, RECORD_FIELDS, write};
use super::runtime::IoThread;
use crate::store::redis::Secret;

/// Wakes a copy of the face: a call without arguments. Weak: it does not keep the process alive by itself.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Between two turns of JavaScript that drain, while there is more: a timer can do no less.
const PAUSE: Duration = Duration::from_millis(1);

/// Room that is kept for the next burst, in events.
const KEPT_EVENTS: usize = 1024;

/// What finished and has not been fetched. Shared with the I/O thread.
pub struct Completions {
    state: Mutex<State>,
    wake: Wake,
}

/// What a password function gave, or why it gave nothing, where that may be told.
pub(super) type Given = std::result::Result<Secret, Option<String>>;

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The text that belongs to the records last written, in their order.
    texts: VecDeque<Vec<String>>,
    /// A wake-up is under way. It is cleared before the buffer is emptied, under the same lock: an event that comes
    /// after that wakes JavaScript anew, one that came before is in the buffer.
    woken: bool,
    /// The connects that wait for a password from JavaScript.
    passwords: HashMap<u32, oneshot::Sender<Given>>,
    next_password: u32,
}

impl Completions {
    /// Adds events. The first after a drain wakes JavaScript; the others ride along.
    pub(super) fn push(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self.lock();
        state.events.extend(events);
        let wake = !state.woken && !state.events.is_empty();
        state.woken |= wake;
        drop(state);
        if wake {
            // Refused only while the environment goes down, and then nobody waits any more.
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Says that a wake-up is under way, if there is something left to drain: what comes meanwhile rides along.
    fn hold_back(&self) -> bool {
        let mut state = self.lock();
        state.woken = !state.events.is_empty();
        state.woken
    }

    /// Asks JavaScript for the password of limiter `limiter`; `refused`: the server has just refused the last one.
    pub(super) fn ask_password(&self, limiter: u32, refused: bool) -> oneshot::Receiver<Given> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        // Connects that gave up meanwhile.
        state.passwords.retain(|_, waiting| !waiting.is_closed());
        let ticket = state.next_password;
        state.next_password = ticket.wrapping_add(1);
        state.passwords.insert(ticket, sender);
        drop(state);
        self.push([Event::PasswordAsked {
            limiter,
            ticket,
            refused,
        }]);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) struct Post {
    completions: Arc<Completions>,
    mailbox: Mailbox,
    /// Requests that JavaScript waits for. While there are any, the process stays alive.
    in_flight: Cell<u32>,
}

impl Post {
    pub(super) fn completions(&self) -> &Arc<Completions> {
        &self.completions
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// One more request is in flight.
    pub(super) fn started(&self, env: sys::napi_env) {
        let before = self.in_flight.replace(self.in_flight.get() + 1);
        if before == 0 {
            // SAFETY: this is the environment's own thread, see `hold`.
            self.hold(|wake| unsafe { sys::napi_ref_threadsafe_function(env, wake) });
        }
    }

    fn finished(&self, env: sys::napi_env, count: u32) {
        let left = self.in_flight.get().saturating_sub(count);
        let before = self.in_flight.replace(left);
        if before > 0 && left == 0 {
            // SAFETY: as in `started`.
            self.hold(|wake| unsafe { sys::napi_unref_threadsafe_function(env, wake) });
        }
    }

    /// Changes whether the wake-up function keeps the process alive. Refused only while the environment goes down, and
    /// then nothing does. The lock held meanwhile keeps the function from being released.
    fn hold(&self, change: impl FnOnce(sys::napi_threadsafe_function) -> sys::napi_status) {
        let handle = &self.completions.wake.handle;
        handle.with_read_aborted(|aborted| {
            if !aborted {
                change(handle.get_raw());
            }
        });
    }
}

impl Callee for Post {
    /// Writes as many records as the mailbox holds, oldest first, and returns how many. Fewer than it holds: that is all.
    fn call(&self, call: &Call) -> u32 {
        let mut state = self.completions.lock();
        state.woken = false;
        let mut finished = 0;
        let written = self.mailbox.fill(|mailbox| {
            let mut written = 0;
            for record in mailbox.chunks_exact_mut(RECORD_FIELDS) {
                let Some(event) = state.events.pop_front() else {
                    break;
                };
                finished += u32::from(event.settles());
                if let Some(text) = write(event, record) {
                    state.texts.push_back(text);
                }
                written += 1;
            }
            written
        });
        if state.events.is_empty() {
            // What a burst has left behind.
            state.events.shrink_to(KEPT_EVENTS);
            state.texts.shrink_to(KEPT_EVENTS);
        }
        drop(state);
        self.finished(call.env(), finished);
        written
    }
}

/// One copy of the JavaScript face: what finished for it, and whether it keeps the process alive.
#[napi]
pub struct CompletionBuffer {
    post: Rc<Post>,
}

#[napi]
impl CompletionBuffer {
    /// `mailbox` is where records are written, several of `RECORD_FIELDS` numbers; `wake` is called without arguments when
    /// there is something to drain.
    #[napi(constructor)]
    pub fn new(mailbox: Float64Array, wake: Function<(), ()>) -> Result<Self> {
        let wake = wake.build_threadsafe_function().weak::<true>().build()?;
        Ok(Self {
            post: Rc::new(Post {
                completions: Arc::new(Completions {
                    state: Mutex::default(),
                    wake,
                }),
                mailbox: Mailbox(RefCell::new(mailbox)),
                in_flight: Cell::new(0),
            }),
        })
    }

    /// The function that drains: without arguments, it writes as many records as the mailbox holds and returns how many.
    #[napi]
    pub fn drainer(&self, env: Env) -> Result<Unknown<'static>> {
        bind(env, Rc::clone(&self.post))
    }

    /// Wakes JavaScript in a later turn of its loop, if there is something left to drain. From another thread and a moment
    /// later: a wake-up that comes before this turn is over is served in it.
    #[napi]
    pub fn wake_again(&self) {
        if !self.post.completions.hold_back() {
            return;
        }
        let again = Again(Arc::clone(&self.post.completions));
        if let Some(io) = IoThread::current() {
            io.handle().spawn(async move {
                tokio::time::sleep(PAUSE).await;
                drop(again);
            });
        }
    }

    /// The text of the next record that has one, in the order of the records.
    #[napi]
    pub fn take_text(&self) -> Vec<String> {
        let mut state = self.post.completions.lock();
        state.texts.pop_front().unwrap_or_default()
    }

    /// The answer to a password record; `null` when the function failed, and then perhaps why: words without a secret.
    #[napi]
    pub fn answer_password(&self, ticket: u32, password: Option<String>, reason: Option<String>) {
        let waiting = self.post.completions.lock().passwords.remove(&ticket);
        if let Some(waiting) = waiting {
            // The connect may have given up meanwhile.
            let _ = waiting.send(password.map(Secret::new).ok_or(reason));
        }
    }
}

/// Wakes JavaScript when dropped: also by a thread that ends before it gets round to it.
struct Again(Arc<Completions>);

impl Drop for Again {
    fn drop(&mut self) {
        self.0
            .wake
            .call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl CompletionBuffer {
    pub(super) fn post(&self) -> &Rc<Post> {
        &self.post
    }
}
