import { at, type Failure, type Fixture } from './fixture';

/** A server with a user of few rights, and the place for that user. */
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

/** A server that does not let this client in, or not do this. */
export const rights: Failure[] = [
  {
    name: 'no password where one is asked for',
    code: 'NOAUTH',
    password: 'absent',
    arrange: async (fixture) => at((await fixture.redisWith('asked-for')).port),
  },
  {
    name: 'another password',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (fixture) => at((await fixture.redisWith('another')).port),
  },
  {
    name: 'a password where none is asked for',
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
    name: 'a user who may run scripts, but no command inside',
    code: 'NOPERM',
    arrange: (fixture) => as(fixture, '~*', '+eval', '+evalsha'),
  },
  {
    name: 'a user without the keys',
    code: 'NOPERM',
    arrange: (fixture) => as(fixture, '~others:*', '+@all'),
  },
];
