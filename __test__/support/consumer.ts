import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { devDependencies } from '../../package.json';

export const root = join(__dirname, '..', '..');

/**
 * A folder outside the repository with an application that uses the package, on a machine with node and without Rust.
 */
export class Consumer {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'rate-limit-consumer-')));
  readonly #env: NodeJS.ProcessEnv;

  constructor() {
    cpSync(join(root, '__test__', 'fixtures', 'consumer'), this.directory, { recursive: true });
    // PATH contains node and npm alone. The variables of npm and Jest and a Redis of this machine are removed.
    const bin = join(this.directory, '.bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, 'node'));
    symlinkSync(realpathSync(onPath('npm')), join(bin, 'npm'));
    const foreign =
      /^(npm_(package|lifecycle|command|config_local_prefix)|JEST_|NODE_|NEXT_|REDIS|ELASTICACHE|CARGO|RUST|PATH$)/;
    const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name) || name === 'NODE_EXTRA_CA_CERTS');
    this.#env = { ...Object.fromEntries(kept), NODE_ENV: 'test', PATH: bin };
  }

  /** Installs the repository's tools in the versions of its lock file: npm has them in its cache. */
  installTools(): void {
    writeFileSync(
      join(this.directory, 'package.json'),
      JSON.stringify({ name: 'consumer', private: true, devDependencies }),
    );
    cpSync(join(root, 'package-lock.json'), join(this.directory, 'package-lock.json'));
    // Install scripts need a shell, and none of the tools needs its script.
    this.run('npm', 'ci', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund');
  }

  /** Runs a program there and returns its whole output; an Error with that output if it fails. */
  run(program: string, ...args: string[]): string {
    try {
      return execFileSync(program, args, {
        cwd: this.directory,
        env: this.#env,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    } catch (error) {
      const { message, stdout = '', stderr = '' } = error as Error & { stdout?: string; stderr?: string };
      throw new Error([message, stdout, stderr].join('\n'), { cause: error });
    }
  }

  /** Runs the program of an installed package. */
  bin(path: string, ...args: string[]): string {
    return this.run(process.execPath, join('node_modules', path), ...args);
  }

  read(path: string): string {
    return readFileSync(join(this.directory, path), 'utf8');
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function onPath(program: string): string {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    try {
      return realpathSync(join(directory, program));
    } catch {
      // Not in this one.
    }
  }
  throw new Error(`${program} is not on the PATH`);
}
