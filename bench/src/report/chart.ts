import type { Results } from './results.ts';
import { amount } from './scenario-tables.ts';

const [WIDTH, LEFT, RIGHT, BAR, GAP, HEAD] = [760, 190, 90, 20, 6, 34];
/** The one figure that is drawn, where a scenario has it. */
const LABEL = 'requests';

const STYLE = `text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
rect { fill: #9aa4b2 }
.broker { fill: #1a7f64 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #6e7781 } .broker { fill: #3fb893 } }`;

/** Requests a second as bars, a group for each scenario, as long as the group's fastest allows. SVG. */
export function chart({ scenarios }: Results): string {
  const groups = Object.entries(scenarios).flatMap(([name, { figures }]) => {
    const bars = figures.filter(({ label }) => label === LABEL);
    return bars.length > 0 ? [{ name, bars }] : [];
  });
  let y = 0;
  const drawn = groups.flatMap(({ name, bars }) => {
    const most = Math.max(...bars.map(({ value }) => value));
    y += HEAD;
    return [
      text(0, y - 10, `${name}: requests a second`, 'head'),
      ...bars.map(({ peer = '', value }) => {
        const width = ((WIDTH - LEFT - RIGHT) * value) / most;
        const bar = `<rect class="${peer.split(' ')[0]}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}"/>`;
        const middle = y + BAR - 5;
        y += BAR + GAP;
        return text(0, middle, peer) + bar + text(LEFT + width + 6, middle, amount(value));
      }),
    ];
  });
  const size = `width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-labelledby="title">\n<title id="title">Requests a second</title>\n<style>${STYLE}</style>\n${drawn.join('\n')}\n</svg>\n`;
}

function text(x: number, y: number, content: string, style = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}"${style && ` class="${style}"`}>${content}</text>`;
}
