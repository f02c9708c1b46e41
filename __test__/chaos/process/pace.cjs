'use strict';
// A process that does nothing but sleep: how late it wakes is the machine's doing. Asked (any message), it answers with the
// longest in ms since the last time.

const EVERY_MS = 10;
let longest = 0;
let due = performance.now() + EVERY_MS;

setInterval(() => {
  const at = performance.now();
  longest = Math.max(longest, at - due);
  due = at + EVERY_MS;
}, EVERY_MS);

process.on('message', () => {
  process.send(longest);
  longest = 0;
});
process.on('disconnect', () => process.exit(0));
