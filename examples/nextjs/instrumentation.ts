/** Next.js calls this function once, when a server starts, and not during a build. */
export async function register(): Promise<void> {
  // The addon runs in Node.js only. The condition is inlined, so that a bundle for the edge does not contain it.
  if (process.env.NEXT_RUNTIME !== 'nodejs') return;
  if (process.env.NEXT_PHASE === 'phase-production-build') return;
  try {
    const { startOperatorPage } = await import('./lib/admin/start-operator-page');
    startOperatorPage();
  } catch (error) {
    // If the limiter cannot be loaded, the routes that use it report the error; that is no reason not to start.
    console.error('[AI Rate Limit] The operator page has no figures', error);
  }
}
