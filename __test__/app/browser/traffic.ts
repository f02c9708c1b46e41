import type { App } from '../support/app';

export type Plan = 'starter' | 'pro' | 'business';

/** Sends one message as a creator; the status is 200, or 429 after a denial. */
export async function chat({ url }: App, creatorId: string | number, plan: Plan): Promise<number> {
  const response = await fetch(`${url}/api/ai/chat`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ creatorId, plan, message: 'Write me a caption' }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Sends `count` messages of one creator, one after another; returns how many were admitted. */
export async function chats(app: App, creatorId: string | number, plan: Plan, count: number): Promise<number> {
  let allowed = 0;
  for (let i = 0; i < count; i++) if ((await chat(app, creatorId, plan)) === 200) allowed++;
  return allowed;
}

const PLANS: Plan[] = ['starter', 'pro', 'business'];

/** Creators of every plan send messages in waves until stopped: the first creator the most. */
export function traffic(app: App, creators = 24): { stop(): Promise<void> } {
  let running = true;
  const done = (async () => {
    for (let wave = 0; running; wave++) {
      const active = Array.from({ length: creators }, (_, i) => i).filter((i) => (wave * 7 + i * 5) % creators >= i);
      await Promise.all(active.map((i) => chat(app, 4100 + i, PLANS[i % 3]!).catch(() => 0)));
      await new Promise((resolve) => setTimeout(resolve, 120 + 90 * Math.sin(wave / 12)));
    }
  })();
  return {
    stop() {
      running = false;
      return done;
    },
  };
}
