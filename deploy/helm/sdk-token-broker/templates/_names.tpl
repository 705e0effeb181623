{{/* The names of all objects begin with this: fullnameOverride, or the name of the release if it contains that of the chart. */}}
{{- define "broker.name" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Rules and dashboard expect the job sdk-token-broker, which is the value of the first label. */}}
{{- define "broker.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "broker.labels" -}}
{{ include "broker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "broker.image" -}}
{{- with .Values.image -}}
{{- if and .digest .tag -}}
{{- fail "image.digest and image.tag are both set, and one image has one of them. The published chart comes with a digest: to use a tag, also set image.digest to \"\"." -}}
{{- end -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* The Secret with the secrets, whether the chart makes it or not. */}}
{{- define "broker.secret" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" (include "broker.name" .)) }}
{{- end -}}

{{/* The names of the secrets that the broker reads from files, as JSON. */}}
{{- define "broker.secretKeys" -}}
{{- if .Values.secrets.values -}}
{{ keys .Values.secrets.values | sortAlpha | toJson }}
{{- else -}}
{{ .Values.secrets.keys | toJson }}
{{- end -}}
{{- end -}}

{{- define "broker.certificates" -}}
{{- if .Values.certificates.pem -}}
{{ include "broker.name" . }}-certificates
{{- else -}}
{{ .Values.certificates.configMap }}
{{- end -}}
{{- end -}}
