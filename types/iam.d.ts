// IAM authentication of ElastiCache.

/** Credentials of AWS, as every provider of the AWS SDK gives them. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
  /** When they expire by themselves; no token is kept past a minute before. */
  readonly expiration?: Date | undefined;
}

/** What {@link elastiCacheIam} makes tokens for, and with what. */
export interface ElastiCacheIamOptions {
  /** The name of the replication group or of the serverless cache, not its endpoint: a letter, then letters, digits, `-`. */
  readonly cache: string;
  /** The ElastiCache user, whose id and name are the same: that of `redis.username`. */
  readonly username: string;
  /** Of the cache. `AWS_REGION`, then `AWS_DEFAULT_REGION`, when left out, read when a token is made. */
  readonly region?: string | undefined;
  /** Whether the cache is serverless; `false` when left out. */
  readonly serverless?: boolean | undefined;
  /**
   * The credentials, or what gives those that are valid now: asked once for each new token, for 5 s at most. Left out: the
   * standard provider chain of AWS, from `@aws-sdk/credential-provider-node`.
   */
  readonly credentials?: AwsCredentials | (() => Promise<AwsCredentials>) | undefined;
}

/**
 * A function for `redis.password` that gives IAM tokens of ElastiCache. A token is signed on this machine and valid for 15
 * minutes; those who ask share it for 10 minutes, so that clocks may differ by 5. It needs `@smithy/signature-v4`, and
 * without `credentials` `@aws-sdk/credential-provider-node`: neither is loaded before a token is asked for. TLS is on with it,
 * whatever the host or the URL; `tls: false` beside it is refused.
 *
 * The function rejects with an Error whose `code` is `ERR_RATE_LIMIT_CONFIG` where a package, the region or the credentials
 * are missing, and `ETIMEDOUT` where the credentials do not come within 5 s. For a check either is `NOAUTH`, with the same words;
 * where `connectTimeoutMs` is over before, it is `ETIMEDOUT`.
 *
 * @throws TypeError that names the option and what it takes.
 * @example
 * configure({
 *   redis: {
 *     host: 'master.limits.x1.euw1.cache.amazonaws.com',
 *     username: 'limiter',
 *     password: elastiCacheIam({ cache: 'limits', username: 'limiter' }),
 *   },
 * });
 */
export declare function elastiCacheIam(options: ElastiCacheIamOptions): () => Promise<string>;
