/** How far along something is. @param done from 0 to 1 */
export function progressBar(done: number, width: number): string {
  const filled = Math.round(Math.min(1, done) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}
