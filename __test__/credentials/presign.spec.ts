const { presigned } = require('../../lib/credentials/presign.js');

// Tokens compared with those of AWS's Python library: botocore 1.43.11, RequestSigner.generate_presigned_url for the
// service elasticache and a URL encoded by RFC 3986, as in AWS's example for ElastiCache.

const KEY = { accessKeyId: 'AKIAX', secretAccessKey: 's/e+c=' };
const NOW = 1_800_000_123_999;

test.each([
  [
    { cache: 'limits', username: 'limiter', region: 'eu-west-1', serverless: false },
    undefined,
    '667eb9cf45ef030b38f9e2271e005431276b4c92661fd433b5c4a43defa6d18c',
  ],
  [
    { cache: 'limits', username: 'limiter', region: 'eu-west-1', serverless: true },
    "IQoJb3JpZ2lu//+=!'()*~ x",
    '36db4ed55fa1469341ec841087a97da96ce7eaa26a4622bb737c49a5c4f0506d',
  ],
  [
    { cache: 'a-b-9', username: "we ird+@&=?é日*'()!~", region: 'us-gov-west-1', serverless: false },
    'a+b/c==',
    '9dfd0b5729d4e7a5babff3dc0855ec2dd0a4d4ff36a7ec2bf686ed300c1444c6',
  ],
])('%j, with the session token %s', async (asked, sessionToken, signature) => {
  const token = await presigned({ ...asked, credentials: { ...KEY, sessionToken } }, NOW);
  const [cache, query] = token.split('/?');
  expect(cache).toBe(asked.cache);
  expect(Object.fromEntries(new URLSearchParams(query))).toEqual({
    Action: 'connect',
    User: asked.username,
    ...(asked.serverless && { ResourceType: 'ServerlessCache' }),
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `AKIAX/20270115/${asked.region}/elasticache/aws4_request`,
    'X-Amz-Date': '20270115T080203Z',
    'X-Amz-Expires': '900',
    'X-Amz-SignedHeaders': 'host',
    ...(sessionToken && { 'X-Amz-Security-Token': sessionToken }),
    'X-Amz-Signature': signature,
  });
});
