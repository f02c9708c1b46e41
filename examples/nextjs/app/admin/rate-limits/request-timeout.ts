const REQUEST_TIMEOUT_MS = 5000;

/** The timeout of every request of the page: fetch itself waits for minutes on a network that drops packets. */
export const requestTimeout = () => AbortSignal.timeout(REQUEST_TIMEOUT_MS);
