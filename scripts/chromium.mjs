// A Chromium, or a Chrome, for the tests of the pages: installed if it is missing.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptInstall, isRootOnDebian } from './apt.mjs';
import { Failure, runIfMain, output } from './run.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const ON_MACOS = ['Chromium', 'Google Chrome'].map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`);

/** Returns its path. `CHROMIUM` selects another. */
export function chromium() {
  let found = find();
  if (found === undefined && isRootOnDebian()) {
    aptInstall('chromium');
    found = find();
  }
  if (found === undefined) throw new Failure(`chromium is missing: ${installHint()}`);
  const version = output(found, ['--version']);
  if (version === undefined) throw new Failure(`${found} does not start: ${installHint()}`);
  console.log(version);
  return found;
}

function find() {
  const named = process.env.CHROMIUM;
  if (named) return named;
  const directories = (process.env.PATH ?? '').split(delimiter);
  const paths = directories.flatMap((directory) => NAMES.map((name) => join(directory, name)));
  // Ubuntu's chromium-browser is a script that asks for a snap if there is none.
  return [...paths, ...ON_MACOS].find((path) => existsSync(path) && output(path, ['--version']) !== undefined);
}

function installHint() {
  const elsewhere = 'or set CHROMIUM to a Chromium or Chrome';
  if (process.platform === 'darwin') return `brew install --cask chromium, ${elsewhere}`;
  if (existsSync('/sbin/apk')) return `apk add chromium, ${elsewhere}`;
  if (existsSync('/usr/bin/dnf')) return `sudo dnf install chromium, ${elsewhere}`;
  return `sudo apt-get install chromium, ${elsewhere}`;
}

await runIfMain(import.meta.url, chromium);
