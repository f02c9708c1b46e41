const { binding } = require('../lib/native.js');
const { RECORD_LENGTH } = require('../lib/abi.js');

const bufferOver = (length: number) => new binding.CompletionBuffer(new Float64Array(length), () => {});

test('the mailbox holds whole records', () => {
  for (const records of [1, 2, 64]) expect(() => bufferOver(records * RECORD_LENGTH)).not.toThrow();
});

test.each([0, 1, RECORD_LENGTH - 1, RECORD_LENGTH + 1])('a mailbox of %i numbers is refused', (length) => {
  expect(() => bufferOver(length)).toThrow(`the mailbox's length must be a multiple of ${RECORD_LENGTH}`);
});
