import type { NextConfig } from 'next';

const config: NextConfig = {
  // The addon is loaded from node_modules as it is: a bundler can do nothing with a binary.
  serverExternalPackages: ['@huntaze/rate-limit'],
  // One folder with the server and what it needs, traced; it runs where nothing else is installed.
  output: 'standalone',
  // This folder is all of the application, whatever lock files are in the folders above.
  outputFileTracingRoot: __dirname,
  turbopack: { root: __dirname },
};

export default config;
