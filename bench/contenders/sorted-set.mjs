// The shared parts of the contenders with the sorted-set script: the script, and members that are unique over all
// processes.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

export const script = readFileSync(new URL('sorted-set.lua', import.meta.url), 'utf8');

const prefix = randomBytes(6).toString('base64url');
let members = 0;

export function member() {
  return `${prefix}${(members++).toString(36)}`;
}
