// I21: the password of a run appears neither in the output of a process nor in any text that it could print, log or
// send.

import { randomBytes } from 'node:crypto';

/** A text that occurs in no other text; only letters and digits, so that no escaping hides it. */
export function canary() {
  return `canary${randomBytes(16).toString('hex')}`;
}

/** @param texts `[where, text]` */
export function secretLeaks(password, texts) {
  const forms = [
    password,
    Buffer.from(password).toString('base64').replace(/=+$/, ''),
    Buffer.from(password).toString('hex'),
  ];
  const leak = texts.find(([, text]) => forms.some((form) => text.includes(form)));
  if (leak === undefined) return [];
  const [where, text] = leak;
  return [`the password is in ${where}: ${text.replaceAll(password, '<password>').slice(0, 200)}`];
}
