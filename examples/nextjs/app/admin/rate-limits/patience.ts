const PATIENCE_MS = 5000;

/** For every request of the page: fetch by itself waits for minutes on a network that swallows what it is given. */
export const answerInTime = () => AbortSignal.timeout(PATIENCE_MS);
