// The application's record of an outage, and its log lines: when the store became unavailable and when it was back.

import { checkCreatorRateLimit, close, configure } from '@huntaze/rate-limit';
import { processState } from '@/lib/admin/process-state';
import { listenForOutages } from '@/lib/admin/outages';
import { freePort, type RedisServer, startRedisOn } from '../../support/redis';
import { freshId } from '../../support/stores';
import { HANG_MS, until } from '../../support/time';

let port: number;
let redis: RedisServer | undefined;
let warn: jest.SpyInstance;

beforeAll(async () => {
  port = await freePort();
  warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
  configure({ redis: { host: '127.0.0.1', port }, onStoreError: 'open', timeoutMs: HANG_MS });
  listenForOutages();
});

afterAll(async () => {
  await close();
  await redis?.stop();
  warn.mockRestore();
});

/** Makes requests until it has seen `count` changes. */
async function changes(count: number): Promise<void> {
  await until(() => {
    void checkCreatorRateLimit(freshId());
    return processState.storeChanges.length === count;
  });
}

test('an outage is two entries of the history, newest first, and two log lines', async () => {
  await changes(1);
  redis = await startRedisOn(port);
  await changes(2);
  expect(processState.storeChanges).toEqual([
    {
      number: 2,
      at: expect.any(Number),
      state: 'back',
      limiter: 'creator',
      policy: 'open',
      durationMs: expect.any(Number),
      decided: expect.any(Number),
    },
    {
      number: 1,
      at: expect.any(Number),
      state: 'away',
      limiter: 'creator',
      policy: 'open',
      code: 'ECONNREFUSED',
      shard: `127.0.0.1:${port}`,
    },
  ]);
  const [back] = processState.storeChanges;
  expect(warn.mock.calls).toEqual([
    [`[AI Rate Limit] Redis is away for creator: ECONNREFUSED at 127.0.0.1:${port}, policy open`],
    [
      `[AI Rate Limit] Redis is back for creator after ${back!.durationMs} ms: policy open, ${back!.decided} checks meanwhile`,
    ],
  ]);
});
