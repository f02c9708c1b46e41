// What native.js requires: the addon that was built here, and the packages that carry the prebuilt ones.

declare module '*.node' {
  const binding: import('./addon.d.ts').Binding;
  export = binding;
}

declare module '@huntaze/rate-limit-*' {
  const binding: import('./addon.d.ts').Binding;
  export = binding;
}
