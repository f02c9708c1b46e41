'use strict';

/** @import { CreatorPlan } from '../index.d.ts' */

/**
 * The creators' plans, with the limit that each has unless `configure` sets another.
 *
 * @type {Readonly<Record<CreatorPlan, number>>}
 */
const DEFAULT_LIMITS = { starter: 50, pro: 100, business: 500 };

/** A plan's number is its position. */
const PLANS = /** @type {CreatorPlan[]} */ (Object.keys(DEFAULT_LIMITS));

/** The label of a request without a plan. Rust returns the label of a request with its metrics and anomalies. */
const NO_PLAN = 0;

/**
 * The label of a request with the plan of this number.
 *
 * @param {number} number
 */
function planLabel(number) {
  return number + 1;
}

/**
 * @param {number} label
 * @returns {CreatorPlan | undefined}
 */
function planOfLabel(label) {
  return PLANS[label - 1];
}

module.exports = { DEFAULT_LIMITS, PLANS, NO_PLAN, planLabel, planOfLabel };
