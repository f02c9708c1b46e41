import { network } from './network';
import { permissions } from './permissions';
import { server } from './server';
import { tls } from './tls';

export { at, Fixture, until, type Failure, type Op, type Endpoint } from './fixture';

/** Every failure with a code, each provoked on real servers. */
export const failures = [...network, ...tls, ...permissions, ...server];
