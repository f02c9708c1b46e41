/** A part of every canary, and of no other text: characters that no encoding of a URL or of JSON changes. */
const MARKER = 'Zaunkoenig7Fink';

/**
 * A password that must not appear anywhere: it has characters that a URL must escape, and every long excerpt contains
 * the marker.
 */
export const CANARY = `${MARKER}/+ %@:?#"'\\=ü&${MARKER}`;

/** The forms of the marker that no text may contain: plain, as base64 and as hexadecimal digits. */
export const FORMS: readonly string[] = [
  MARKER,
  Buffer.from(MARKER).toString('hex'),
  [...Buffer.from(MARKER)].join(', '),
  ...[0, 1, 2].map(base64At),
];

/**
 * The marker in base64 after `before` bytes of its group of three, without the digits that depend on its neighbours.
 */
function base64At(before: number): string {
  const digits = Buffer.from('x'.repeat(before) + MARKER).toString('base64');
  const shared = Math.ceil((before * 8) / 6);
  const own = Math.floor(((before + MARKER.length) * 8) / 6);
  return digits.slice(shared, own);
}

/** The form of the canary that `text` contains, if any. */
export function leakedForm(text: string): string | undefined {
  const lower = text.toLowerCase();
  return FORMS.find((form) => lower.includes(form.toLowerCase()));
}
