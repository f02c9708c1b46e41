// IAM authentication of ElastiCache.

/** AWS credentials, as every provider of the AWS SDK returns them. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** For temporary credentials. */
  readonly sessionToken?: string | undefined;
  /** When the credentials expire. No token is used in the last minute before that. Default: they do not expire. */
  readonly expiration?: Date | undefined;
}

/** The options of {@link elastiCacheIam}. */
export interface ElastiCacheIamOptions {
  /**
   * The name of the replication group or of the serverless cache, not its endpoint: 1 to 63 characters, a letter and then letters,
   * digits and single `-`.
   */
  readonly cache: string;
  /** The ElastiCache user, whose id and name are the same: equal to `redis.username`. */
  readonly username: string;
  /** The region of the cache. Default: `AWS_REGION`, then `AWS_DEFAULT_REGION`, read when a token is made. */
  readonly region?: string | undefined;
  /** Whether the cache is serverless. Default: `false`. */
  readonly serverless?: boolean | undefined;
  /**
   * The credentials, or a function that returns the ones that are valid now. It is called once for each new token and may take 5 s.
   * Default: the standard provider chain of AWS, from `@aws-sdk/credential-provider-node`.
   */
  readonly credentials?: AwsCredentials | (() => Promise<AwsCredentials>) | undefined;
}

/**
 * Makes a function for `redis.password` that returns IAM tokens of ElastiCache. A token is signed on this machine and valid for 15
 * minutes. All connects share it for 10 minutes, so the clock may be off by 5. It needs `@smithy/signature-v4`, and without
 * `credentials` also `@aws-sdk/credential-provider-node`; neither is loaded before the first token. TLS is on with it, whatever the
 * host or the URL; `tls: false` beside it is refused.
 *
 * The function rejects with an Error whose `code` is `ERR_RATE_LIMIT_CONFIG` if a package, the region or the credentials are
 * missing, and `ETIMEDOUT` if the credentials take more than 5 s. A check gets `NOAUTH` with the same message for either, or
 * `ETIMEDOUT` if `connectTimeoutMs` passes first.
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
