'use strict';

const { jest } = require('../../package.json');

module.exports = {
  testEnvironment: jest.testEnvironment,
  testMatch: ['<rootDir>/**/*.spec.ts'],
  transform: jest.transform,
  // The application's modules, without a bundler: its alias, and for all of them the installed package.
  moduleNameMapper: {
    '^@/(.*)$': '<rootDir>/../../examples/nextjs/$1',
    '^@huntaze/rate-limit$': '<rootDir>/../../examples/nextjs/node_modules/@huntaze/rate-limit',
  },
  globalSetup: '<rootDir>/setup.mjs',
  globalTeardown: '<rootDir>/teardown.mjs',
  // The servers under test are processes of their own and need the processors.
  maxWorkers: 1,
  // A busy machine is no failure: this bounds every wait.
  testTimeout: 240_000,
};
