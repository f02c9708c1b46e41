import { at, type Failure, type Scene } from './fixture';

/** A server with a user of few rights, and the place for that user. */
async function as(scene: Scene, ...rights: string[]) {
  const server = await scene.redis();
  server.cli('acl', 'setuser', 'few', 'on', scene.password === undefined ? 'nopass' : `>${scene.password}`, ...rights);
  return { ...at(server.port), username: 'few' };
}

/** A server that does not let this client in, or not do this. */
export const rights: Failure[] = [
  {
    name: 'no password where one is asked for',
    code: 'NOAUTH',
    password: 'absent',
    arrange: async (scene) => at((await scene.redisWith('asked-for')).port),
  },
  {
    name: 'another password',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (scene) => at((await scene.redisWith('another')).port),
  },
  {
    name: 'a password where none is asked for',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (scene) => at((await scene.redisWith(undefined)).port),
  },
  {
    name: 'a user nobody knows',
    code: 'WRONGPASS',
    password: 'needed',
    arrange: async (scene) => ({ ...at((await scene.redis()).port), username: 'nobody' }),
  },
  {
    name: 'a user without the commands',
    code: 'NOPERM',
    arrange: (scene) => as(scene, '~*', '+ping'),
  },
  {
    name: 'a user who may run scripts, but no command inside',
    code: 'NOPERM',
    arrange: (scene) => as(scene, '~*', '+eval', '+evalsha'),
  },
  {
    name: 'a user without the keys',
    code: 'NOPERM',
    arrange: (scene) => as(scene, '~others:*', '+@all'),
  },
];
