/** A tab hidden for less than this, such as during a brief switch to another tab, keeps its stream. */
const HIDDEN_MS = 10_000;

/**
 * Reports when the page has been hidden for a while, and when it is visible again. Over HTTP/1.1 a browser opens six
 * connections to a site for all its tabs: if each tab held a stream, the seventh request would wait without end.
 */
export function onVisibilityChange({ hidden, visible }: { hidden: () => void; visible: () => void }): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reportedHidden = false;

  const update = () => {
    clearTimeout(timer);
    if (document.visibilityState === 'hidden') {
      if (reportedHidden) return;
      timer = setTimeout(() => {
        reportedHidden = true;
        hidden();
      }, HIDDEN_MS);
    } else if (reportedHidden) {
      reportedHidden = false;
      visible();
    }
  };

  document.addEventListener('visibilitychange', update);
  // A tab can be opened in the background.
  update();
  return () => {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', update);
  };
}
