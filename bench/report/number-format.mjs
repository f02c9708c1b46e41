// Figures as text, with as many digits as a reader compares.

/** A whole number with three significant digits, such as 68,200. */
export function count(value) {
  if (value === 0) return '0';
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 2);
  return (Math.round(value / unit) * unit).toLocaleString('en');
}

/** Three significant digits; three decimals below 1. */
export function significant(value) {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

/** Two significant digits, for labels close together. */
export function twoDigits(value) {
  return value.toFixed(value >= 10 ? 0 : value >= 1 ? 1 : 2);
}

export const micros = (value) => `${significant(value)} us`;

export const millis = (value) => `${significant(value)} ms`;

/** One decimal; "100 %" only for exactly 1. */
export const percent = (share) => `${share === 1 ? 100 : (share * 100).toFixed(1)} %`;

export const bytes = (value) => (value < 1000 ? `${Math.round(value)} B` : `${significant(value / 1000)} KB`);
