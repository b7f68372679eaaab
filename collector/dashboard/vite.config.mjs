import { defineConfig } from 'vite';

// The collector serves dist/ under a strict Content-Security-Policy: no inline script or style, no data: URLs.
export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      '/api': { target: process.env.COLLECTOR ?? 'http://127.0.0.1:8080' },
      '/ws': { target: process.env.COLLECTOR ?? 'http://127.0.0.1:8080', ws: true },
    },
  },
});
