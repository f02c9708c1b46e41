// Every fault, in the order of the report.

import connections from './connections.mjs';

export const faults = [connections];
