import type { Metadata } from 'next';
import type { ReactNode } from 'react';
import './styles/tokens.css';
import './styles/base.css';
import './styles/dashboard.css';
import './styles/panels.css';
import './styles/creators.css';
import './styles/layout.css';
import './styles/forms.css';

export const metadata: Metadata = { title: 'Rate limits', robots: { index: false, follow: false } };

export default function AdminLayout({ children }: { children: ReactNode }) {
  return <div className="operator">{children}</div>;
}
