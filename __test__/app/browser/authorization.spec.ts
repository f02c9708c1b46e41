import type { Browser } from 'playwright-core';
import { type App, startApp } from '../support/app';
import { API, launch, PAGE, signedCookie, signedIn, TOKEN } from './operator-page';
import { chats } from './traffic';

jest.setTimeout(240_000);

let app: App;
let browser: Browser;

beforeAll(async () => {
  app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN } });
  browser = await launch();
  await chats(app, 'someone-secret', 'starter', 3);
});

afterAll(async () => {
  await browser?.close();
  await app?.stop();
});

const QUOTA = `${API}/quota?creatorId=someone-secret&plan=starter`;

/** Every request has its own client address, so that no test uses up the sign-in attempts of another. */
let address = 0;
function send(path: string, headers: Record<string, string> = {}, init: RequestInit = {}): Promise<Response> {
  const from = headers['X-Forwarded-For'] ?? `192.0.2.${++address}`;
  return fetch(app.url + path, { redirect: 'manual', ...init, headers: { ...headers, 'X-Forwarded-For': from } });
}

function signIn(token: string, headers: Record<string, string> = {}): Promise<Response> {
  return send(
    '/api/admin/session',
    { Origin: app.url, Accept: 'application/json', ...headers },
    { method: 'POST', body: new URLSearchParams({ token }) },
  );
}

function resetOf(headers: Record<string, string>): Promise<Response> {
  return send(`${API}/reset`, headers, { method: 'POST', body: JSON.stringify({ creatorId: 'someone-secret' }) });
}

const cookieOf = (response: Response) => response.headers.getSetCookie()[0]!.split(';')[0]!;

test('without a session the APIs answer 401 and the page names no creator', async () => {
  for (const path of [QUOTA, `${API}/stream`, '/api/admin/session']) {
    const response = await send(path);
    expect([path, response.status]).toEqual([path, 401]);
    expect(response.headers.get('cache-control')).toBe('no-store');
  }
  expect((await resetOf({ Origin: app.url })).status).toBe(401);
  const page = await send(PAGE);
  expect(await page.text()).not.toContain('someone-secret');
  expect(page.headers.get('cache-control')).toContain('no-store');
});

test('a wrong token shows an error on the page', async () => {
  const page = await browser.newPage({ extraHTTPHeaders: { 'X-Forwarded-For': '192.0.2.200' } });
  await page.goto(app.url + PAGE);
  await page.getByLabel('Operator token').fill('guess');
  await page.getByRole('button', { name: 'Sign in' }).click();
  const problem = page.getByRole('alert').filter({ hasText: 'That is not the operator token.' });
  await problem.waitFor();
  expect(await page.getByLabel('Operator token').getAttribute('aria-invalid')).toBe('true');
  expect(await page.context().cookies()).toEqual([]);
  await page.close();
});

test('signing in works without JavaScript', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(app.url + PAGE);
  await page.getByLabel('Operator token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'A creator’s quota' }).waitFor();
  expect(page.url()).toBe(app.url + PAGE);
  await context.close();
});

test('the cookie is HttpOnly, same-site and path-bound, and is not the token', async () => {
  const response = await signIn(TOKEN);
  expect(response.status).toBe(204);
  const cookies = response.headers.getSetCookie();
  expect(cookies.map((cookie) => /Path=([^;]+)/.exec(cookie)![1])).toEqual(['/admin/rate-limits', '/api/admin']);
  for (const cookie of cookies) {
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(TOKEN);
  }
  const secure = await signIn(TOKEN, { 'X-Forwarded-Proto': 'https', Origin: app.url.replace('http:', 'https:') });
  for (const cookie of secure.headers.getSetCookie()) expect(cookie).toMatch(/; Secure$/);
  expect((await send(QUOTA, { Cookie: cookieOf(response) })).status).toBe(200);
});

test('a forged, changed or expired cookie, or one of another token, is refused', async () => {
  const [name, value] = cookieOf(await signIn(TOKEN)).split('=') as [string, string];
  const [until, nonce, mac] = value.split('.') as [string, string, string];
  // The test can sign cookies: with the right token the cookie is accepted, which makes the refusals below meaningful.
  expect((await send(QUOTA, { Cookie: `${name}=${signedCookie(`${until}.${nonce}`)}` })).status).toBe(200);
  const forgeries = {
    longer: `${Number(until) + 1000}.${nonce}.${mac}`,
    'another token': signedCookie(`${until}.${nonce}`, 'another'),
    over: signedCookie(`${Date.now() - 1}.${nonce}`),
    'the token itself': TOKEN,
    empty: '',
  };
  for (const [kind, forged] of Object.entries(forgeries)) {
    expect([kind, (await send(QUOTA, { Cookie: `${name}=${forged}` })).status]).toEqual([kind, 401]);
  }
});

test('only the operator can sign the operator out', async () => {
  const signOut = (headers: Record<string, string>) =>
    fetch(`${app.url}/api/admin/session`, { method: 'DELETE', headers });
  expect((await signOut({ Origin: 'https://evil.example' })).status).toBe(403);
  expect((await signOut({ Origin: app.url })).status).toBe(204);
});

test('no other page can frame this one', async () => {
  const { headers } = await fetch(app.url + PAGE);
  expect(headers.get('Content-Security-Policy')).toBe("frame-ancestors 'none'");
  expect(headers.get('X-Frame-Options')).toBe('DENY');
  expect(headers.get('X-Powered-By')).toBeNull();
});

test('a reset needs the origin of this site, or the token', async () => {
  const Cookie = cookieOf(await signIn(TOKEN));
  const outside: Record<string, string>[] = [
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { Origin: `${app.url}.evil.example` },
    { Origin: app.url, 'Sec-Fetch-Site': 'cross-site' },
    { Origin: app.url, 'Sec-Fetch-Site': 'same-site' },
    {},
  ];
  for (const headers of outside)
    expect([headers, (await resetOf({ Cookie, ...headers })).status]).toEqual([headers, 403]);
  const used = async () => ((await (await send(QUOTA, { Cookie })).json()) as { used: number }).used;
  expect(await used()).toBe(3);
  expect((await send(`${API}/reset`, { Cookie, Origin: app.url })).status).toBe(405);
  expect((await resetOf({ Cookie, Origin: app.url })).status).toBe(200);
  expect(await used()).toBe(0);
  expect((await resetOf({ Authorization: `Bearer ${TOKEN}` })).status).toBe(200);
});

test('a sign-in from another site is refused', async () => {
  expect((await signIn(TOKEN, { Origin: 'https://evil.example' })).status).toBe(403);
});

test('the token as a bearer is accepted without a limit; a wrong one is refused', async () => {
  const from = { 'X-Forwarded-For': '192.0.2.210' };
  for (let i = 0; i < 25; i++) {
    expect((await send(QUOTA, { ...from, Authorization: `Bearer ${TOKEN}` })).status).toBe(200);
  }
  expect((await send(QUOTA, { ...from, Authorization: 'Bearer guess' })).status).toBe(401);
});

test('after ten wrong tokens in a minute every token is refused, the right one included', async () => {
  const from = { 'X-Forwarded-For': '192.0.2.220' };
  const first = performance.now();
  for (let i = 0; i < 10; i++) expect((await signIn(`guess ${i}`, from)).status).toBe(401);
  const eleventh = await signIn('guess 10', from);
  expect(eleventh.status).toBe(429);
  // The minute began with the first attempt.
  const passed = Math.ceil((performance.now() - first) / 1000);
  expect(Number(eleventh.headers.get('retry-after'))).toBeGreaterThanOrEqual(60 - passed);
  expect((await signIn(TOKEN, from)).status).toBe(429);
  // A bearer token counts as an attempt as well; another address has its own limit.
  expect((await send(QUOTA, { ...from, Authorization: `Bearer ${TOKEN}` })).status).toBe(429);
  expect((await signIn(TOKEN, { 'X-Forwarded-For': '192.0.2.221' })).status).toBe(204);
});

test('an invalid id or plan is answered with 400', async () => {
  const Authorization = `Bearer ${TOKEN}`;
  for (const query of ['creatorId=', 'creatorId=7&plan=gold', `creatorId=${'x'.repeat(257)}`]) {
    expect((await send(`${API}/quota?${query}`, { Authorization })).status).toBe(400);
  }
  const body = await send(`${API}/reset`, { Authorization }, { method: 'POST', body: 'nonsense' });
  expect(body.status).toBe(400);
});

test('signing out closes the page', async () => {
  const context = await browser.newContext();
  const page = await signedIn(context, app);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Operator token').waitFor();
  expect(await context.cookies()).toEqual([]);
  await context.close();
});

describe('without a token on the server', () => {
  let closed: App;
  beforeAll(async () => {
    closed = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: '' } });
  });
  afterAll(() => closed?.stop());

  test('the page says how to set one, and every API is closed', async () => {
    const page = await browser.newPage();
    await page.goto(closed.url + PAGE);
    expect(await page.locator('main').innerText()).toContain('RATE_LIMIT_OPERATOR_TOKEN=');
    expect(await page.locator('form').count()).toBe(0);
    await page.close();
    for (const Authorization of ['Bearer ', `Bearer ${TOKEN}`]) {
      for (const path of [QUOTA, `${API}/stream`]) {
        expect((await fetch(closed.url + path, { headers: { Authorization } })).status).toBe(403);
      }
    }
    const body = new URLSearchParams({ token: '' });
    const headers = { Origin: closed.url };
    expect((await fetch(`${closed.url}/api/admin/session`, { method: 'POST', headers, body })).status).toBe(403);
  });
});
