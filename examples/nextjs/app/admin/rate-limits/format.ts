// Numbers and times as text. One locale for everyone: an operator compares them with logs and with colleagues.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const minute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

export const count = (n: number) => whole.format(n);

export const rate = (n: number) => (n === 0 || n >= 100 ? whole : tenths).format(n);

export const ms = (n: number | null) => (n === null ? '–' : `${(n < 10 ? hundredths : tenths).format(n)} ms`);

export const clockTime = (unixMs: number | string) => clock.format(new Date(unixMs));

export const minuteTime = (unixMs: number) => minute.format(unixMs);

/** `59 min 12 s`, `12 s`: the two largest nonzero units. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(Math.ceil(milliseconds / 1000), 0);
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  const from = parts.findIndex(([n]) => n > 0);
  if (from === -1) return '0 s';
  return parts
    .slice(from, from + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ');
}

// Control characters, direction marks and invisible characters.
const DECEPTIVE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu;

/** A displayable id: an id is untrusted text and can contain characters that hide or reorder its neighbours. */
export function printable(id: string): string {
  return id.replace(DECEPTIVE, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}
