import { network } from './network';
import { rights } from './permissions';
import { server } from './server';
import { tls } from './tls';

export { at, Scene, until, type Failure, type Op, type Place } from './fixture';

/** Every way to fail that has a code, each brought about for real. */
export const failures = [...network, ...tls, ...rights, ...server];
