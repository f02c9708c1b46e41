//! The only room that knows JavaScript. It converts and nothing else: promises, classes and errors are the face's
//! (`index.js`), since a test runner's realm has its own `Promise` and `Error`.

mod completions;
mod constants;
mod limiter;
mod options;
mod record;
mod runtime;
mod stores;
