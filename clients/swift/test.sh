#!/bin/sh
# Tests the Swift client against the built broker (npm ci), and demands that it compiles without a warning and that the
# tests run 90 % of its lines. The last line is the coverage. Arguments go to `swift test`.
set -eu
cd "$(dirname "$0")/../.."

# The last two options save CPU: no debugger needs its information, and the index, which finds the tests, is
# made of this package alone.
swift test --enable-code-coverage -Xswiftc -warnings-as-errors -Xswiftc -gnone -Xswiftc -index-ignore-system-modules "$@"
# The report covers the tests too. These are the files of the client.
report=$(swift test --show-codecov-path)
node -e '
  const { data } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
  const files = data[0].files.filter(({ filename }) => /\/(Sources|SdkAdapter)\/[^.]+\.swift$/.test(filename));
  let count = 0;
  let covered = 0;
  for (const { filename, summary: { lines } } of files) {
    console.log(`${lines.percent.toFixed(1).padStart(6)} %  ${filename.split("/").pop()}`);
    count += lines.count;
    covered += lines.covered;
  }
  const percent = (100 * covered) / count;
  console.log(`line coverage of the Swift client: ${percent.toFixed(1)} % of ${count}, at least 90 % wanted`);
  process.exitCode = percent >= 90 ? 0 : 1;
' "$report"
