// Signing out takes the cookie from every tab of the browser, but what a tab has open stays open: each must be told.

const CHANNEL = 'rate-limit operator signs out';

/** To the pages of this browser, this one among them. */
export function tellSignOut(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(null);
  channel.close();
}

/** Returns what ends the listening. */
export function onSignOut(listener: () => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = () => listener();
  return () => channel.close();
}
