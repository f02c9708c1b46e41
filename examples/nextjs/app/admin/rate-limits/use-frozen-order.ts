import { useRef, useState } from 'react';

/**
 * Keeps the order of a live list while the pointer or the focus is in it: a moving row causes a click on the wrong one,
 * and loses the focus. The figures in the rows are still updated.
 */
export function useFrozenOrder<T>(items: readonly T[], keyOf: (item: T) => string) {
  const [hovered, setHovered] = useState(false);
  const [focused, setFocused] = useState(false);
  const order = useRef<string[]>([]);
  const frozen = hovered || focused;

  const byKey = new Map(items.map((item) => [keyOf(item), item]));
  const kept = frozen ? order.current.filter((key) => byKey.has(key)) : [];
  const rest = items.map(keyOf).filter((key) => !kept.includes(key));
  order.current = [...kept, ...rest];

  return {
    frozen,
    items: order.current.map((key) => byKey.get(key)!),
    listeners: {
      onPointerEnter: () => setHovered(true),
      onPointerLeave: () => setHovered(false),
      onFocus: () => setFocused(true),
      onBlur: () => setFocused(false),
    },
  };
}
