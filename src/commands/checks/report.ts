import type { Finding } from './finding.ts';

/** A line for each finding, below it how to mend what is wrong, and at the end how many there are of each level. */
export function report(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const lines = findings.flatMap((finding) => {
    const line = `${finding.level.padEnd(4)}  ${finding.what.padEnd(width)}  — ${finding.detail}`;
    return finding.level === 'ok' ? [line] : [line, `      → ${finding.mend}`];
  });
  const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length;
  const [warnings, failures] = [count('warn'), count('FAIL')];
  const sum = `${count('ok')} ok, ${counted(warnings, 'warning')}, ${counted(failures, 'failure')}`;
  return [...lines, '', sum].join('\n');
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
