'use client';

import { useEffect, useRef } from 'react';

let arriving = false;

/** To be called before the page is changed for another without a load. */
export function leave(): void {
  arriving = true;
}

/**
 * The heading that gets the focus when its page has taken the place of another: what had the focus is gone, and who works
 * by keyboard or by ear would be at the top of the document with no word. A page that was loaded keeps the browser's ways.
 */
export function useArrival() {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (arriving) heading.current?.focus();
    arriving = false;
  }, []);
  return heading;
}
