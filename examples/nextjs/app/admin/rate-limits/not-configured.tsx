export function NotConfigured() {
  return (
    <main className="centered-page">
      <h1>Rate limits</h1>
      <p>
        This page is closed: the server has no operator token, or one that is too easily guessed. Make one of 16
        characters or more, without spaces, give it to the server as <code>RATE_LIMIT_OPERATOR_TOKEN</code> and start it
        again.
      </p>
      <pre>
        <code>RATE_LIMIT_OPERATOR_TOKEN=$(openssl rand -base64 32) npm start</code>
      </pre>
      <p className="muted">Until then every request to the API of this page is refused, too.</p>
    </main>
  );
}
