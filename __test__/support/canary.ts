/** Part of every canary, and of nothing else: characters that no encoding of a URL or of JSON changes. */
const MARKER = 'Zaunkoenig7Fink';

/**
 * A password that must not be seen anywhere: one that a URL has to escape, and long enough that no excerpt of it is
 * without the song.
 */
export const CANARY = `${MARKER}/+ %@:?#"'\\=ü&${MARKER}`;

/** What a text must not contain: the song by itself and as base64 and hexadecimal digits would have it. */
export const FORMS: readonly string[] = [
  MARKER,
  Buffer.from(MARKER).toString('hex'),
  [...Buffer.from(MARKER)].join(', '),
  ...[0, 1, 2].map(base64At),
];

/** The song in base64, where so many bytes stand before its group of three: less the digits that its neighbours share. */
function base64At(before: number): string {
  const digits = Buffer.from('x'.repeat(before) + MARKER).toString('base64');
  const shared = Math.ceil((before * 8) / 6);
  const own = Math.floor(((before + MARKER.length) * 8) / 6);
  return digits.slice(shared, own);
}

/** The form of the canary that `text` contains, if it does. */
export function leakedForm(text: string): string | undefined {
  const lower = text.toLowerCase();
  return FORMS.find((form) => lower.includes(form.toLowerCase()));
}
