#!/bin/bash
# Publishes the Kotlin client and the Spring starter to a temporary Maven repository, as a release publishes them to Maven
# Central, and signs them with a key that only this run has. Then it builds an app with the lines of each README: with
# Maven, and with Gradle if it is installed. With a folder as its argument, it leaves the repository there.
set -euo pipefail
cd "$(dirname "$0")/../clients"

work=$(mktemp -d)
repository=$(realpath -m "${1:-$work/repository}")
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT

fail() {
  echo "$*" >&2
  exit 1
}

# Downloads nothing that the machine has, and installs nothing there: a build must find the libraries in the repository only.
installed=$(mvn -q -B -N -f kotlin/pom.xml help:evaluate -Dexpression=settings.localRepository -DforceStdout)
maven() {
  mvn -q -B -Dmaven.repo.local="$work/maven" -Dmaven.repo.local.tail="$installed" "$@"
}

# Publishes a project. Maven Central refuses a POM without one of these elements.
publish() {
  maven -f "$1/pom.xml" help:effective-pom -Doutput="$work/effective-pom.xml"
  local poms indentation
  poms=$(grep -c '<modelVersion>' "$work/effective-pom.xml")
  indentation=$(sed -n 's/<modelVersion>.*//p' "$work/effective-pom.xml" | head -1)
  for element in name description url licenses developers scm; do
    [ "$(grep -cE "^$indentation<$element[ >]" "$work/effective-pom.xml")" = "$poms" ] || fail "$1: a POM lacks <$element>"
  done
  maven -f "$1/pom.xml" -P release -Dmaven.test.skip -Dmaven.install.skip \
    -DaltDeploymentRepository="temporary::file://$repository" deploy
}

# Maven Central refuses a library without one of these files, or without its signature.
check_files() {
  local name=$1
  shift
  for suffix in .pom "$@"; do
    local file=$repository/io/sdktokenbroker/$name/$VERSION/$name-$VERSION$suffix
    [ -s "$file" ] || fail "$file is not there"
    gpg --quiet --verify "$file.asc" "$file" 2> /dev/null || fail "$file has no good signature"
  done
}

# The code blocks of a language in a README.
blocks() {
  awk -v open="\`\`\`$1" '{ line = $0; sub(/^ +/, "", line) } line == "```" { inside = 0 } inside { print } line == open { inside = 1 }' "$2"
}

# An app that needs a class of each library.
write_app() {
  mkdir -p "$1/src/main/java"
  local classes
  classes=$(printf '%s.class, ' "${@:2}")
  echo "class App { Class<?>[] libraries = {$classes}; }" > "$1/src/main/java/App.java"
}

build_with_maven() {
  local app=$work/$1-maven
  write_app "$app" "${@:2}"
  cat > "$app/pom.xml" << POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId>
  <artifactId>app</artifactId>
  <version>1</version>
  <properties><maven.compiler.release>17</maven.compiler.release></properties>
  <repositories><repository><id>temporary</id><url>file://$repository</url></repository></repositories>
  <dependencies>$(blocks xml "$1/README.md")</dependencies>
</project>
POM
  maven -f "$app/pom.xml" compile
  [ -s "$app/target/classes/App.class" ] || fail "$1: Maven compiled nothing"
}

build_with_gradle() {
  local app=$work/$1-gradle
  write_app "$app" "${@:2}"
  cat > "$app/build.gradle" << GRADLE
apply plugin: 'java'
repositories {
    maven { url 'file://$repository' }
    mavenCentral()
}
$(blocks groovy "$1/README.md")
GRADLE
  touch "$app/settings.gradle"
  gradle --quiet --no-daemon --gradle-user-home "$work/gradle" --project-dir "$app" compileJava 2> "$work/gradle.log" ||
    fail "$(cat "$work/gradle.log")"
  [ -n "$(find "$app/build" -name App.class)" ] || fail "$1: Gradle compiled nothing"
}

mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-generate-key 'A test' ed25519 sign 1d

VERSION=$(maven -N -f kotlin/pom.xml help:evaluate -Dexpression=project.version -DforceStdout)
publish kotlin
publish spring-boot-starter
check_files sdk-token-client-parent
for name in sdk-token-client sdk-token-client-okhttp sdk-token-client-android sdk-token-broker-spring-boot-starter; do
  check_files "$name" .jar -sources.jar -javadoc.jar
done

kotlin_classes=(io.sdktokenbroker.SdkTokenClient io.sdktokenbroker.android.KeystoreTokenStorage
  io.sdktokenbroker.okhttp.OkHttpTransport)
build_with_maven kotlin "${kotlin_classes[@]}"
build_with_maven spring-boot-starter io.sdktokenbroker.spring.SdkTokenBroker
if command -v gradle > /dev/null; then
  build_with_gradle kotlin "${kotlin_classes[@]}"
else
  echo 'Gradle is not installed: its lines were not tested'
fi
echo "Published version $VERSION, and built apps with it"
