'use strict';

const { jest } = require('../../package.json');

module.exports = {
  testEnvironment: jest.testEnvironment,
  testMatch: ['<rootDir>/**/*.spec.ts'],
  transform: jest.transform,
  // The application's modules, without a bundler: its alias, and for all of them the package it is installed with.
  moduleNameMapper: {
    '^@/(.*)$': '<rootDir>/../../examples/nextjs/$1',
    '^@huntaze/rate-limit$': '<rootDir>/../../examples/nextjs/node_modules/@huntaze/rate-limit',
  },
  globalSetup: '<rootDir>/setup.mjs',
  globalTeardown: '<rootDir>/teardown.mjs',
  // The servers under test are processes of their own, and want what processors there are.
  maxWorkers: 1,
  // A busy machine is no failure: what is waited for is bounded by this at the latest.
  testTimeout: 240_000,
};
