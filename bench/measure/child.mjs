// The process in which a contender is measured; no other contender is loaded in it.

// The parent has ended: the measurement is no longer needed.
process.once('disconnect', () => process.exit(1));

const { kind, ...job } = JSON.parse(process.argv[2]);
try {
  const { measure } = await import(`./${kind}.mjs`);
  reply({ figures: await measure(job) }, 0);
} catch (error) {
  reply({ error: String(error?.stack ?? error) }, 1);
}

// Explicitly: a contender may keep the process alive.
function reply(message, code) {
  process.send(message, () => process.exit(code));
}
