'use client';

import { useEffect, useRef } from 'react';

let focusPending = false;

/** Makes the next page focus its heading. Call it before the router replaces the page without a load. */
export function focusNextHeading(): void {
  focusPending = true;
}

/**
 * Moves the focus to the heading of a page that has replaced another: the focused element is gone, and users of a
 * keyboard or a screen reader would be at the top of the document without notice. A loaded page keeps the browser's
 * behaviour.
 */
export function useHeadingFocus() {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (focusPending) heading.current?.focus();
    focusPending = false;
  }, []);
  return heading;
}
