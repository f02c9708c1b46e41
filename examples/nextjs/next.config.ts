import type { NextConfig } from 'next';

const config: NextConfig = {
  // The addon is loaded from node_modules as it is: a bundler can do nothing with a binary.
  serverExternalPackages: ['@huntaze/rate-limit'],
  // One folder with the server and what it needs, traced; it runs where nothing else is installed.
  output: 'standalone',
  poweredByHeader: false,
  // Nobody else's page may show ours in a frame, and have an operator click on it.
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
  // This folder is all of the application, whatever lock files are in the folders above.
  outputFileTracingRoot: __dirname,
  turbopack: { root: __dirname },
};

export default config;
