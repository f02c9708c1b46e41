import { at, type Failure, type Fixture } from './fixture';

/** A server with a restricted user, and the endpoint with that user. */
async function as(fixture: Fixture, ...rights: string[]) {
  const server = await fixture.redis();
  server.cli(
    'acl',
    'setuser',
    'few',
    'on',
    fixture.password === undefined ? 'nopass' : `>${fixture.password}`,
    ...rights,
  );
  return { ...at(server.port), username: 'few' };
}

/** Servers that refuse this client, or its commands. */
export const permissions: Failure[] = [
  {
    name: 'no password for a server with one',
    code: 'NOAUTH',
    password: 'absent',
    arrange: async (fixture) => at((await fixture.redisWith('asked-for')).port),
  },
  {
    name: 'a wrong password',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (fixture) => at((await fixture.redisWith('another')).port),
  },
  {
    name: 'a password for a server without one',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (fixture) => at((await fixture.redisWith(undefined)).port),
  },
  {
    name: 'an unknown user',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (fixture) => ({ ...at((await fixture.redis()).port), username: 'unknown' }),
  },
  {
    name: 'a user without the commands',
    code: 'NOPERM',
    arrange: (fixture) => as(fixture, '~*', '+ping'),
  },
  {
    name: 'a user who may run scripts, but not their commands',
    code: 'NOPERM',
    arrange: (fixture) => as(fixture, '~*', '+eval', '+evalsha'),
  },
  {
    name: 'a user without the keys',
    code: 'NOPERM',
    arrange: (fixture) => as(fixture, '~others:*', '+@all'),
  },
];
