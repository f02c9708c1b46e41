import { connectionRoute } from '@huntaze/rate-limit';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

export const { GET, OPTIONS } = connectionRoute({ operatorToken: process.env.RATE_LIMIT_OPERATOR_TOKEN });
