// Makes one file of what apps load: each of some forty modules of its own would cost memory and time in every app.
// Run after tsc, over its output; `holdfast` and `holdfast/register` share all but a few lines.
export default {
  input: { index: 'dist/runtime/index.js', register: 'dist/runtime/register.js' },
  platform: 'node',
  output: { dir: 'dist/runtime', format: 'esm', chunkFileNames: 'bundle.js' },
}
