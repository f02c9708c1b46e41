// npm run build: the addon for this machine, next to index.js. cargo does nothing when nothing changed.

import { join } from 'node:path';
import { copyLibrary } from './copy-library.mjs';
import { addonFile, hostPlatform } from './platforms.mjs';
import { runIfMain, output, root, run } from './run.mjs';
import { requireCargo } from './rust.mjs';

export function build() {
  requireCargo();
  const platform = hostPlatform();
  run('cargo', ['build', '--release', '--locked', '--lib']);
  const file = join(root, addonFile(platform));
  if (!copyLibrary(join(targetDirectory(), 'release', platform.library), file))
    console.log(`${addonFile(platform)} is up to date`);
}

/** The target folder of cargo: target/, unless the user's configuration sets another. */
export function targetDirectory() {
  const metadata = output('cargo', ['metadata', '--no-deps', '--format-version', '1']);
  return metadata === undefined ? join(root, 'target') : JSON.parse(metadata).target_directory;
}

await runIfMain(import.meta.url, build);
