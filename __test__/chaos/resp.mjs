// Finds the boundaries of Redis replies in a stream, so that a whole one can be repeated or omitted. RESP2 and RESP3.

/** The complete replies at the start of the bytes. */
export function wholeReplies(bytes) {
  const found = [];
  for (let at = 0; ;) {
    const end = endOf(bytes, at);
    if (end === undefined) return found;
    found.push(bytes.subarray(at, end));
    at = end;
  }
}

/** The end of the reply that begins at `at`; undefined while it is incomplete. */
function endOf(bytes, at) {
  const line = bytes.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const after = line + 2;
  const count = Number(bytes.toString('latin1', at + 1, line));
  switch (String.fromCharCode(bytes[at])) {
    case '$':
    case '=':
    case '!':
      if (count < 0) return after;
      return bytes.length < after + count + 2 ? undefined : after + count + 2;
    case '*':
    case '~':
    case '>':
      return items(bytes, after, count);
    case '%':
      return items(bytes, after, 2 * count);
    default:
      return after;
  }
}

function items(bytes, at, count) {
  let end = at;
  for (let i = 0; i < count; i++) {
    end = endOf(bytes, end);
    if (end === undefined) return undefined;
  }
  return end;
}
