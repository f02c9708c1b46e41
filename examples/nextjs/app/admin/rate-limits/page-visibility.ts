/** Long enough for a brief switch to another tab. */
const HIDDEN_MS = 10_000;

/**
 * Reports when the page has been hidden for a while, and when it is visible again. Over HTTP/1.1 a browser opens six
 * connections to a site for all its tabs: if each tab held a stream, the seventh request would wait without end.
 */
export function whileSeen({ hidden, seen }: { hidden: () => void; seen: () => void }): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let parked = false;

  const changed = () => {
    clearTimeout(timer);
    if (document.visibilityState === 'hidden') {
      if (parked) return;
      timer = setTimeout(() => {
        parked = true;
        hidden();
      }, HIDDEN_MS);
    } else if (parked) {
      parked = false;
      seen();
    }
  };

  document.addEventListener('visibilitychange', changed);
  // A tab can be opened in the background.
  changed();
  return () => {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', changed);
  };
}
