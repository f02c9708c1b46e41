// The modules that native.js requires: the locally built addon, and the packages with prebuilt ones.

declare module '*.node' {
  const binding: import('./addon.d.ts').Binding;
  export = binding;
}

declare module '@huntaze/rate-limit-*' {
  const binding: import('./addon.d.ts').Binding;
  export = binding;
}
