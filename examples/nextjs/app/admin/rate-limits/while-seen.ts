/** Long enough for a look at another tab. */
const HIDDEN_MS = 10_000;

/**
 * Tells when nobody has seen the page for a while, and when somebody does again. Over HTTP/1.1 a browser makes six
 * connections to a site for all its tabs: were each to hold a stream, the seventh request would wait for good.
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
