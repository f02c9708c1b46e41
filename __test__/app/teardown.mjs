import { rmSync } from 'node:fs';

export default function teardown() {
  rmSync(process.env.RATE_LIMIT_APPS, { recursive: true, force: true });
}
