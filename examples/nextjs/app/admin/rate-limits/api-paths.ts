export const SESSION_API = '/api/admin/session';
export const STREAM_API = '/api/admin/rate-limits/stream';
export const QUOTA_API = '/api/admin/rate-limits/quota';
export const RESET_API = '/api/admin/rate-limits/reset';
