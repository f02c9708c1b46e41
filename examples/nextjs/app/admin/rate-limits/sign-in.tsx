'use client';

import { useRouter } from 'next/navigation';
import { type FormEvent, useRef, useState } from 'react';
import { focusNextHeading, useHeadingFocus } from './heading-focus';
import { SESSION_PATH } from './api-paths';
import { requestTimeout } from './request-timeout';

const REFUSALS: Record<string, string> = {
  wrong: 'That is not the operator token.',
  limited: 'Too many wrong tokens. Wait a minute and try again.',
};

/** Works without JavaScript, too: the browser posts the form and is redirected back, with the reason in `refused`. */
export function SignIn({ refused }: { refused?: string }) {
  const router = useRouter();
  const heading = useHeadingFocus();
  const field = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState(refusalOf(refused));
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    setBusy(true);
    setProblem('');
    try {
      const token = field.current?.value ?? '';
      const headers = { Accept: 'application/json' };
      const response = await fetch(SESSION_PATH, {
        method: 'POST',
        headers,
        body: new URLSearchParams({ token }),
        signal: requestTimeout(),
      });
      if (response.ok) {
        focusNextHeading();
        return router.refresh();
      }
      setProblem(await refusalText(response));
      field.current?.select();
      field.current?.focus();
    } catch {
      setProblem('The server did not answer. Try again.');
    }
    setBusy(false);
  }

  return (
    <main className="centered-page">
      <h1 ref={heading} tabIndex={-1}>
        Rate limits
      </h1>
      <p className="muted">For operators. Sign in with the operator token of this application.</p>
      <form action={SESSION_PATH} method="post" onSubmit={submit} className="sign-in-form">
        <label htmlFor="token">Operator token</label>
        <input
          ref={field}
          id="token"
          name="token"
          type="password"
          autoComplete="current-password"
          required
          maxLength={1024}
          aria-invalid={problem !== ''}
          aria-describedby="sign-in-problem"
        />
        <p id="sign-in-problem" role="alert" className="problem">
          {problem}
        </p>
        <button type="submit" className="primary" aria-disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
    </main>
  );
}

/** `refused` is a query parameter, and so untrusted: it may be `__proto__`. */
function refusalOf(refused = ''): string {
  return Object.hasOwn(REFUSALS, refused) ? REFUSALS[refused]! : '';
}

async function refusalText(response: Response): Promise<string> {
  if (response.status === 401) return REFUSALS.wrong!;
  if (response.status !== 429) return `The server refused (${response.status}).`;
  const seconds = Number(response.headers.get('Retry-After')) || 60;
  return `Too many wrong tokens. Try again in ${seconds} s.`;
}
