#!/bin/bash
# maven-central.sh BUNDLE VERSION: uploads a bundle to Maven Central, and waits until its version is published. Maven
# Central answers the upload at once and judges the bundle afterwards, so an accepted upload proves nothing.
# A version that is published stays as it is, so this may run again. CENTRAL_USER and CENTRAL_PASSWORD are a user token.
# Interface: https://central.sonatype.org/publish/publish-portal-api/
set -euo pipefail
bundle=$1 version=$2
api=${CENTRAL_API:-https://central.sonatype.com/api/v1/publisher}
pause=${CENTRAL_PAUSE_SECONDS:-15} # between two questions
longest=${CENTRAL_LONGEST_SECONDS:-3600}
token=$(printf '%s:%s' "$CENTRAL_USER" "$CENTRAL_PASSWORD" | base64 --wrap=0)
echo "::add-mask::$token"

# The token is not among the arguments, which other processes can read.
ask() {
  curl --fail-with-body --silent --show-error --max-time 300 \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$token") "$@"
}

published=$(ask "$api/published?namespace=io.sdktokenbroker&name=sdk-token-client&version=$version")
if [ "$(jq .published <<< "$published")" = true ]; then
  echo "Version $version is published already"
  exit
fi
id=$(ask --form "bundle=@$bundle" "$api/upload?publishingType=AUTOMATIC&name=sdk-token-broker-$version")
echo "Deployment $id"
former=
until ((SECONDS >= longest)); do
  # A question that fails says nothing about the deployment.
  answer=$(ask --request POST "$api/status?id=$id") || answer='{}'
  state=$(jq --raw-output '.deploymentState // "unknown"' <<< "$answer") || state=unknown
  [ "$state" = "$former" ] || echo "$state"
  former=$state
  case $state in
    PUBLISHED) exit ;;
    FAILED)
      jq .errors <<< "$answer" >&2
      exit 1
      ;;
  esac
  sleep "$pause"
done
echo "No verdict after $longest s. Look at https://central.sonatype.com/publishing/deployments, then run the job again." >&2
exit 1
