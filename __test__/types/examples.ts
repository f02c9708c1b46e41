// Compiled, never run: what the types allow, and with @ts-expect-error what they forbid. An expectation that no longer
// holds is a compiler error, so each line here can fail.

import {
  RateLimitError,
  RateLimiter,
  checkCreatorRateLimit,
  close,
  cloudWatchMetrics,
  configure,
  getMetrics,
  connectionRoute,
  elastiCacheIam,
  getRateLimitStatus,
  observeMetrics,
  onAnomaly,
  onStoreStateChange,
  prometheusMetrics,
  rateLimitHeaders,
  resetCreatorRateLimit,
  withRateLimit,
  testConnection,
  type Anomaly,
  type AwsCredentials,
  type ConnectionFailure,
  type ConnectionReport,
  type CreatorId,
  type CreatorPlan,
  type CreatorRateLimitOptions,
  type Decision,
  type Metrics,
  type OpenTelemetryMeter,
  type RateLimitStatus,
  type RateLimiterOptions,
  type RedisOptions,
  type StoreStateChange,
} from '../../index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>): void => {};

same<CreatorPlan, 'starter' | 'pro' | 'business'>(true);
same<CreatorId, number | string>(true);
same<ReturnType<typeof checkCreatorRateLimit>, Promise<void>>(true);
same<ReturnType<typeof getRateLimitStatus>, Promise<RateLimitStatus>>(true);
same<ReturnType<typeof resetCreatorRateLimit>, Promise<void>>(true);
same<ReturnType<typeof close>, Promise<void>>(true);
same<ReturnType<typeof onAnomaly>, () => void>(true);
same<ReturnType<typeof onStoreStateChange>, () => void>(true);
same<StoreStateChange['state'], 'away' | 'back'>(true);
same<StoreStateChange['policy'], 'local' | 'open' | 'closed' | 'throw'>(true);
same<Awaited<ReturnType<RateLimiter['limit']>>, Decision>(true);
same<Decision['source'], 'redis' | 'memory' | 'deny-cache' | 'local' | 'open' | 'closed'>(true);
same<RateLimitError['code'], 'RATE_LIMITED'>(true);
same<Anomaly['plan'], CreatorPlan | undefined>(true);
same<ReturnType<typeof rateLimitHeaders>, Record<string, string>>(true);
same<ReturnType<typeof getMetrics>, Metrics>(true);
same<ReturnType<RateLimiter['getMetrics']>, Metrics>(true);
same<keyof Metrics['denied'], Decision['source']>(true);
same<Metrics['breaker']['state'], 'closed' | 'half-open' | 'open'>(true);
same<keyof Metrics['store'], 'away' | 'outages' | 'awayMs'>(true);
same<ReturnType<typeof prometheusMetrics>, string>(true);
same<ReturnType<typeof cloudWatchMetrics>, string>(true);

async function examples(): Promise<void> {
  void checkCreatorRateLimit(7);
  void checkCreatorRateLimit('7', 'business');
  // @ts-expect-error a plan that does not exist
  void checkCreatorRateLimit(7, 'gold');
  // @ts-expect-error null is no plan
  void checkCreatorRateLimit(7, null);
  // @ts-expect-error a bigint is no id
  void checkCreatorRateLimit(7n);
  // @ts-expect-error an id is required
  void checkCreatorRateLimit();

  try {
    await checkCreatorRateLimit(7, 'pro');
  } catch (error) {
    if (error instanceof RateLimitError) {
      same<typeof error.retryAfter, number>(true);
      error.limit.toString();
      error.remaining.toString();
      // @ts-expect-error read only
      error.limit = 3;
    }
  }
  new RateLimitError(1, 50, 0);
  // @ts-expect-error three numbers
  new RateLimitError(1);

  configure({});
  configure({ plans: { pro: 200 }, windowMs: 60_000, onStoreError: 'closed', anomaly: false });
  // @ts-expect-error the creators' limiter has its name
  configure({ name: 'x' });
  // @ts-expect-error a plan that does not exist
  configure({ plans: { gold: 1 } });
  // @ts-expect-error a policy that does not exist
  configure({ onStoreError: 'deny' });
  const creators: CreatorRateLimitOptions = { redis: { url: 'redis://localhost' } };
  configure(creators);

  const options: RateLimiterOptions = { name: 'uploads', limit: 10, windowMs: 60_000 };
  const limiter = new RateLimiter(options);
  // @ts-expect-error a window is required
  new RateLimiter({ name: 'uploads', limit: 10 });
  const decision = await limiter.limit('id', { limit: 3 });
  same<typeof decision.allowed, boolean>(true);
  // @ts-expect-error read only
  decision.allowed = true;
  // @ts-expect-error no such option
  void limiter.check('id', { cost: 3 });
  const off: () => void = limiter.onAnomaly((anomaly) => same<typeof anomaly, Anomaly>(true));
  off();
  limiter.onStoreStateChange((change) => {
    same<typeof change, StoreStateChange>(true);
    same<typeof change.durationMs, number | undefined>(true);
    // @ts-expect-error read only
    change.decided = 1;
  })();
  // @ts-expect-error a listener is required
  limiter.onStoreStateChange();

  const redis: RedisOptions[] = [
    { url: 'rediss://user:password@host:6379/0' },
    { host: 'host', port: 6380, password: ['old', 'new'], tls: { ca: 'pem', servername: 'name' } },
    { host: 'host', password: async () => 'token', connections: 4, connectTimeoutMs: 500, cluster: false },
  ];
  void redis;
  const variable = (name: string): string | undefined => (name === '' ? name : undefined);
  const port = variable('PORT');
  configure({
    redis: {
      url: variable('URL'),
      host: variable('HOST'),
      port: port === undefined ? undefined : Number(port),
      username: variable('USERNAME'),
      password: variable('PASSWORD'),
      database: port === undefined ? undefined : 0,
      tls: port === undefined ? undefined : { ca: variable('CA'), servername: variable('SERVERNAME') },
      cluster: port === undefined ? undefined : false,
      connections: port === undefined ? undefined : 2,
      connectTimeoutMs: port === undefined ? undefined : 500,
    },
  });
  configure({ redis: port === undefined ? undefined : { url: port } });
  // @ts-expect-error verification cannot be turned off
  const insecure: RedisOptions = { host: 'host', tls: { rejectUnauthorized: false } };
  void insecure;
}
void examples;

function routes(limiter: RateLimiter, decision: Decision): void {
  const hello = (): Response => Response.json({});
  rateLimitHeaders(decision);
  new Headers(rateLimitHeaders(new RateLimitError(1, 50, 0), { name: 'hourly', windowMs: 3_600_000 }));
  // @ts-expect-error neither a decision nor an error
  rateLimitHeaders({ limit: 50, remaining: 0 });
  // @ts-expect-error an error of another kind
  rateLimitHeaders(new Error());
  // @ts-expect-error the window is in ms
  rateLimitHeaders(decision, { window: 3600 });

  const plain = withRateLimit(hello, { id: (request) => request.headers.get('x-id') ?? '', plan: 'business' });
  same<typeof plain, (request: Request) => Promise<Response>>(true);

  // As in Next.js handlers: its own request type, and the parameters of the route.
  interface NextRequest extends Request {
    readonly nextUrl: URL;
  }
  type Context = { params: Promise<{ creator: string }> };
  const next = withRateLimit(
    async (request: NextRequest, { params }: Context) =>
      new Response(request.nextUrl.pathname + (await params).creator),
    {
      id: async (_, { params }) => (await params).creator,
      plan: (request) => (request.nextUrl.searchParams.has('trial') ? 'starter' : 'pro'),
      onDenied: ({ retryAfterMs }, request, context) => {
        same<typeof request, NextRequest>(true);
        same<typeof context, Context>(true);
        return new Response(`${retryAfterMs}`, { status: 429 });
      },
    },
  );
  same<typeof next, (request: NextRequest, context: Context) => Promise<Response>>(true);
  const hono = (c: { req: { raw: Request } }) => plain(c.req.raw);
  void hono;

  withRateLimit(hello, { id: () => 7, limiter });
  withRateLimit(async (request: NextRequest) => new Response(request.nextUrl.pathname), {
    id: (request) => request.nextUrl.host,
    limiter,
    onDenied: (_, request) => {
      same<typeof request, NextRequest>(true);
      return new Response();
    },
  });
  // @ts-expect-error a limiter has one limit for all
  withRateLimit(hello, { id: () => 7, limiter, plan: 'pro' });
  // @ts-expect-error the same with a plan
  withRateLimit(hello, { id: () => 7, limiter, plan: () => 'pro' });
  // @ts-expect-error an id is required
  withRateLimit(hello, { plan: 'pro' });
  // @ts-expect-error a plan that does not exist
  withRateLimit(hello, { id: () => 7, plan: 'gold' });
  // @ts-expect-error a callback that gives such a plan
  withRateLimit(hello, { id: () => 7, plan: () => 'gold' });
  // @ts-expect-error a bigint is no id
  withRateLimit(hello, { id: () => 7n });
  // @ts-expect-error a handler returns a Response
  withRateLimit(() => 'hello', { id: () => 7 });
}
void routes;

function metrics(meter: OpenTelemetryMeter): void {
  const { denials, allowed, storeLatencyMs } = getMetrics();
  same<typeof denials, number>(true);
  same<typeof allowed.redis, number>(true);
  // @ts-expect-error read only
  allowed.redis = 1;
  // @ts-expect-error read only
  storeLatencyMs.counts[0] = 1;
  const stop: () => void = observeMetrics(meter);
  stop();
  // @ts-expect-error no meter
  observeMetrics({});
}
void metrics;
same<ReturnType<typeof testConnection>, Promise<ConnectionReport>>(true);
same<ConnectionFailure['errorType'], 'configuration' | 'connection'>(true);

async function connection(): Promise<void> {
  const report = await testConnection({ details: false, correlationId: 'abc', timeoutMs: 500 });
  if (report.success) {
    same<typeof report.pong, 'PONG'>(true);
    same<typeof report.tests.get.value, string>(true);
    // @ts-expect-error nothing went wrong
    void report.troubleshooting;
    // @ts-expect-error read only
    report.testValue = 'x';
  } else {
    same<typeof report.meta.retryable, boolean>(true);
    for (const step of report.troubleshooting.nextSteps) same<typeof step, string>(true);
    // @ts-expect-error nothing was read
    void report.tests;
  }
  // @ts-expect-error a port is a text: it may be hidden
  const port: number = report.connection.port;
  void port;
  // @ts-expect-error details are there or not
  void testConnection({ details: 'some' });

  const { GET, OPTIONS } = connectionRoute({ operatorToken: 'token', timeoutMs: 500 });
  same<ReturnType<typeof GET>, Promise<Response>>(true);
  same<ReturnType<typeof OPTIONS>, Response>(true);
  void GET(new Request('http://localhost'));
  connectionRoute();
  const token: string | undefined = port < 1 ? undefined : 'token';
  connectionRoute({ operatorToken: token });
  void testConnection({ correlationId: token });
  // @ts-expect-error the route decides about details
  connectionRoute({ details: true });
  // @ts-expect-error a request is required
  void GET();
}
void connection;

function iam(): void {
  same<ReturnType<typeof elastiCacheIam>, () => Promise<string>>(true);
  const password = elastiCacheIam({ cache: 'limits', username: 'limiter', region: undefined, serverless: true });
  configure({ redis: { host: 'host', username: 'limiter', password } });
  const credentials: AwsCredentials = { accessKeyId: 'id', secretAccessKey: 'key', expiration: new Date() };
  elastiCacheIam({ cache: 'limits', username: 'limiter', credentials });
  // As the AWS SDK returns them, with additional fields.
  const provider = async () => ({ ...credentials, sessionToken: 'token', accountId: '123456789012' });
  elastiCacheIam({ cache: 'limits', username: 'limiter', credentials: provider });
  // @ts-expect-error a cache is required
  elastiCacheIam({ username: 'limiter' });
  // @ts-expect-error half of the credentials
  elastiCacheIam({ cache: 'limits', username: 'limiter', credentials: { accessKeyId: 'id' } });
  // @ts-expect-error the endpoint is an option of redis
  elastiCacheIam({ cache: 'limits', username: 'limiter', host: 'host' });
}
void iam;
