//! A JavaScript function bound to a Rust value, for the calls that every check makes.
//!
//! What napi-derive generates for a method checks the receiver's type tag, unwraps it and allocates each text: 1.4 us a
//! call with one text and three numbers, where this takes 0.2 us on the same machine.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue, Unknown};
use napi::{Env, Result, check_status, sys};

/// The most arguments a bound function takes.
const MAX_ARGUMENTS: usize = 4;

/// The arguments of a call. Only valid during the call.
pub(super) struct Arguments {
    env: sys::napi_env,
    arguments: [sys::napi_value; MAX_ARGUMENTS],
}

impl Arguments {
    /// The environment, which is the caller's thread.
    pub(super) fn env(&self) -> sys::napi_env {
        self.env
    }

    /// The argument at `index` as a 32-bit integer. Anything else is converted as JavaScript does, or 0.
    pub(super) fn number(&self, index: usize) -> u32 {
        let mut number = 0;
        // SAFETY: the environment and the argument are those of the current call, and `number` outlives it. On an error
        // `number` is left as it is.
        unsafe { sys::napi_get_value_uint32(self.env, self.arguments[index], &mut number) };
        number
    }

    /// The argument at `index`, a string, as UTF-8 in `buffer`: truncated if it does not fit. Anything else is empty.
    pub(super) fn text<'a>(&self, index: usize, buffer: &'a mut [u8]) -> &'a str {
        let mut length = 0;
        // SAFETY: as in `number`; at most `buffer.len()` bytes are written, the last of them a NUL, and `length` is
        // without it.
        unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.arguments[index],
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut length,
            );
        }
        // A lone surrogate would have been replaced; JavaScript has refused those.
        str::from_utf8(&buffer[..length]).unwrap_or_default()
    }
}

/// A function for JavaScript, which gets the number that it returns.
pub(super) trait NativeFn: 'static {
    /// Handles a call.
    fn call(&self, call: &Arguments) -> u32;
}

/// A JavaScript function that calls `function`, which lives as long as it.
pub(super) fn to_js<T: NativeFn>(env: Env, function: Rc<T>) -> Result<Unknown<'static>> {
    let data = Rc::into_raw(function).cast_mut().cast::<c_void>();
    let mut value = ptr::null_mut();
    // SAFETY: `data` is an `Rc<T>` given away, which `release::<T>` takes back when the function is collected or the
    // environment ends; until then `enter::<T>` may borrow it.
    unsafe {
        let created = sys::napi_create_function(
            env.raw(),
            ptr::null(),
            0,
            Some(enter::<T>),
            data,
            &mut value,
        );
        let owned = match created {
            sys::Status::napi_ok => sys::napi_add_finalizer(
                env.raw(),
                value,
                data,
                Some(release::<T>),
                ptr::null_mut(),
                ptr::null_mut(),
            ),
            refused => refused,
        };
        if owned != sys::Status::napi_ok {
            drop(Rc::from_raw(data.cast::<T>()));
        }
        check_status!(owned, "the function could not be made")?;
        Unknown::from_napi_value(env.raw(), value)
    }
}

// SAFETY: called by Node alone, as a finalizer, with what `to_js` gave it.
unsafe extern "C" fn release<T>(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: the `Rc` that `to_js` gave away, taken back once.
    drop(unsafe { Rc::from_raw(data.cast::<T>()) });
}

// SAFETY: called by Node alone, as a callback, with what `to_js` gave it.
unsafe extern "C" fn enter<T: NativeFn>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut arguments = [ptr::null_mut(); MAX_ARGUMENTS];
    let mut count = MAX_ARGUMENTS;
    let mut data = ptr::null_mut();
    // SAFETY: Node calls this with its own environment and info; `count` is the length of `arguments`, which it fills
    // up with `undefined`.
    unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            &mut data,
        );
    }
    // SAFETY: the `Rc<T>` that `to_js` tied to this function, which is alive while it is being called.
    let function = unsafe { &*data.cast::<T>() };
    let call = Arguments { env, arguments };
    // A panic must not unwind into Node.
    match catch_unwind(AssertUnwindSafe(|| function.call(&call))) {
        Ok(number) => {
            let mut value = ptr::null_mut();
            // SAFETY: as above; a refusal leaves null, which JavaScript sees as undefined.
            unsafe { sys::napi_create_uint32(env, number, &mut value) };
            value
        }
        Err(_) => {
            let message = c"the limiter panicked; its message is on standard error";
            // SAFETY: as above; Node copies the text.
            unsafe { sys::napi_throw_error(env, ptr::null(), message.as_ptr()) };
            ptr::null_mut()
        }
    }
}
