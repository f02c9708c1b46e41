import type { NextConfig } from 'next';

const config: NextConfig = {
  // The addon is loaded from node_modules unchanged: a bundler cannot process a binary.
  serverExternalPackages: ['@huntaze/rate-limit'],
  // One standalone folder with the server and its traced dependencies.
  output: 'standalone',
  poweredByHeader: false,
  // No page of another site may frame ours and trick an operator into clicking.
  headers: async () => [
    {
      source: '/:path*',
      headers: [
        { key: 'Content-Security-Policy', value: "frame-ancestors 'none'" },
        { key: 'X-Frame-Options', value: 'DENY' },
        { key: 'Referrer-Policy', value: 'same-origin' },
        { key: 'X-Content-Type-Options', value: 'nosniff' },
      ],
    },
  ],
  // This folder is the root of the application, whatever lock files the parent folders have.
  outputFileTracingRoot: __dirname,
  turbopack: { root: __dirname },
};

export default config;
