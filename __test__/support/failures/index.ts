import { network } from './network';
import { rights } from './permissions';
import { server } from './server';
import { tls } from './tls';

export { at, Fixture, until, type Failure, type Op, type Endpoint } from './fixture';

/** Every way to fail that has a code, each brought about for real. */
export const failures = [...network, ...tls, ...rights, ...server];
