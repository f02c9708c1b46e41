// The application's anomaly list: its bound, and each anomaly logged as harmless text.

import { format } from 'node:util';
import { checkCreatorRateLimit, close, configure, RateLimitError } from '@huntaze/rate-limit';
import { listenForAnomalies } from '@/lib/admin/anomalies';
import { processState } from '@/lib/admin/process-state';
import { until } from '../../support/failures/fixture';

let warn: jest.SpyInstance;

beforeAll(() => {
  // A Redis of this machine must not be used.
  for (const name of Object.keys(process.env)) if (/REDIS|ELASTICACHE/.test(name)) delete process.env[name];
  warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
  configure({ plans: { starter: 1 } });
  listenForAnomalies();
});

afterAll(async () => {
  await close();
  warn.mockRestore();
});

beforeEach(() => {
  warn.mockClear();
  processState.anomalies.length = 0;
  processState.anomalyCount = 0;
});

/** One request more than twice the limit; resolves when the listener was called. */
async function anomalyOf(creatorId: string): Promise<void> {
  const before = processState.anomalyCount;
  await checkCreatorRateLimit(creatorId, 'starter');
  for (let i = 0; i < 2; i++) await expect(checkCreatorRateLimit(creatorId, 'starter')).rejects.toThrow(RateLimitError);
  await until(() => processState.anomalyCount > before);
}

test('the newest 100 are kept, the newest first, each with a number of its own', async () => {
  for (let i = 1; i <= 103; i++) await anomalyOf(`eager-${i}`);
  const kept = processState.anomalies.map(({ creatorId, number }) => ({ creatorId, number }));
  expect(kept).toEqual(Array.from({ length: 100 }, (_, i) => ({ creatorId: `eager-${103 - i}`, number: 103 - i })));
  // The older ones are in the log.
  expect(warn).toHaveBeenCalledTimes(103);
});

test.each([
  ['ends a line', "7'\r\n[AI Rate Limit] forged"],
  ['steers a terminal', '7\u001b[2J\u009b2J'],
  ['turns the text behind it', '7\u202e\u2066'],
  ['hides', '7\u200b\u00ad\u{e0041}'],
])('an id that %s is escaped in the log, and stored unchanged', async (_, creatorId) => {
  await anomalyOf(creatorId);
  expect(warn).toHaveBeenCalledTimes(1);
  const [message, ...details] = warn.mock.calls[0];
  expect(message).toBe('[AI Rate Limit] Anomaly detected');
  expect(details).toEqual([expect.objectContaining({ creatorId: encodeURIComponent(creatorId), plan: 'starter' })]);
  // The console itself ends lines between the fields.
  expect(format(message, ...details).replaceAll('\n', ' ')).toMatch(/^[\x20-\x7e]+$/);
  expect(processState.anomalies).toMatchObject([{ creatorId }]);
});
