import { execFileSync } from 'node:child_process';
import { root } from './consumer';

export interface Platform {
  readonly name: string;
  readonly target: string;
  readonly npm: { readonly os: string[]; readonly cpu: string[]; readonly libc?: string[] };
}

// The scripts are ES modules, which Jest does not load: a separate process prints their exports.
const script = `
  import { hostPlatform, platforms } from './scripts/platforms.mjs';
  console.log(JSON.stringify({ host: hostPlatform(), platforms }));`;

/** Every platform with a binary, and that of this machine. */
export const { host, platforms }: { host: Platform; platforms: Platform[] } = JSON.parse(
  execFileSync(process.execPath, ['--input-type=module', '--eval', script], { cwd: root, encoding: 'utf8' }),
);
