import { useRef, useState } from 'react';

/**
 * Keeps the order of a live list while the pointer or the focus is in it: a moving row causes a click on the wrong one,
 * and loses the focus. The figures in the rows are still updated.
 */
export function useHeldOrder<T>(items: readonly T[], keyOf: (item: T) => string) {
  const [pointed, setPointed] = useState(false);
  const [focused, setFocused] = useState(false);
  const order = useRef<string[]>([]);
  const held = pointed || focused;

  const byKey = new Map(items.map((item) => [keyOf(item), item]));
  const known = held ? order.current.filter((key) => byKey.has(key)) : [];
  const rest = items.map(keyOf).filter((key) => !known.includes(key));
  order.current = [...known, ...rest];

  return {
    held,
    items: order.current.map((key) => byKey.get(key)!),
    hold: {
      onPointerEnter: () => setPointed(true),
      onPointerLeave: () => setPointed(false),
      onFocus: () => setFocused(true),
      onBlur: () => setFocused(false),
    },
  };
}
