// Where a contender is measured: a process of its own, in which nothing of another one is loaded.

// Whoever ordered the measurement is gone: so is the need for it.
process.once('disconnect', () => process.exit(1));

const { kind, ...job } = JSON.parse(process.argv[2]);
try {
  const { measure } = await import(`./${kind}.mjs`);
  answer({ figures: await measure(job) }, 0);
} catch (error) {
  answer({ error: String(error?.stack ?? error) }, 1);
}

// Not left to itself: a contender may keep the process alive.
function answer(message, code) {
  process.send(message, () => process.exit(code));
}
