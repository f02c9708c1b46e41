// Compiled, never run, once with the DOM library and once with @types/node: the requests of a route are the global
// ones.

import { connectionRoute, withRateLimit, type WebRequest, type WebResponse } from '../../index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>): void => {};

same<WebRequest, Request>(true);
same<WebResponse, Response>(true);
same<ReturnType<ReturnType<typeof connectionRoute>['GET']>, Promise<Response>>(true);
const route = withRateLimit(async (request) => Response.json(await request.json()), { id: (request) => request.url });
same<ReturnType<typeof route>, Promise<Response>>(true);
same<Parameters<typeof route>[0], Request>(true);
