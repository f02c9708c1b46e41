'use strict';

const { jest } = require('../../package.json');

module.exports = {
  testEnvironment: jest.testEnvironment,
  testMatch: ['<rootDir>/**/*.spec.ts'],
  transform: jest.transform,
  globalSetup: '<rootDir>/setup.mjs',
  globalTeardown: '<rootDir>/teardown.mjs',
  // The servers under test are processes of their own, and want what processors there are.
  maxWorkers: 1,
  testTimeout: 60_000,
};
