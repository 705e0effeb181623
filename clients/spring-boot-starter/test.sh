#!/bin/sh
# Tests the starter with Spring Boot 3.2, and the same class files with Spring Boot 3.5 and 4. Needs the built broker (npm ci).
set -eu
cd "$(dirname "$0")"

mvn -q -B verify
mvn -q -B -P boot3.5 surefire:test
mvn -q -B -P boot4 surefire:test
