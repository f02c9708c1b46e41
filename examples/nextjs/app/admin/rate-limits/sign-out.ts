// Signing out removes the cookie from every tab of the browser, but open pages stay open: each must be notified.

const CHANNEL = 'rate-limit operator signs out';

/** Notifies the pages of this browser, including this one. */
export function announceSignOut(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(null);
  channel.close();
}

/** Returns a function that stops listening. */
export function onSignOut(listener: () => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = () => listener();
  return () => channel.close();
}
