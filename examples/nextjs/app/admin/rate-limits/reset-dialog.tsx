import { useEffect, useRef } from 'react';
import type { Quota } from '@/lib/admin/dashboard-data';
import { count, printable } from './format';
import { RESET_UNAVAILABLE_NOTICE } from './store-unavailable';

interface ResetDialogProps {
  quota: Quota;
  storeUnavailable: boolean;
  open: boolean;
  onCancel: () => void;
  onConfirm: () => void;
}

/**
 * The browser's own modal dialog: it keeps the focus inside, closes on Escape and returns the focus to the button that
 * opened it. Cancel comes first and so gets the focus: a second Enter resets nothing.
 */
export function ResetDialog({ quota, storeUnavailable, open, onCancel, onConfirm }: ResetDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = printable(quota.creatorId);

  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);

  return (
    <dialog
      ref={dialog}
      aria-labelledby="reset-title"
      aria-describedby="reset-text"
      // Its `close` event fires after it has closed: an immediate second opening would be closed by that event.
      onCancel={(event) => {
        event.preventDefault();
        onCancel();
      }}
      onClose={() => {
        if (!dialog.current?.open) onCancel();
      }}
    >
      <h2 id="reset-title">
        Reset the quota of <bdi className="id">{id}</bdi>?
      </h2>
      <p id="reset-text">
        {count(quota.used)} counted requests are forgotten, and the whole quota is there again at once.{' '}
        {storeUnavailable ? RESET_UNAVAILABLE_NOTICE : 'Other processes may deny for up to a second longer.'} This
        cannot be undone.
      </p>
      <div className="dialog-actions">
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="button" className="danger" onClick={onConfirm}>
          Reset
        </button>
      </div>
    </dialog>
  );
}
