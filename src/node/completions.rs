//! The way back to JavaScript: one buffer and one wake-up for all that finished meanwhile.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Float64Array, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status, check_status, sys};
use napi_derive::napi;
use tokio::sync::oneshot;

use super::record::{Event, RECORD_FIELDS, write};
use crate::store::redis::Secret;

/// Wakes a copy of the face: a call without arguments. Weak: it does not keep the process alive by itself.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What finished and has not been fetched. Shared with the I/O thread.
pub struct Completions {
    state: Mutex<State>,
    wake: Wake,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The text that belongs to the records last written, in their order.
    texts: VecDeque<Vec<String>>,
    /// A wake-up is under way. It is cleared before the buffer is emptied, under the same lock: an event that comes
    /// after that wakes JavaScript anew, one that came before is in the buffer.
    woken: bool,
    /// The connects that wait for a password from JavaScript.
    passwords: HashMap<u32, oneshot::Sender<Option<Secret>>>,
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

    /// Asks JavaScript for the password of limiter `limiter`. `None` comes back when the function failed.
    pub(super) fn ask_password(&self, limiter: u32) -> oneshot::Receiver<Option<Secret>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        // Connects that gave up meanwhile.
        state.passwords.retain(|_, waiting| !waiting.is_closed());
        let ticket = state.next_password;
        state.next_password = ticket.wrapping_add(1);
        state.passwords.insert(ticket, sender);
        drop(state);
        self.push([Event::PasswordAsked { limiter, ticket }]);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where records are written for JavaScript to read: its own memory, shared once, so that an answer costs no allocation.
#[derive(Clone)]
pub struct Mailbox(Rc<RefCell<Float64Array>>);

impl Mailbox {
    /// Writes into the memory. Only on the JavaScript thread, inside a call from it.
    pub(super) fn fill<R>(&self, fill: impl FnOnce(&mut [f64]) -> R) -> R {
        let mut array = self.0.borrow_mut();
        // SAFETY: the face made the array, keeps it to itself and never detaches or resizes it; this runs inside a call
        // from its thread, so no JavaScript reads it meanwhile, and the borrow above rules out a second writer.
        fill(unsafe { array.as_mut() })
    }
}

/// One copy of the JavaScript face: its buffer, and whether it keeps the process alive.
#[napi]
pub struct CompletionBuffer {
    completions: Arc<Completions>,
    mailbox: Mailbox,
}

#[napi]
impl CompletionBuffer {
    /// `mailbox` is where `drain` writes records, several of `RECORD_FIELDS` numbers; `wake` is called without arguments
    /// when there is something to drain.
    #[napi(constructor)]
    pub fn new(mailbox: Float64Array, wake: Function<(), ()>) -> Result<Self> {
        let wake = wake.build_threadsafe_function().weak::<true>().build()?;
        Ok(Self {
            completions: Arc::new(Completions {
                state: Mutex::default(),
                wake,
            }),
            mailbox: Mailbox(Rc::new(RefCell::new(mailbox))),
        })
    }

    /// Keeps the process alive: the first check is in flight.
    #[napi]
    pub fn hold(&self, env: Env) -> Result<()> {
        let handle = &self.completions.wake.handle;
        handle.with_read_aborted(|aborted| {
            if aborted {
                return Ok(());
            }
            // SAFETY: on the environment's own thread, and the lock held here keeps the function from being released.
            check_status!(unsafe { sys::napi_ref_threadsafe_function(env.raw(), handle.get_raw()) })
        })
    }

    /// Lets the process end: no check is in flight.
    #[napi]
    pub fn release(&self, env: Env) -> Result<()> {
        let handle = &self.completions.wake.handle;
        handle.with_read_aborted(|aborted| {
            if aborted {
                return Ok(());
            }
            // SAFETY: as in `hold`.
            check_status!(unsafe {
                sys::napi_unref_threadsafe_function(env.raw(), handle.get_raw())
            })
        })
    }

    /// Writes as many records as the mailbox holds, oldest first, and returns how many. Fewer than it holds: that is all.
    #[napi(catch_unwind)]
    pub fn drain(&self) -> u32 {
        let mut state = self.completions.lock();
        state.woken = false;
        self.mailbox.fill(|mailbox| {
            let mut written = 0;
            for record in mailbox.chunks_exact_mut(RECORD_FIELDS) {
                let Some(event) = state.events.pop_front() else {
                    break;
                };
                if let Some(text) = write(event, record) {
                    state.texts.push_back(text);
                }
                written += 1;
            }
            written
        })
    }

    /// The text of the next record that has one, in the order of the records.
    #[napi]
    pub fn take_text(&self) -> Vec<String> {
        self.completions
            .lock()
            .texts
            .pop_front()
            .unwrap_or_default()
    }

    /// The answer to a password record; `null` when the function failed.
    #[napi]
    pub fn answer_password(&self, ticket: u32, password: Option<String>) {
        let waiting = self.completions.lock().passwords.remove(&ticket);
        if let Some(waiting) = waiting {
            // The connect may have given up meanwhile.
            let _ = waiting.send(password.map(Secret::new));
        }
    }
}

impl CompletionBuffer {
    pub(super) fn completions(&self) -> &Arc<Completions> {
        &self.completions
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}
