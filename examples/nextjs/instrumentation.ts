/** Next.js calls it once, when a server starts; not in a build. */
export async function register(): Promise<void> {
  // The addon is Node's alone. The condition is inlined, so that a bundle for the edge has no trace of it.
  if (process.env.NEXT_RUNTIME !== 'nodejs') return;
  if (process.env.NEXT_PHASE === 'phase-production-build') return;
  try {
    const { startOperations } = await import('./lib/admin/start');
    startOperations();
  } catch (error) {
    // An application whose limiter cannot even be loaded says so where it is used; the page is no reason not to start.
    console.error('[AI Rate Limit] The operator page has no figures', error);
  }
}
