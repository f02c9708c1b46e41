'use client';

import { useEffect, useRef } from 'react';

let arriving = false;

/** Call before replacing the page without a load. */
export function leave(): void {
  arriving = true;
}

/**
 * Moves the focus to the heading of a page that has replaced another: the focused element is gone, and users of a
 * keyboard or a screen reader would be at the top of the document without notice. A loaded page keeps the browser's
 * behaviour.
 */
export function useArrival() {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (arriving) heading.current?.focus();
    arriving = false;
  }, []);
  return heading;
}
