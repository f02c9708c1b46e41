export const SESSION_PATH = '/api/admin/session';
export const STREAM_PATH = '/api/admin/rate-limits/stream';
export const QUOTA_PATH = '/api/admin/rate-limits/quota';
export const RESET_PATH = '/api/admin/rate-limits/reset';
